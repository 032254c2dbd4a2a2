"""A training step of one's own loop while it is recorded: called as the function itself, in a context that ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import keras

if TYPE_CHECKING:
    from bench.recorder.callback import Recorder
    from bench.recorder.recording import Recording

OPTIMIZER = keras.optimizers.Optimizer


class Several(keras.Model):
    """Models that one step trains, as one: it is asked for their layers and variables, and never called."""

    def __init__(self, models: Sequence[keras.Model]) -> None:
        super().__init__(name="_".join(each.name for each in models))
        self.parts = list(models)
        self.built = all(each.built for each in models)


class Watched:
    """What `Recorder.watch` returns.

    Attributes:
        stopped: whether a step was held back by `on_nonfinite="stop"`; every further call leaves all as it is then.
    """

    def __init__(self, function: Callable[..., Any], recorder: Recorder, recording: Recording | None) -> None:
        self.function = function
        self.recorder = recorder
        self.recording = recording
        self.stopped = False
        self.outputs: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step, as the function makes it."""
        if self.stopped:
            return self.outputs
        recording = self.recording
        if recording is None or not recording.is_open:
            return self.function(*args, **kwargs)
        self.recorder.on_train_batch_begin(recording.step)
        outputs = recording.dispatch.once((args, kwargs)) if recording.armed else self.function(*args, **kwargs)
        if recording.dispatch.held:
            self.stopped, self.outputs = True, outputs
        self.recorder.on_train_batch_end(recording.step)
        return outputs

    def scores(self, scores: Mapping[str, float]) -> None:
        """Keep scores of the steps so far, by Keras's words: `loss`, `accuracy`, `val_loss`, `val_accuracy`."""
        self.recorder.on_epoch_end(0, {name: float(value) for name, value in scores.items()})

    def __enter__(self) -> Self:
        """The step itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the tables and the report; what was raised goes on its way."""
        if kind is None:
            self.recorder.on_train_end()
        else:
            self.recorder.close("interrupted" if kind is KeyboardInterrupt else _said(kind, error))


def _said(kind: type[BaseException], error: BaseException | None) -> str:
    return f"{kind.__name__}: {error}".splitlines()[0][:200]


def check(step: object, model: object, optimizer: object) -> None:
    """Refuse what is no step, model or optimizer.

    Raises:
        TypeError: what it is, and what is wanted.
    """
    if isinstance(step, Watched):
        raise TypeError("watch: the step is watched already.")
    if not callable(step) or isinstance(step, type | keras.layers.Layer | OPTIMIZER):
        raise TypeError(
            f"watch: the step is {_kind(step)}. It takes the function that makes one training step, plain or a "
            "tf.function: recorder.watch(step, model=model, optimizer=optimizer)."
        )
    if hasattr(step, "structured_input_signature"):
        raise TypeError("watch: the step is a concrete function. Give the tf.function that it was made of.")
    for name, given, wanted, what in (
        ("model", model, keras.Model, "a Keras model, or a list of those that the step trains"),
        ("optimizer", optimizer, OPTIMIZER, "an optimizer of Keras's, or a list of those that the step applies"),
    ):  # fmt: skip
        wrong = [each for each in several(given) if not isinstance(each, wanted)]
        if wrong or not several(given):
            raise TypeError(f"watch: {name} is {_kind(wrong[0] if wrong else given)}; it takes {what}.")


def several(given: Any) -> list[Any]:
    """What is given, one or several."""
    return list(given) if isinstance(given, list | tuple) else [given]


def _kind(given: object) -> str:
    kind = type(given)
    return "None" if given is None else f"of {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
