"""What belongs to a layer: its own variables, the layers within it, its path."""

from __future__ import annotations

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
