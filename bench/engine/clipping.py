"""Gradient clipping in the open and per run, by Keras's three rules and by Brock's.

A gradient is one tensor a variable, [N, R, ...]; a limit is one number per run, infinite where the rule is not that
run's, and such a run's gradient passes through bit by bit. Keras's three rules are three different things: `clipvalue`
bounds each entry, `clipnorm` the norm of each variable, `global_clipnorm` the norm of everything. Norms come as
[N, R] for each variable, so that rules which only scale need no second look at the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

Tensors = list[tf.Tensor]

UNIT_FLOOR = 1e-3  # the least norm that Brock's rule takes a unit's weights to have: eps in arXiv:2102.06171, eq. 3
SQUARES_LOSE = 1e-12  # a norm this small, or its inverse, may have lost squares to float32


def per_run(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Values [R] or [N, R] shaped to multiply a variable [N, R, ...]."""
    lead = values if len(values.shape) == 2 else values[None]
    return tf.reshape(lead, [lead.shape[0], -1] + [1] * (len(like.shape) - 2))


def variable_norms(gradients: Sequence[tf.Tensor]) -> Tensors:
    """L2 norm of each variable's gradient, each [N, R] in float64.

    Computed in float32; where that norm lies where float32 loses squares, again in float64. Each norm is replaced or
    kept by itself, so that no run's depends on its neighbours.
    """
    fast = [tf.cast(_norm(g, keepdims=False), tf.float64) for g in gradients]
    safe = [(n > SQUARES_LOSE) & (n < 1.0 / SQUARES_LOSE) for n in fast]

    def mended() -> Tensors:
        exact = [_norm(tf.cast(g, tf.float64), keepdims=False) for g in gradients]
        return [tf.where(s, f, e) for s, f, e in zip(safe, fast, exact, strict=True)]

    return tf.cond(tf.reduce_all(tf.stack([tf.reduce_all(s) for s in safe])), lambda: fast, mended)


def total(norms: Sequence[tf.Tensor]) -> tf.Tensor:
    """Norm over all variables of each run, [R]."""
    return tf.sqrt(in_order([tf.reduce_sum(tf.square(n), axis=0) for n in norms]))


def in_order(terms: Tensors) -> tf.Tensor:
    """The sum of tensors of one shape, the first first.

    `tf.add_n` begins with a buffer that it may write to, which is another in each graph: a step that is looked at
    again for a lost neighbour would have another last digit.
    """
    return tf.cumsum(tf.stack(terms))[-1]


@dataclass
class Clipped:
    """A clipped gradient, its variables' norms [N, R], and for each run whether it was changed, [R]."""

    gradients: Tensors
    norms: Tensors
    changed: tf.Tensor


def by_value(given: Clipped, variables: Tensors, limit: tf.Tensor) -> Clipped:
    """Each entry into [-limit, limit]: Keras's `clipvalue`."""
    largest = [tf.reduce_max(tf.abs(g), axis=[0, *range(2, len(g.shape))]) for g in given.gradients]
    bounded = [tf.clip_by_value(g, -per_run(limit, g), per_run(limit, g)) for g in given.gradients]
    changed = tf.reduce_max(tf.stack(largest), axis=0) > limit
    return Clipped(bounded, variable_norms(bounded), given.changed | changed)


def by_norm(given: Clipped, variables: Tensors, limit: tf.Tensor) -> Clipped:
    """Each variable's norm down to the limit: Keras's `clipnorm`. Each block's variable is one of its own."""
    return _scaled(given, [_ratio(n, limit) for n in given.norms])


def by_global_norm(given: Clipped, variables: Tensors, limit: tf.Tensor) -> Clipped:
    """The norm over all variables down to the limit: Keras's `global_clipnorm` (Pascanu et al. 2013)."""
    scale = _ratio(total(given.norms), limit)
    return _scaled(given, [scale] * len(given.norms))


def by_unit(given: Clipped, variables: Tensors, limit: tf.Tensor) -> Clipped:
    """Each unit's gradient norm to at most limit x its weights' norm (Brock et al. 2021).

    A unit is a column of a kernel; a bias or another vector is one unit as a whole.
    """
    clipped, changes = [], []
    for g, w in zip(given.gradients, variables, strict=True):
        axes = list(range(2, len(g.shape) - 1)) or list(range(2, len(g.shape)))
        bound = per_run(limit, g) * tf.maximum(_norm(w, axes), UNIT_FLOOR)
        norm = _norm(g, axes)
        over = norm > bound
        clipped.append(g * tf.where(over, bound / tf.maximum(norm, 1e-6), tf.ones_like(norm)))
        changes.append(tf.reduce_any(over, axis=[0, *range(2, len(over.shape))]))
    return Clipped(clipped, variable_norms(clipped), given.changed | tf.reduce_any(tf.stack(changes), axis=0))


def _norm(tensor: tf.Tensor, axes: list[int] | None = None, *, keepdims: bool = True) -> tf.Tensor:
    axes = list(range(2, len(tensor.shape))) if axes is None else axes
    return tf.math.reduce_euclidean_norm(tensor, axis=axes, keepdims=keepdims) if axes else tf.abs(tensor)


def _ratio(norm: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """The ratio limit / max(norm, limit): exactly 1 where the norm is within the limit or there is none."""
    wide = tf.cast(limit, tf.float64)
    return tf.where(norm > wide, wide / norm, tf.ones_like(norm))


def _scaled(given: Clipped, scales: Tensors) -> Clipped:
    gradients = [g * per_run(tf.cast(s, tf.float32), g) for g, s in zip(given.gradients, scales, strict=True)]
    norms = [n * s for n, s in zip(given.norms, scales, strict=True)]
    changes = [tf.reduce_any(tf.reshape(s, [-1, s.shape[-1]]) < 1.0, axis=0) for s in scales]
    return Clipped(gradients, norms, given.changed | tf.reduce_any(tf.stack(changes), axis=0))


Rule = Callable[[Clipped, Tensors, tf.Tensor], Clipped]
RULES: dict[str, Rule] = {"value": by_value, "norm": by_norm, "global_norm": by_global_norm, "adaptive": by_unit}
HEADLESS = ("adaptive",)  # rules that leave the head alone, as Brock et al. do
