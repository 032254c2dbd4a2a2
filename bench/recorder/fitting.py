"""Whether model, loss, optimizer and the arrays of a `fit` fit each other: what is certain before the first step.

docs/rules.md, "Your own network", has every rule. What is not known is passed over: a loss of one's own, several
outputs, a last layer that nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bench.data_quality import Data, is_one_hot
from bench.finding import Finding, FindingKind
from bench.recorder.building import (
    BUILT,
    layers_of,
    of_constraints,
    of_layers,
    of_optimizer,
    of_precision,
    of_schedule,
    of_smoothing,
    of_start,
)
from bench.recorder.endings import bend_of, of_ending, output_of
from bench.recorder.layers import own_kernels, path_of
from bench.recorder.settings import SHORT_LOSSES, snake
from bench.recorder.stepping import loss_within

SPARSE, CATEGORICAL, BINARY = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"
CROSSENTROPIES = (SPARSE, CATEGORICAL, BINARY)
OF_VALUES = (
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)  # fmt: skip
POISSON, DIVERGENCE, OF_LOGARITHMS = "poisson", "kl_divergence", "mean_squared_logarithmic_error"
REACHES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}
NO_PROBABILITIES = ("linear", "relu", "tanh", "elu", "selu", "gelu", "leaky_relu", "silu", "swish", "softsign")
MISFITS = (
    FindingKind.CONSTANT_ANSWER, FindingKind.CONSTANT_LOSS, FindingKind.LOGITS, FindingKind.TWICE,
    FindingKind.SOFTMAX_AXIS, FindingKind.NEGATIVE, FindingKind.DISCONNECTED, FindingKind.ANSWER_DROPPED,
    FindingKind.PENALTY, *BUILT,
)  # fmt: skip
OUTWEIGHED = 10.0  # penalties over the loss
OUT_OF_REACH = 0.01  # share of targets
MOST_CLASSES = 100  # whole numbers from 0 to so many less one may be those of classes

SHAPES = Finding(
    FindingKind.SHAPES,
    "Targets have the shape [rows], the answer [rows, 1]: their difference has [rows, rows].",
    "In a loss of your own take y[:, None].",
)


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
    for each in (
        _of_answer,
        _of_targets,
        _of_shapes,
        _of_tokens,
        _of_lengths,
        of_layers,
        of_start,
        of_schedule,
        of_optimizer,
        of_smoothing,
        of_constraints,
        of_precision,
    ):
        with suppress(AttributeError, TypeError, ValueError):  # a model that is not built as others are
            found += each(model, data, batch, planned)
    order = list(FindingKind)
    return sorted(found, key=lambda each: order.index(each.kind))


def outweighed(penalty: float | None, loss: float | None) -> list[Finding]:
    """Whether at the first recorded step the penalties of regularizers outweigh the loss."""
    if penalty is None or loss is None or not 0.0 < loss * OUTWEIGHED <= penalty:
        return []
    found = f"Penalties are {penalty:.3g} at the first step, {penalty / loss:.3g} times the loss."
    return [Finding(FindingKind.PENALTY, found, "Take a hundredth of the regularizers' strength, or none.")]


def disconnected(model: keras.Model, seen: Sequence[str], given: Sequence[str]) -> list[Finding]:
    """Whether a layer that a step of Keras's own called has kernels that train and got no gradient.

    Args:
        seen: paths of the layers that the step called.
        given: paths of the variables that got one.
    """
    if type(model).train_step is not keras.Model.train_step:  # which may leave them out on purpose
        return []
    called = [each for each in layers_of(model) if path_of(each) in seen and own_kernels(each) and each.trainable]
    none = [each for each in called if not any(v.path in given for v in each.trainable_variables)]
    if not none:
        return []
    found = f"No gradient reaches the weights of {none[0].name}" + (f" and {len(none) - 1} more" if none[1:] else "")
    cure = "Look at what stands behind: stop_gradient, argmax, rounding and comparisons have none."
    return [Finding(FindingKind.DISCONNECTED, f"{found}: they stay as they start.", cure)]


def kept_of_start(model: keras.Model, steps: int) -> float:
    """The largest share of where they started that the averages of a batch normalization hold after so many steps."""
    layers = [each for each in layers_of(model) if isinstance(each, keras.layers.BatchNormalization) and each.trainable]
    return max((float(each.momentum) ** steps for each in layers), default=0.0)


def asked_of(model: keras.Model) -> Asked | None:
    """What the loss asks for; None of a loss of one's own, or of several."""
    loss = getattr(model, "loss", None)
    while isinstance(loss, list | tuple | dict):
        if len(loss) != 1:
            return None
        loss = next(iter(loss.values() if isinstance(loss, dict) else loss))
    names = (*CROSSENTROPIES, *OF_VALUES, POISSON, DIVERGENCE)
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
    output = output_of(model)
    return None if output is None else Answer(bend_of(output._keras_history.operation), int(output.shape[-1]))


def _of_answer(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
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
    if asked is not None and asked.loss == CATEGORICAL and answer.units == 1:
        yield Finding(
            FindingKind.CONSTANT_LOSS,
            "categorical_crossentropy of one unit is the same whatever the answer: the share of the one class is 1.",
            "Take binary_crossentropy, or a softmax with a unit for each class.",
        )
        return
    yield from of_ending(model, data, asked.logits if asked is not None and asked.loss in CROSSENTROPIES else None)
    if asked is not None and asked.loss in (POISSON, OF_LOGARITHMS) and answer.activation in NO_PROBABILITIES:
        if answer.activation != "relu":
            yield Finding(
                FindingKind.NEGATIVE,
                f"The loss {asked.loss} takes the logarithm of the answer, and the last activation, "
                f"{answer.activation}, gives negative ones too.",
                'End with "softplus" or "exponential".',
            )
        return
    takes_probabilities = asked is not None and asked.loss in (*CROSSENTROPIES, DIVERGENCE) and not asked.logits
    if asked is not None and takes_probabilities and answer.activation in NO_PROBABILITIES:
        yield Finding(
            FindingKind.LOGITS,
            f"The loss {asked.loss} takes the answer for probabilities, and the last activation is "
            f"{answer.activation}: what is not within 0 to 1 is cut off, and has no gradient.",
            'End with "softmax".'
            if asked.loss == DIVERGENCE
            else f"Take the loss with from_logits=True{' and no activation' if answer.activation != 'linear' else ''}, "
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
    if asked.loss == SPARSE and answer is not None:
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
            f"Numbers of {int(most) + 1} classes want as many units, a softmax and {SPARSE}; values to predict a loss "
            "of values, as mean_squared_error."
            if _numbers_classes(y)
            else "Number two classes 0 and 1; for values to predict take a loss of values, as mean_squared_error.",
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
    """Only of a training step of one's own that no loss of Keras's has a part in: that gives both the same shape."""
    answer, step = answer_of(model), type(model).train_step
    if data is None or data.y is None or answer is None or step is keras.Model.train_step:
        return
    if loss_within(step) is not None or {"compute_loss", "_compute_loss", "loss", "super"} & set(
        step.__code__.co_names
    ):
        return
    if answer.units == 1 and np.asarray(data.y).ndim == 1 and len(keras.tree.flatten(model.outputs)[0].shape) == 2:
        yield SHAPES


def _of_lengths(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
    """Of connectionist temporal classification each label of a row needs a step of the answer; 0 is none."""
    output, ctc = output_of(model), getattr(keras.losses, "CTC", ())
    if output is None or data is None or data.y is None or not isinstance(getattr(model, "loss", None), ctc):
        return
    y, steps = np.asarray(data.y), output.shape[1]
    longest = int((y != 0).sum(axis=1).max()) if y.ndim == 2 and len(y) else 0
    if steps is not None and longest > steps:
        yield Finding(
            FindingKind.LABEL_LENGTH,
            f"Labels are up to {longest} of one row, and the answer has {steps} steps: none is left for each label.",
            "Keep more steps, by less stride or pooling, or leave such rows out.",
        )


def _numbers_classes(y: np.ndarray) -> bool:
    """Whether targets may be the numbers of three classes or more: all whole numbers from 0 to some, not many."""
    found = np.unique(y)
    return 2 < len(found) <= MOST_CLASSES and np.array_equal(found, np.arange(len(found)))


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
    has = f"{answer.units} units, for 0 to {answer.units - 1}" if answer.units > 1 else "one unit, for 0 alone"
    yield Finding(
        FindingKind.LABELS_BEYOND,
        f"Labels run from {low} to {high}, and the answer has {has}.",
        f"Take {BINARY}, or give the last layer 2 units and a softmax." if answer.units == high == 1 and low == 0
        else f"Subtract {low} from the labels: classes are counted from 0." if shifted
        else f"Give the last layer {high + 1} units, or number the classes from 0 without gaps.",
    )  # fmt: skip


def _of_tokens(model: keras.Model, data: Data | None, *_: Any) -> Iterator[Finding]:
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if data is None or len(inputs) != 1:
        return
    reading = [
        each for each in layers_of(model) if isinstance(each, keras.layers.Embedding) and each.input is inputs[0]
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
