"""Whether model, loss, optimizer and the arrays of a `fit` fit each other: what is certain before the first step.

docs/rules.md, "Your own network", has every rule. What is not known is passed over: a loss of one's own, several
outputs, a last layer that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bench.data_quality import Data, Finding, FindingKind, is_one_hot
from bench.recorder.optimizers import innermost
from bench.recorder.settings import SHORT_LOSSES, snake

SPARSE, CATEGORICAL, BINARY = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"
CROSSENTROPIES = (SPARSE, CATEGORICAL, BINARY)
OF_VALUES = (
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)  # fmt: skip
REACHES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}
NO_PROBABILITIES = ("linear", "relu", "tanh", "elu", "selu", "gelu", "leaky_relu", "silu", "swish", "softsign")
UNBOUNDED = ("linear", "relu", "elu", "selu", "gelu", "leaky_relu", "silu", "swish", "softplus", "exponential")
CELLS = (keras.layers.SimpleRNN, keras.layers.LSTM, keras.layers.GRU)
STRAIGHT = (
    keras.layers.InputLayer, keras.layers.Dense, keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape,
    keras.layers.Normalization, keras.layers.Rescaling, keras.layers.BatchNormalization,
)  # fmt: skip
MISFITS = (
    FindingKind.CONSTANT_ANSWER, FindingKind.LOGITS, FindingKind.BATCH_OF_ONE, FindingKind.CONSTANT_START,
    FindingKind.UNBOUNDED_CELL, FindingKind.PENALTY, FindingKind.LINEAR, FindingKind.SCHEDULE,
    FindingKind.DROPPED, FindingKind.FROZEN, FindingKind.LONG_SEQUENCE,
)  # fmt: skip
OUTWEIGHED = 10.0  # penalties over the loss
OUT_OF_REACH = 0.01  # share of targets
DROPPED = 0.9
LONG = 50  # steps of a sequence
FROZEN = 0.5  # share of layers with weights
TENTH, ENDED = 0.1, 0.01  # of the planned steps; of the first rate


@dataclass(frozen=True)
class Answer:
    """What a model gives: the last activation's name, "" where it is not known, and the units."""

    activation: str
    units: int


@dataclass(frozen=True)
class Asked:
    """A loss of Keras's own: its name, and whether it takes logits."""

    loss: str
    logits: bool = False
    ignored: int | None = None  # a label that counts for nothing


def misfits(model: keras.Model, data: Data | None, batch: int | None, planned: int | None) -> list[Finding]:
    """Everything that does not fit, gravest first.

    Args:
        data: the arrays, or the first batches; None where there are none to look at.
        batch: rows of a batch, if known.
        planned: steps of the whole training, if known.
    """
    found: list[Finding] = []
    for each in (_of_answer, _of_targets, _of_shapes, _of_tokens, _of_layers, _of_start, _of_schedule):
        with suppress(AttributeError, TypeError, ValueError):  # a model that is not built as others are
            found += each(model, data, batch, planned)
    order = list(FindingKind)
    return sorted(found, key=lambda each: order.index(each.kind))


def outweighed(penalty: float | None, loss: float | None) -> list[Finding]:
    """Whether at the first recorded step the penalties on weights outweigh the loss."""
    if penalty is None or loss is None or not 0.0 < loss * OUTWEIGHED <= penalty:
        return []
    found = f"The penalties on weights are {penalty:.3g} at the first step, {penalty / loss:.3g} times the loss."
    return [Finding(FindingKind.PENALTY, found, "Take a hundredth of the regularizers' strength, or none.")]


def kept_of_start(model: keras.Model, steps: int) -> float:
    """The largest share of where they started that the averages of a batch normalization hold after so many steps."""
    layers = [each for each in _layers(model) if isinstance(each, keras.layers.BatchNormalization) and each.trainable]
    return max((float(each.momentum) ** steps for each in layers), default=0.0)


def asked_of(model: keras.Model) -> Asked | None:
    """What the loss asks for; None of a loss of one's own, or of several."""
    loss = getattr(model, "loss", None)
    while isinstance(loss, list | tuple | dict):
        if len(loss) != 1:
            return None
        loss = next(iter(loss.values() if isinstance(loss, dict) else loss))
    names = (*CROSSENTROPIES, *OF_VALUES)
    if isinstance(loss, str):
        name = SHORT_LOSSES.get(snake(loss), snake(loss))
        return Asked(name) if name in names else None
    if isinstance(loss, keras.losses.Loss):
        name = snake(type(loss).__name__)
        if name not in names or type(loss).__module__.split(".")[0] != "keras":
            return None
        config = loss.get_config()
        return Asked(name, bool(config.get("from_logits")), config.get("ignore_class"))
    return next((Asked(name) for name in names if loss is getattr(keras.losses, name, None)), None)


def answer_of(model: keras.Model) -> Answer | None:
    """What the model gives at last; None where it has several outputs or is made by code alone."""
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if len(outputs) != 1 or not hasattr(outputs[0], "_keras_history") or outputs[0].shape[-1] is None:
        return None
    layer = outputs[0]._keras_history.operation
    if isinstance(layer, keras.Model):
        return answer_of(layer)
    return Answer(_bend(layer), int(outputs[0].shape[-1]))


def _bend(layer: Any) -> str:
    """The name of what a layer does last; "" where nobody knows."""
    if isinstance(layer, keras.layers.Softmax | keras.layers.ReLU):
        return "" if getattr(layer, "max_value", None) else snake(type(layer).__name__).replace("re_lu", "relu")
    known = isinstance(layer, keras.layers.Dense | keras.layers.Activation | keras.layers.EinsumDense) or (
        hasattr(layer, "kernel_size") and hasattr(layer, "padding")
    )
    activation = getattr(layer, "activation", None)
    return str(getattr(activation, "__name__", "")) if known else ""


def _of_answer(model: keras.Model, *_: Any) -> Iterator[Finding]:
    answer, asked = answer_of(model), asked_of(model)
    if answer is None:
        return
    if answer.activation == "softmax" and answer.units == 1:
        yield Finding(
            FindingKind.CONSTANT_ANSWER,
            "The answer is a softmax over one unit: it is 1 whatever the input.",
            'Take "sigmoid" with binary_crossentropy, or a softmax with a unit for each class.',
        )
        return
    takes_probabilities = asked is not None and asked.loss in CROSSENTROPIES and not asked.logits
    if asked is not None and takes_probabilities and answer.activation in NO_PROBABILITIES:
        yield Finding(
            FindingKind.LOGITS,
            f"The loss {asked.loss} takes the answer for probabilities, and the last activation is "
            f"{answer.activation}: what is not within 0 to 1 is cut off, and has no gradient.",
            f"Take the loss with from_logits=True{' and no activation' if answer.activation != 'linear' else ''}, "
            f'or end with "{"sigmoid" if asked.loss == BINARY else "softmax"}".',
        )


def _of_targets(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
    answer, asked = answer_of(model), asked_of(model)
    if data is None or data.y is None or asked is None:
        return
    y = np.asarray(data.y)
    if y.dtype.kind not in "fiub" or not y.size or not np.isfinite(y).all():
        return
    least, most = float(y.min()), float(y.max())
    if asked.loss == SPARSE and answer is not None and answer.units > 1:
        yield from _of_labels(y, answer, asked)
    elif asked.loss == CATEGORICAL and answer is not None and answer.units > 1 and (y.ndim < 2 or y.shape[-1] == 1):
        yield Finding(
            FindingKind.TARGET_FORM,
            f"Targets are numbers of classes, and categorical_crossentropy wants a row of {answer.units} for each.",
            "Take sparse_categorical_crossentropy, or keras.utils.to_categorical(y).",
        )
    elif asked.loss in (CATEGORICAL, BINARY) and (least < 0.0 or most > 1.0):
        yield Finding(
            FindingKind.NOT_PROBABILITIES,
            f"Targets run from {least:.4g} to {most:.4g}, and {asked.loss} wants 0 to 1.",
            "Number two classes 0 and 1; for values to predict take a loss of values, as mean_squared_error.",
        )
    elif asked.loss in OF_VALUES and answer is not None and answer.activation in REACHES:
        low, high = REACHES[answer.activation]
        share = float(np.mean((y < low) | (y > high)))
        if share > OUT_OF_REACH:
            ends = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and above"
            yield Finding(
                FindingKind.OUT_OF_REACH,
                f"{100 * share:.3g} % of the targets lie outside of what the last activation, {answer.activation}, "
                f"can give: {ends}.",
                "Leave the last layer's activation out, or scale the targets into its range.",
            )


def _of_shapes(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
    """Only of a training step of one's own: Keras's own losses give targets the answer's shape."""
    answer = answer_of(model)
    if data is None or data.y is None or answer is None or type(model).train_step is keras.Model.train_step:
        return
    if answer.units == 1 and np.asarray(data.y).ndim == 1 and len(keras.tree.flatten(model.outputs)[0].shape) == 2:
        yield Finding(
            FindingKind.SHAPES,
            "Targets have the shape [rows], the answer [rows, 1]: their difference has [rows, rows].",
            "In a loss of your own take y[:, None].",
        )


def _of_labels(y: np.ndarray, answer: Answer, asked: Asked) -> Iterator[Finding]:
    if is_one_hot(y) and y.shape[1] == answer.units:
        yield Finding(
            FindingKind.TARGET_FORM,
            f"Targets are one-hot rows, and {SPARSE} wants the numbers of classes.",
            f"Take {CATEGORICAL}, or y.argmax(axis=1).",
        )
        return
    labels = y[y != asked.ignored] if asked.ignored is not None else y
    if not labels.size or (labels.min() >= 0 and labels.max() < answer.units):
        return
    low, high = int(labels.min()), int(labels.max())
    shifted = high - low < answer.units
    yield Finding(
        FindingKind.LABELS_BEYOND,
        f"Labels run from {low} to {high}, and the answer has {answer.units} units, for 0 to {answer.units - 1}.",
        f"Subtract {low} from the labels: classes are counted from 0." if shifted
        else f"Give the last layer {high + 1} units, or number the classes from 0 without gaps.",
    )  # fmt: skip


def _of_tokens(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if data is None or len(inputs) != 1:
        return
    reading = [
        each for each in _layers(model) if isinstance(each, keras.layers.Embedding) and each.input is inputs[0]
    ]  # fmt: skip
    x = np.asarray(data.x)
    if not reading or x.dtype.kind not in "fiu" or not x.size:
        return
    rows = min(each.input_dim for each in reading)
    if x.min() < 0 or x.max() >= rows:
        yield Finding(
            FindingKind.TOKENS_BEYOND,
            f"Tokens run from {int(x.min())} to {int(x.max())}, and the embedding has {rows} rows, for 0 to "
            f"{rows - 1}.",
            f"Give it input_dim={int(x.max()) + 1} or more." if x.min() >= 0 else "Number the tokens from 0.",
        )


def _of_layers(model: keras.Model, data: Data | None, batch: int | None, _: Any) -> Iterator[Finding]:
    layers = _layers(model)
    vectors = [
        each for each in layers if isinstance(each, keras.layers.BatchNormalization) and len(_given(each)) == 2
    ] if batch == 1 else []  # fmt: skip
    if vectors:
        yield Finding(
            FindingKind.BATCH_OF_ONE,
            f"{vectors[0].name} normalizes over batches of one row: each number less its own mean is 0.",
            "Take batches of more rows, or layer normalization.",
        )
    cells = [
        each for each in layers if isinstance(each, CELLS) and getattr(each.activation, "__name__", "") in UNBOUNDED
    ]  # fmt: skip
    if cells:
        yield Finding(
            FindingKind.UNBOUNDED_CELL,
            f"{cells[0].name} has {cells[0].activation.__name__} within its cell: its state can grow at every step of "
            "a sequence.",
            "Leave the cell's activation at tanh; or clip gradients, and start its recurrent kernel near the identity.",
        )
    long = [
        each for each in layers if isinstance(each, CELLS) and not each.return_sequences
        and ((_given(each) or (0, 0))[1] or 0) >= LONG
    ]  # fmt: skip
    if long:
        yield Finding(
            FindingKind.LONG_SEQUENCE,
            f"{long[0].name} answers after {_given(long[0])[1]} steps: a gradient that starts there may not reach "
            "the first ones, and within the layer nothing is recorded.",
            "Take shorter sequences, means over all steps (return_sequences=True), or attention.",
        )
    dropped = [each for each in layers if isinstance(each, keras.layers.Dropout) and each.rate >= DROPPED]
    if dropped:
        yield Finding(
            FindingKind.DROPPED,
            f"{dropped[0].name} drops {100 * dropped[0].rate:.3g} % of its inputs at each step.",
            "Take a rate of 0.5 or less.",
        )
    weighty = [each for each in layers if each.weights and not list(each._flatten_layers(include_self=False))]
    frozen = [each for each in weighty if not each.trainable_weights]
    if frozen and len(frozen) >= FROZEN * len(weighty):
        yield Finding(
            FindingKind.FROZEN,
            f"{len(frozen)} of {len(weighty)} layers with weights do not train (trainable=False), {frozen[0].name} "
            "first.",
            "Set trainable = True and compile again, unless they come trained from elsewhere.",
        )
    dense = [each for each in layers if isinstance(each, keras.layers.Dense)]
    plain = getattr(model, "_is_graph_network", False) or isinstance(model, keras.Sequential)
    inner = [each for each in layers if each is not dense[-1]] if dense else []
    if plain and len(dense) > 1 and all(isinstance(each, STRAIGHT) and _straight(each) for each in inner):
        yield Finding(
            FindingKind.LINEAR,
            f"No activation bends anything before {dense[-1].name}: {len(dense)} layers do what one alone does.",
            'Give the layers before the last an activation, as "relu".',
        )


def _of_start(model: keras.Model, *_: Any) -> Iterator[Finding]:
    """Kernels whose units start as copies; not the last layer's, which may start at 0."""
    kernels = [each for each in model.trainable_variables if len(each.shape) > 1 and each.shape[-1] > 1][:-1]
    copies = [each for each in kernels if _is_constant(each)]
    if copies and 2 * len(copies) >= len(kernels):
        yield Finding(
            FindingKind.CONSTANT_START,
            f"{len(copies)} of {len(kernels)} kernels start with the same numbers for every unit: {copies[0].path}.",
            'Take an initializer that draws each apart, as "glorot_uniform": copies get the same gradient for ever.',
        )


def _is_constant(kernel: Any) -> bool:
    first, second = (np.asarray(kernel[..., unit]) for unit in (0, 1))
    return np.array_equal(first, second) and bool((np.asarray(kernel) == first[..., None]).all())


def _of_schedule(model: keras.Model, _: Any, __: Any, planned: int | None) -> Iterator[Finding]:
    optimizer = getattr(model, "optimizer", None)
    schedule = getattr(innermost(optimizer), "_learning_rate", None) if optimizer is not None else None
    if not planned or not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return
    early = max(1, int(TENTH * planned))
    first, then = (float(schedule(step)) for step in (0, early))
    if first > 0.0 and then <= ENDED * first:
        yield Finding(
            FindingKind.SCHEDULE,
            f"The schedule lowers the rate from {first:.3g} to {then:.3g} within {early} of {planned} steps.",
            "Schedules count steps, not epochs: let it take longer.",
        )


def _layers(model: keras.Model) -> Sequence[Any]:
    return [each for each in model._flatten_layers(include_self=False) if not isinstance(each, keras.Model)]


def _given(layer: Any) -> tuple[int | None, ...]:
    """The shape of what a layer is given; () of one that is not called alone, or by code alone."""
    try:
        return tuple(layer.input.shape)
    except (AttributeError, ValueError):  # by Keras, where there is none or several
        return ()


def _straight(layer: Any) -> bool:
    activation: Callable[..., Any] | None = getattr(layer, "activation", None)
    return activation is None or getattr(activation, "__name__", "") == "linear"
