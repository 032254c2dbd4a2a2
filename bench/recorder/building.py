"""What layers, optimizer and schedule say by themselves of a training that has not begun.

docs/rules.md, "Your own network", has every rule. What is not known is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from bench.data_quality import Data
from bench.finding import Finding, FindingKind
from bench.recorder.inner_optimizers import innermost
from bench.recorder.layers import path_of

UNBOUNDED = ("linear", "relu", "elu", "selu", "gelu", "leaky_relu", "silu", "swish", "softplus", "exponential")
CELLS = (keras.layers.SimpleRNN, keras.layers.LSTM, keras.layers.GRU)
STRAIGHT = (
    keras.layers.InputLayer, keras.layers.Dense, keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape,
    keras.layers.Normalization, keras.layers.Rescaling, keras.layers.BatchNormalization,
)  # fmt: skip
BUILT = (
    FindingKind.BATCH_OF_ONE, FindingKind.NORM_OF_ONE, FindingKind.CONSTANT_START, FindingKind.UNBOUNDED_CELL,
    FindingKind.LINEAR, FindingKind.SCHEDULE, FindingKind.DROPPED, FindingKind.FROZEN, FindingKind.LONG_SEQUENCE,
    FindingKind.DECAY, FindingKind.CONSTRAINT, FindingKind.EPSILON, FindingKind.HALF_WEIGHTS, FindingKind.POST_NORM,
    FindingKind.SMOOTHED,
)  # fmt: skip
DROPPED, DROPPED_TWICE = 0.9, 0.75  # rates of dropout: of one layer, of each of two or more
LONG = 50  # steps of a sequence
FROZEN = 0.5  # share of layers with weights
TENTH, ENDED = 0.1, 0.01  # of the planned steps; of the first rate
DECAYED = 0.01  # of each weight, at every step
SMOOTHED = 0.5  # of a label, spread over all classes
CUT = 0.1  # of a kernel's norm, left by a constraint
HALF_ZERO = 2.0**-25  # what is no larger float16 rounds to 0
HALFWAY = 0.5  # of the planned steps
RISKY = (
    "Log", "Log2", "Log10", "Log1p", "Sqrt", "Rsqrt", "Divide", "TrueDivide", "Exp", "Expm1", "Power", "Reciprocal",
    "Norm", "Logsumexp", "Arctanh", "Arccosh", "Sinh", "Cosh", "Tan",
)  # fmt: skip
POST_NORM, UNWARMED = 6, 5e-4  # sub-layers; the rate of Adam from the first step on


def of_layers(model: keras.Model, data: Data | None, batch: int | None, _: Any) -> Iterator[Finding]:
    """What single layers are told to do, and how many of them do not train or do not bend."""
    layers = layers_of(model)
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
    single = [each for each in layers if _normalizes_one(each)]
    if single:
        yield Finding(
            FindingKind.NORM_OF_ONE,
            f"{single[0].name} normalizes over a single number: each less its own mean is 0, whatever the input.",
            "Leave it out, or normalize over more: fewer groups, or the axis of the features.",
        )
    dropped = [each for each in layers if isinstance(each, keras.layers.Dropout) and each.rate >= DROPPED_TWICE]
    most = max(dropped, key=lambda each: each.rate, default=None)
    if most is not None and (most.rate >= DROPPED or len(dropped) > 1):
        others = f", and {len(dropped) - 1} more about as much" if len(dropped) > 1 else ""
        yield Finding(
            FindingKind.DROPPED,
            f"{most.name} drops {100 * most.rate:.3g} % of its inputs at each step{others}.",
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


def of_start(model: keras.Model, *_: Any) -> Iterator[Finding]:
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


def of_schedule(model: keras.Model, _: Any, __: Any, planned: int | None) -> Iterator[Finding]:
    """A schedule that is at its end before training has well begun."""
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


def of_smoothing(model: keras.Model, *_: Any) -> Iterator[Finding]:
    """A loss of Keras's that spreads most of each label over all classes."""
    smoothing = getattr(getattr(model, "loss", None), "label_smoothing", None)
    smoothing = smoothing or getattr(getattr(model, "loss", None), "_fn_kwargs", {}).get("label_smoothing")
    if isinstance(smoothing, int | float) and smoothing >= SMOOTHED:
        yield Finding(
            FindingKind.SMOOTHED,
            f"The loss spreads {100 * smoothing:.3g} % of each label over all classes (label_smoothing).",
            "Take 0.1, or none.",
        )


def of_optimizer(model: keras.Model, *_: Any) -> Iterator[Finding]:
    """A weight decay that leaves nothing of what is learned, and post-norm blocks without a warmup."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return
    inner = innermost(optimizer)
    rate, decay = float(inner.learning_rate), float(inner.weight_decay or 0.0)
    if rate * decay >= DECAYED:
        yield Finding(
            FindingKind.DECAY,
            f"Weight decay takes {100 * rate * decay:.3g} % of each weight at every step (rate {rate:.3g} times "
            f"weight_decay {decay:.3g}).",
            "Take a hundredth of it, or none.",
        )
    blocks = [each for each in layers_of(model) if isinstance(each, keras.layers.LayerNormalization) and _of_sum(each)]
    attends = any(isinstance(each, keras.layers.MultiHeadAttention) for each in layers_of(model))
    adam = isinstance(inner, keras.optimizers.Adam)
    steady = not isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
    if attends and adam and steady and len(blocks) >= POST_NORM and rate >= UNWARMED:
        yield Finding(
            FindingKind.POST_NORM,
            f"{len(blocks)} sub-layers are normalized behind their sum (post-norm), and the rate is {rate:.3g} from "
            "the first step on.",
            "Warm the rate up over the first steps, or normalize before each sub-layer (pre-norm).",
        )


def fallen(first: float | None, rate: float | None, step: int, planned: int | None) -> list[Finding]:
    """Whether a rate that callbacks or a schedule lower is next to nothing before half of training."""
    if first is None or rate is None or not planned or step > HALFWAY * planned or rate > ENDED * first:
        return []
    return [
        Finding(
            FindingKind.RATE_FELL,
            f"The rate fell from {first:.3g} to {rate:.3g} by step {step} of {planned}.",
            "Let the schedule or callback lower it later: more patience, or a factor nearer to 1.",
        )
    ]


def risky_before(model: keras.Model) -> dict[str, str]:
    """By layer with weights, what stands right before it in a functional model that can leave the finite numbers.

    Operations of `keras.ops` by name, and layers of one's own without weights, nearest first.
    """
    found: dict[str, str] = {}
    with suppress(AttributeError, TypeError, ValueError):  # a model that is not built as others are
        found |= _risky_before(model)
    return found


def _risky_before(model: keras.Model) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in layers_of(model):
        if not layer.weights:
            continue
        names: dict[str, None] = {}
        waiting = keras.tree.flatten(getattr(layer, "input", None)) if getattr(layer, "_inbound_nodes", None) else []
        seen: set[int] = set()
        while waiting:
            made = getattr(getattr(waiting.pop(0), "_keras_history", None), "operation", None)
            if made is None or id(made) in seen or getattr(made, "weights", None) or not made._inbound_nodes:
                continue
            seen.add(id(made))
            own = isinstance(made, keras.layers.Layer) and not type(made).__module__.startswith("keras.")
            if own or isinstance(made, keras.layers.Lambda) or type(made).__name__ in RISKY:
                names[made.name] = None
            waiting += made._inbound_nodes[0].input_tensors
        if names:
            found[path_of(layer)] = ", ".join(names)
    return found


def of_constraints(model: keras.Model, *_: Any) -> Iterator[Finding]:
    """A constraint that leaves next to nothing of a kernel as it starts."""
    for each in model.trainable_variables:
        constraint = getattr(each, "constraint", None)
        if constraint is None or len(each.shape) < 2:
            continue
        before, after = (np.asarray(part, np.float64) for part in (each.value, constraint(each.value)))
        norm = float(np.linalg.norm(before))
        left = float(np.linalg.norm(after)) / norm if norm > 0.0 else 1.0
        if left <= CUT:
            yield Finding(
                FindingKind.CONSTRAINT,
                f"The constraint of {each.path} leaves {left:.3g} of its norm as it starts.",
                "Take a wider one, as keras.constraints.MaxNorm(3), or none.",
            )
            return


def of_precision(model: keras.Model, *_: Any) -> Iterator[Finding]:
    """Weights in float16, and numbers of a functional model's operations that it rounds to 0, as an epsilon."""
    whole = [each for each in model.trainable_variables if str(each.dtype) == "float16"]
    if whole:
        yield Finding(
            FindingKind.HALF_WEIGHTS,
            f"{len(whole)} of {len(model.trainable_variables)} weights are kept in float16: the square of a gradient "
            "below 0.0002 is 0 in it, and small updates are lost.",
            'Take the policy "mixed_float16", which keeps weights in float32.',
        )
    for operation in getattr(model, "operations", ()):
        if isinstance(operation, keras.layers.Layer):
            continue
        for node in operation._inbound_nodes:
            half = any(each.dtype == "float16" for each in node.input_tensors)
            given = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
            small = [each for each in given if isinstance(each, float) and 0.0 < abs(each) <= HALF_ZERO]
            if half and small:
                yield Finding(
                    FindingKind.EPSILON,
                    f"{operation.name} is given {small[0]:g}, which float16 rounds to 0.",
                    "Take 1e-4 or more, or cast to float32 before it.",
                )
                return


def _normalizes_one(layer: Any) -> bool:
    """Whether a normalization takes the mean of one number alone."""
    shape = _given(layer)
    if isinstance(layer, keras.layers.LayerNormalization) and shape:
        axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
        return all(shape[axis] == 1 for axis in axes)
    if isinstance(layer, keras.layers.GroupNormalization) and shape:
        groups = shape[layer.axis] if layer.groups == -1 else layer.groups
        beside = [size for axis, size in enumerate(shape) if axis not in (0, layer.axis % len(shape))]
        return shape[layer.axis] == groups and all(size == 1 for size in beside)
    return False


def _of_sum(layer: Any) -> bool:
    """Whether a layer of a functional model is given a sum of two tensors."""
    tensor = layer.input
    made: Any = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    if type(made).__name__ not in ("Add", "Sum"):
        return False
    return len(keras.tree.flatten(made.input)) > 1


def layers_of(model: keras.Model) -> Sequence[Any]:
    """All layers of a model and of those within it, without the models themselves."""
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
