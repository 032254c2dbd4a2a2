"""Sums of squares in JAX that are right whatever the magnitudes, without float64.

One quick pass of float32 serves where no square has left its range; else the same numbers are summed once more, each
divided by the largest. `settled` makes one number of both, outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bench.recorder.norms import SMALL, SURE

SUMS = 3  # of a tensor: of its squares, the largest magnitude, and of the squares of what is divided by it


def square_sums(tensors: Sequence[jax.Array]) -> jax.Array:
    """Of each tensor [tensors, SUMS] in float32, which `settled` makes one number of."""
    small = [k for k, each in enumerate(tensors) if each.size <= SMALL]
    large = [k for k, each in enumerate(tensors) if each.size > SMALL]
    parts = []
    if small:
        longest = max(1, *(tensors[k].size for k in small))
        parts.append(_exact([_padded(tensors[k], longest) for k in small]))
    if large:
        wide = [tensors[k].astype(jnp.float32) for k in large]
        quick = jnp.stack([jnp.sum(jnp.square(each)) for each in wide])
        sure = jnp.all((quick > SURE[0]) & (quick < SURE[1]))
        parts.append(
            jax.lax.cond(
                sure,
                lambda: jnp.stack([quick, jnp.zeros_like(quick), jnp.zeros_like(quick)], axis=1),
                lambda: jnp.concatenate([_exact([each.reshape(-1)]) for each in wide]),
            )
        )
    order = np.argsort(np.array(small + large, np.int32))
    return jnp.concatenate(parts)[order]


def _padded(tensor: jax.Array, length: int) -> jax.Array:
    return jnp.pad(tensor.astype(jnp.float32).reshape(-1), (0, length - tensor.size))


def _exact(tensors: list[jax.Array]) -> jax.Array:
    rows = jnp.stack(tensors)
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
