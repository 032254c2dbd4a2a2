"""How an answer is made at last: what stands behind the last layer with weights, and what it does to probabilities.

docs/rules.md, "Your own network", has every rule. A model that is made by code alone is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from bench.data_quality import Data
from bench.finding import Finding, FindingKind
from bench.recorder.settings import snake

MOVES_ALONE = (
    keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute, keras.layers.Dropout,
    keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D, keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D, keras.layers.Identity,
)  # fmt: skip
SHARES = ("softmax", "sigmoid")


def output_of(model: keras.Model) -> Any:
    """The one tensor that a model gives; None where it has several, or is made by code alone."""
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if len(outputs) != 1 or not hasattr(outputs[0], "_keras_history") or outputs[0].shape[-1] is None:
        return None
    layer = outputs[0]._keras_history.operation
    return output_of(layer) if isinstance(layer, keras.Model) else outputs[0]


def bend_of(layer: Any) -> str:
    """The name of what a layer does last; "" where nobody knows."""
    if isinstance(layer, keras.layers.Softmax | keras.layers.ReLU):
        return "" if getattr(layer, "max_value", None) else snake(type(layer).__name__).replace("re_lu", "relu")
    known = isinstance(layer, keras.layers.Dense | keras.layers.Activation | keras.layers.EinsumDense) or (
        hasattr(layer, "kernel_size") and hasattr(layer, "padding")
    )
    activation = getattr(layer, "activation", None)
    return str(getattr(activation, "__name__", "")) if known else ""


def last_layers(model: keras.Model) -> Iterator[Any]:
    """From the last layer back to the last with weights: as long as each has one input."""
    tensor = output_of(model)
    while tensor is not None:
        layer = tensor._keras_history.operation
        yield layer
        if layer.weights or not isinstance(layer, (*MOVES_ALONE, keras.layers.Softmax, keras.layers.Activation)):
            return
        given = keras.tree.flatten(layer.input)
        tensor = given[0] if len(given) == 1 and hasattr(given[0], "_keras_history") else None


def of_ending(model: keras.Model, _: Data | None, logits: bool | None) -> Iterator[Finding]:
    """What is odd about how the answer is made.

    Args:
        model: what is trained.
        logits: whether the loss takes logits; None of a loss that takes no probabilities, or that nobody knows.
    """
    layers = list(last_layers(model))
    shares = [each for each in layers if bend_of(each) in SHARES]
    crossed = [each for each in shares if isinstance(each, keras.layers.Softmax) and _crosses(each)]
    if crossed:
        over = "the rows of a batch" if _axis(crossed[0]) == 0 else f"axis {_axis(crossed[0])}"
        yield Finding(
            FindingKind.SOFTMAX_AXIS,
            f"{crossed[0].name} is a softmax over {over}, and not over the classes.",
            "Leave its axis at -1: the shares of the classes of one answer add up to 1.",
        )
    elif len(shares) > 1 and logits is not None:
        yield Finding(
            FindingKind.TWICE,
            f"{shares[0].name} takes a {bend_of(shares[0])} of what is a {bend_of(shares[1])} already: what is left "
            "lies close together.",
            "Leave one of them out.",
        )
    elif shares and logits and shares[0] is not layers[0]:  # of the very last one Keras finds the logits itself
        yield Finding(
            FindingKind.TWICE,
            f"The loss takes logits, and {shares[0].name} makes probabilities of them before {layers[0].name}.",
            "Leave from_logits out, or the activation.",
        )
    dropped = [each for each in layers if isinstance(each, keras.layers.Dropout) and each.rate > 0]
    if dropped and layers[-1].weights:
        yield Finding(
            FindingKind.ANSWER_DROPPED,
            f"{dropped[0].name} sets {100 * dropped[0].rate:.3g} % of the answer itself to 0 while it trains.",
            "Put dropout before the last layer.",
        )


def _axis(softmax: Any) -> int:
    return int(softmax.axis) if isinstance(softmax.axis, int) else -1


def _crosses(softmax: Any) -> bool:
    return _axis(softmax) not in (-1, len(softmax.input.shape) - 1)
