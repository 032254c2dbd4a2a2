"""Sums of squares in JAX that are right whatever the magnitudes, without float64.

One quick pass of float32 serves where no square has left its range; else the same numbers are summed once more, each
divided by the largest. `settled` makes one number of both, outside. To a small network each operation is dear: small
tensors are summed side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bench.recorder.ranges import SMALL, SURE

SUMS = 3  # of a tensor: of its squares, the largest magnitude, and of the squares of what is divided by it
BESIDE = 2**14  # numbers of a tensor that is copied beside others of its size


def square_sums(tensors: Sequence[jax.Array]) -> tuple[list[int], jax.Array]:
    """Of each tensor [tensors, SUMS] in float32, which `settled` makes one number of; and the number of each."""
    order, parts = [], []
    for numbers, rows in _groups([k for k, each in enumerate(tensors) if each.size <= SMALL], tensors):
        order += numbers
        parts.append(_exact(rows))
    large = _groups([k for k, each in enumerate(tensors) if each.size > SMALL], tensors)
    if large:
        order += [number for numbers, _ in large for number in numbers]
        quick = jnp.concatenate([jnp.sum(jnp.square(rows), axis=1) for _, rows in large])
        sure = jnp.all((quick > SURE[0]) & (quick < SURE[1]))
        parts.append(
            jax.lax.cond(
                sure,
                lambda: jnp.stack([quick, jnp.zeros_like(quick), jnp.zeros_like(quick)], axis=1),
                lambda: jnp.concatenate([_exact(rows) for _, rows in large]),
            )
        )
    return order, jnp.concatenate(parts)


def _groups(numbers: Sequence[int], tensors: Sequence[jax.Array]) -> list[tuple[list[int], jax.Array]]:
    """The numbers of tensors that are summed together, and these as rows [tensors, entries] of float32."""
    found: dict[object, list[int]] = {}
    for number in numbers:
        size = tensors[number].size
        # Those of few numbers are filled up with zeros to the next power of two, so that there are few groups.
        key = 1 << (size - 1).bit_length() if 0 < size <= SMALL else size
        found.setdefault(key if size <= BESIDE else (number, size), []).append(number)
    return [(group, beside([tensors[number] for number in group])) for group in found.values()]


def beside(tensors: Sequence[jax.Array]) -> jax.Array:
    """Tensors as rows of float32 [tensors, entries], as many as the longest has; zeros fill up the others."""
    length = max(1, *(each.size for each in tensors))
    flat = [each.reshape(-1).astype(jnp.float32) for each in tensors]
    return jnp.stack([each if each.size == length else jnp.pad(each, (0, length - each.size)) for each in flat])


def _exact(rows: jax.Array) -> jax.Array:
    known = jnp.where(jnp.isnan(rows), 0.0, jnp.abs(rows))  # whose largest is infinite only if a number is
    largest = jnp.max(known, axis=1)
    by = jnp.where((largest > 0.0) & (largest < math.inf), largest, 1.0)
    parts = jax.lax.optimization_barrier(known / by[:, None])  # else the square of `by` comes first
    return jnp.stack([jnp.sum(jnp.square(rows), axis=1), largest, jnp.sum(jnp.square(parts), axis=1)], axis=1)


def settled(sums: np.ndarray) -> np.ndarray:
    """The sums of squares [tensors] in float64: infinity where a tensor holds one, else NaN where it holds NaN."""
    quick, largest, parts = np.asarray(sums, np.float64).T
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.where((quick > SURE[0]) & (quick < SURE[1]), quick, parts * np.square(largest))
    return np.where(np.isposinf(largest), np.inf, np.where(np.isnan(quick), np.nan, found))
