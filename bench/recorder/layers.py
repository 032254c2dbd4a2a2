"""What belongs to a layer: its own variables, the layers within it, its path; of a model all that a step changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def own_variables(layer: Any) -> list[Any]:
    """The trainable variables of a layer that are in no layer below it."""
    inner = {id(v) for each in below(layer) for v in each.trainable_variables}
    return [v for v in layer.trainable_variables if id(v) not in inner]


def own_kernels(layer: Any) -> list[Any]:
    """Those of a layer's own variables that are matrices or more, frozen ones too.

    What a wrapper keeps beside the layer that it wraps is a kernel if it trains: a spectral norm's vector is none.
    """
    inner = {id(v) for each in below(layer) for v in each.variables}
    kept = layer.trainable_variables if isinstance(layer, keras.layers.Wrapper) else layer.weights
    return [v for v in kept if id(v) not in inner and len(v.shape) > 1]


def has_variables(model: Any) -> bool:
    """Whether a model and all of its layers have made their variables."""
    return bool(model.built and all(each.built for each in below(model)))


def below(layer: Any) -> list[Any]:
    """All layers within a layer."""
    return list(layer._flatten_layers(include_self=False))


def path_of(layer: Any) -> str:
    """A layer's path, or its name where it has none."""
    return str(getattr(layer, "path", None) or layer.name)


def state_of(model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]) -> list[keras.Variable]:
    """Every variable that a step may change, each once, in an order that depends on the model alone."""
    found: dict[int, keras.Variable] = {}
    for each in [*model.variables, *model.metrics_variables, *(v for one in optimizers for v in one.variables)]:
        found.setdefault(id(each), each)
    return list(found.values())
