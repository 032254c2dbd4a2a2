"""What of a network a recorded step did not see, each with its reason: a record says what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from bench.recorder.layers import below, own_kernels, path_of

INSIDE = "it is called inside a function or loop of its own"
NO_TENSOR = "what it gives back is no single tensor of real numbers"
CELL = "its output is seen; what its cell does at each time step is not"
NOT_CALLED = "no recorded step called it"
HIDDEN = "its weights train, but its call is hidden in a function, or they are used without it"
FROZEN = "it is frozen, and so is all before it: no gradient flows back to it"
OPERATIONS = "operations of keras.ops, of no layer: what they make is not looked at"
OWN_WEIGHTS = "weights of the model itself, of no layer: of their gradients alone the norms are recorded"


def left_out(  # noqa: PLR0913 (what the trace knows, each its own)
    model: keras.Model,
    recurrent: tuple[type, ...],
    beside: tuple[type, ...],
    seen: Mapping[int, bool],
    trains: Callable[[Any], bool],
    said: Mapping[str, str],
) -> dict[str, str]:
    """By layer, or what else it is, why it was not seen or not whole.

    Args:
        model: what was trained.
        recurrent: classes of layers that are looked at from outside.
        beside: classes of layers that have no row by design, only their variables' gradients.
        seen: by the id of each layer that has a row whether a gradient was seen there.
        trains: whether an optimizer was given a variable.
        said: reasons that the trace itself found, which go before all others.
    """
    found = dict(said)
    layers = list(model._flatten_layers(include_self=False))
    inside = {id(each) for layer in layers if isinstance(layer, recurrent) for each in below(layer)}
    for layer in layers:
        if id(layer) in inside or isinstance(layer, beside):
            continue
        if why := _why(layer, recurrent, seen, trains):
            found.setdefault(path_of(layer), why)
    if names := list(_operations(model)):
        counted = ", ".join(name if count == 1 else f"{count} {name}" for name, count in Counter(names).items())
        found.setdefault(counted, OPERATIONS)
    inner = {id(variable) for layer in layers for variable in layer.weights}
    own = [each for each in model.trainable_variables if id(each) not in inner and len(each.shape) > 1]
    for each in own:
        found.setdefault(each.path, OWN_WEIGHTS)
    return found


def _why(layer: Any, recurrent: tuple[type, ...], seen: Mapping[int, bool], trains: Callable[[Any], bool]) -> str:
    """Why a layer was not seen, or not whole; empty of one that was, and of one that has no kernel."""
    if isinstance(layer, recurrent):
        return CELL if id(layer) in seen else NOT_CALLED
    kernels = own_kernels(layer)
    if not kernels:
        return ""
    if id(layer) in seen:
        return "" if seen[id(layer)] else FROZEN
    return HIDDEN if any(map(trains, kernels)) else NOT_CALLED


def _operations(model: Any) -> Iterator[str]:
    """Classes of what a functional model does between its layers; what a subclass does in its lines nobody can list."""
    for part in (model, *below(model)):
        for each in getattr(part, "operations", ()):
            if not isinstance(each, keras.layers.Layer):
                yield type(each).__name__
