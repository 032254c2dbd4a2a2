"""Statistics of a layer's activations in JAX: as `activations.py` has them, of the step that trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from bench.recorder.slopes import FEWEST, LOOKED, RELU, is_own, largest_slope, name_of
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

BESIDE = 2**16  # numbers of a layer that is copied beside others like it: to a small network each operation is dear

OF_OUTPUT: dict[str, tuple[Callable[[jax.Array], jax.Array], float]] = {
    "relu6": (lambda h: ((h > 0.0) & (h < 6.0)).astype(jnp.float32), 1.0),
    "relu": (lambda h: (h > 0.0).astype(jnp.float32), 1.0),
    "sigmoid": (lambda h: h * (1.0 - h), 0.25),
    "tanh": (lambda h: 1.0 - jnp.square(h), 1.0),
}


def steepest(activation: Callable[..., Any]) -> float | None:
    """The largest slope of an activation on [-8, 8]; None where it is not a function of each number alone."""
    with jax.ensure_compile_time_eval():
        return largest_slope(lambda numbers: activation(jnp.asarray(numbers)))


def statistics_of(places: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[list[int], jax.Array]]:
    """`STATISTICS` of places by their number, [places, 8] in float32, and which of them; NaN of what is not known.

    Args:
        places: of each `h`, `z` and `maker`, as `activations.statistics` has them; one with neither is passed over.
    """
    alike: dict[object, list[int]] = {}
    for number, place in places.items():
        whole = place.get("z") if place.get("h") is None else place["h"]
        if whole is None:
            continue
        tensors = [(each.shape, each.dtype) for each in (place.get("h"), place.get("z")) if each is not None]
        maker = place.get("maker")
        key = (*tensors, place.get("h") is None, id(maker) if is_own(maker) else name_of(maker), is_own(maker))
        alike.setdefault(key if whole.size <= BESIDE else number, []).append(number)
    for numbers in alike.values():
        first = places[numbers[0]]
        whole, looked = (
            None if first.get(name) is None else jnp.stack([places[number][name] for number in numbers])
            for name in ("h", "z")
        )
        yield numbers, jax.vmap(partial(_statistics, activation=first.get("maker")))(whole, looked)


def _statistics(h: jax.Array | None, z: jax.Array | None, activation: Callable[..., Any] | None) -> jax.Array:
    """Of h [B, ..., units]; without an activation h is z."""
    whole = z if h is None else h
    assert whole is not None
    wide = _first(whole)
    z = None if z is None else _first(z)
    flat = wide.reshape(wide.shape[0], -1)
    numbers = [wide.mean(), wide.std(), jnp.sqrt(jnp.mean(jnp.var(flat, axis=-1)))]
    slope, most = _slope(wide, z, activation)
    if slope is None:
        numbers += [jnp.float32(math.nan)] * 4
    else:
        numbers += [
            _share(slope < SATURATION_FRACTION * most),
            _dead(whole, slope, activation),
            _share(wide <= 0.0),
            jnp.float32(math.nan) if z is None or not is_own(activation) else _share(abs(z) >= LARGE_INPUT),
        ]
    return jnp.stack([*numbers, _pair_cosine(flat)])


def _first(tensor: jax.Array) -> jax.Array:
    """As many of the first samples as hold `LOOKED` numbers, `FEWEST` at least, as float32."""
    most = max(FEWEST, LOOKED // max(1, math.prod(tensor.shape[1:])))
    return tensor[:most].astype(jnp.float32)


def _share(flags: jax.Array) -> jax.Array:
    return jnp.mean(flags.astype(jnp.float32))


def _dead(h: jax.Array, slope: jax.Array, activation: Any) -> jax.Array:
    """Share of units without a slope on any sample; of relu of all samples that there are."""
    axes = tuple(range(h.ndim - 1))
    if name_of(activation) in RELU:
        return _share(jnp.max(h, axis=axes) <= 0)
    return _share(jnp.all(slope == 0.0, axis=axes))


def _slope(h: jax.Array, z: jax.Array | None, activation: Any) -> tuple[jax.Array | None, float]:
    """|phi'| by the output where that tells it, else by the pre-activation; and its maximum."""
    if name_of(activation) in OF_OUTPUT:
        of_output, largest_slope = OF_OUTPUT[name_of(activation)]
        return of_output(h), largest_slope
    known = activation is not None and z is not None and is_own(activation)
    largest = steepest(activation) if known else None
    if largest is None:
        return None, 0.0
    return jnp.abs(jax.grad(lambda each: jnp.sum(activation(each)))(z)), largest


def _pair_cosine(flat: jax.Array) -> jax.Array:
    """Mean cosine over pairs of samples [B, entries] that are not 0: (|sum of directions|^2 - n) / n (n - 1)."""
    norms = jnp.linalg.norm(flat, axis=-1, keepdims=True)
    directions = jnp.sum(jnp.where(norms == 0.0, 0.0, flat / norms), axis=0)
    count = jnp.sum((norms > 0.0).astype(jnp.float32))
    return (jnp.sum(jnp.square(directions)) - count) / (count * (count - 1.0))
