"""gradtrial: which remedy for vanishing and exploding gradients helps where, on the Keras of today."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.recorder import Recorder as Recorder

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`bench.Recorder`, which takes TensorFlow along, is imported when it is first asked for."""
    if name == "Recorder":
        from bench.recorder import Recorder

        return Recorder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
