"""How one training step is made: Keras's own, of `fit`, or a function of a loop of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol

import keras

if TYPE_CHECKING:
    import tensorflow as tf

Taking = Callable[[Any], Any]  # from a batch to what the step makes of it


class Stepping(Protocol):
    """A step, and how a variation of it is compiled as it is itself."""

    @property
    def eager(self) -> bool:
        """Whether it is computed without a graph."""

    def take(self, data: Any) -> Any:
        """The step itself, not compiled."""

    def compiled(self, step: Taking, spec: Any = None) -> Taking:
        """A variation of the step, compiled as the step is; `spec` is what `fit`'s iterator says of its batches."""

    def parts(self, data: Any) -> tuple[Any, Any]:
        """Inputs and targets of a batch, None where nobody knows them."""

    def loss(self, outputs: Any) -> tf.Tensor | None:
        """The loss among what the step gives back; None where nobody knows, or Keras's own `compute_loss` tells."""

    @property
    def compares(self) -> Any:
        """What compares answers with targets, one of Keras's losses; None where that is not known."""


class FitStep:
    """A step of a Keras model's `fit`, on a batch as its iterator gives it."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @property
    def eager(self) -> bool:
        """Whether it is computed without a graph."""
        return bool(self.model.run_eagerly)

    def take(self, data: Any) -> Any:
        """Keras's `train_step`, or the model's own."""
        return self.model.train_step(data)

    def compiled(self, step: Taking, spec: Any = None) -> Taking:
        """As `fit` compiles a step: with the model's `jit_compile` and `run_eagerly`.

        Where sequences, or what else there is beside rows, may have any length, the graph is of any length too, as
        Keras's is: one of a single length divides by it otherwise, in the last bit.
        """
        function = self.model._make_function(step)

        def called(data: Any) -> Any:
            return function(iter([data]))

        if self.eager or spec is None or not _is_open(spec):
            return called
        import tensorflow as tf

        made: Taking = tf.function(called, input_signature=[spec], autograph=False)
        return made

    def parts(self, data: Any) -> tuple[Any, Any]:
        """As Keras takes a batch apart."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return x, y

    def loss(self, outputs: Any) -> tf.Tensor | None:
        """None: `compute_loss` tells."""
        return None

    @property
    def compares(self) -> Any:
        """What the model was compiled with."""
        return self.model.loss


class LoopStep:
    """A step of a loop of one's own: a plain function, or a `tf.function`, which is traced once more.

    Its batch is `(args, kwargs)`.
    """

    def __init__(self, function: Callable[..., Any], loss: Any = None) -> None:
        self.function = function
        inner = getattr(function, "python_function", None)
        self.compares = loss or loss_within(function if inner is None else inner)
        self.eager = inner is None
        self.plain: Callable[..., Any] = function
        if inner is not None:
            self.plain = _converted(inner) if getattr(function, "_autograph", True) else inner

    def take(self, data: Any) -> Any:
        """The function's own lines on its arguments."""
        args, kwargs = data
        return self.plain(*args, **kwargs)

    def compiled(self, step: Taking, spec: Any = None) -> Taking:
        """With the `tf.function`'s signature, `jit_compile` and `reduce_retracing`; of the step itself the function."""
        if step == self.take:
            return self._call(self.function)
        if self.eager:
            return step
        import tensorflow as tf

        options = {
            "input_signature": getattr(self.function, "input_signature", None),
            "jit_compile": getattr(self.function, "_jit_compile", None),
            "reduce_retracing": bool(getattr(self.function, "_reduce_retracing", False)),
        }
        function = tf.function(lambda *args, **kwargs: step((args, kwargs)), autograph=False, **options)
        return self._call(function)

    def _call(self, function: Callable[..., Any]) -> Taking:
        """It on a batch; arguments by place as far as that goes, as a signature wants them."""

        def called(data: Any) -> Any:
            args, kwargs = data
            if kwargs and not self.eager:
                found = inspect.signature(self.function.python_function).bind(*args, **kwargs)  # type: ignore[attr-defined]
                args, kwargs = found.args, found.kwargs
            return function(*args, **kwargs)

        return called

    def parts(self, data: Any) -> tuple[Any, Any]:
        """The first two arguments, or of one that is a pair its parts."""
        args, kwargs = data
        given: Sequence[Any] = [*args, *kwargs.values()]
        if len(given) == 1 and isinstance(given[0], tuple):
            given = given[0]
        return (given[0] if given else None), (given[1] if len(given) > 1 else None)

    def loss(self, outputs: Any) -> tf.Tensor | None:
        """What the function returns if that is one number, else the first of several, or what is called `loss`."""
        import tensorflow as tf

        found = outputs
        if isinstance(outputs, dict):
            found = outputs.get("loss")
        elif isinstance(outputs, list | tuple):
            found = outputs[0] if outputs else None
        is_number = isinstance(found, tf.Tensor) and found.dtype.is_floating and found.shape.rank == 0
        return found if is_number else None


def _is_open(spec: Any) -> bool:
    """Whether a tensor's lengths may differ from batch to batch, that of its first axis apart: its rows."""
    shapes = [getattr(each, "shape", None) for each in keras.tree.flatten(spec)]
    return any(shape is not None and (shape.rank is None or None in shape[1:].as_list()) for shape in shapes)


def loss_within(function: Any) -> Any:
    """The one loss of Keras's that the lines of a function name; None where there is none, or several.

    Looked at are what it encloses, global names, what `self` holds for a method, and `keras.losses.X`.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    named = set(_names(code))
    enclosed = zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False)
    known = dict(getattr(function, "__globals__", {}))
    for name, cell in enclosed:
        with suppress(ValueError):  # a cell that is still empty
            known[name] = cell.cell_contents
    known |= {name: value for name, value in vars(keras.losses).items() if "losses" in named and name not in known}
    held = getattr(function, "__self__", None)
    known |= {name: value for name, value in getattr(held, "__dict__", {}).items() if name in named}
    found = {id(known[name]): known[name] for name in named if name in known and _is_loss(known[name])}
    return next(iter(found.values())) if len(found) == 1 else None


def _names(code: CodeType) -> Iterator[str]:
    """All names in a function's lines, those of functions within it too."""
    yield from (*code.co_names, *code.co_freevars)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _is_loss(value: Any) -> bool:
    if isinstance(value, keras.losses.Loss):
        return True
    if isinstance(value, type):
        return issubclass(value, keras.losses.Loss) and value is not keras.losses.Loss
    return (
        inspect.isfunction(value)
        and any(value is each for each in vars(keras.losses).values())
        and (value.__name__ not in ("get", "serialize", "deserialize"))
    )


def _converted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as AutoGraph writes it, as a `tf.function` traces it; as it is where TensorFlow has no such."""
    import tensorflow as tf

    autograph = getattr(tf.__internal__, "autograph", None)
    if autograph is None:
        return function
    found: list[Any] = []

    def inside() -> None:
        found.append(autograph.control_status_ctx())

    tf.function(inside).get_concrete_function()
    made: Callable[..., Any] = autograph.tf_convert(function, found[0])
    return made
