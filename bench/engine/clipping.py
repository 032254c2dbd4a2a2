"""Gradient clipping in the open and per run, by Keras's three rules and by Brock's.

Every rule takes the whole gradient (one tensor a variable, [N, R, ...]) and a limit per run, infinite where the rule
is not that run's; such a run's gradient passes through bit by bit. Keras's three rules are three different things:
`clipvalue` bounds each entry, `clipnorm` the norm of each variable, `global_clipnorm` the norm of everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

Tensors = list[tf.Tensor]
Clip = Callable[[Tensors, Sequence[tf.Tensor], tf.Tensor], Tensors]

UNIT_FLOOR = 1e-3  # the least norm that Brock's rule takes a unit's weights to have: eps in arXiv:2102.06171, eq. 3


def per_run(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Values [R] shaped to multiply a variable [N, R, ...]."""
    return tf.reshape(values, [1, -1] + [1] * (len(like.shape) - 2))


def _norm(tensor: tf.Tensor, axes: list[int]) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(tensor), axis=axes, keepdims=True)) if axes else tf.abs(tensor)


def by_value(gradients: Tensors, variables: Sequence[tf.Tensor], limit: tf.Tensor) -> Tensors:
    """Each entry into [-limit, limit]: Keras's `clipvalue`."""
    bounded = [tf.clip_by_value(g, -per_run(limit, g), per_run(limit, g)) for g in gradients]
    return _where_limited(limit, bounded, gradients)


def by_norm(gradients: Tensors, variables: Sequence[tf.Tensor], limit: tf.Tensor) -> Tensors:
    """Each variable's norm down to the limit: Keras's `clipnorm`. Each block's variable is one of its own."""
    clipped = []
    for g in gradients:
        bound = per_run(limit, g)
        clipped.append(g * bound / tf.maximum(_norm(g, list(range(2, len(g.shape)))), bound))
    return _where_limited(limit, clipped, gradients)


def by_global_norm(gradients: Tensors, variables: Sequence[tf.Tensor], limit: tf.Tensor) -> Tensors:
    """The norm over all variables down to the limit: Keras's `global_clipnorm` (Pascanu et al. 2013)."""
    norm = global_norm(gradients)
    scale = tf.cast(tf.cast(limit, tf.float64) / tf.maximum(norm, tf.cast(limit, tf.float64)), tf.float32)
    return _where_limited(limit, [g * per_run(scale, g) for g in gradients], gradients)


def by_unit(gradients: Tensors, variables: Sequence[tf.Tensor], limit: tf.Tensor) -> Tensors:
    """Each unit's gradient norm to at most limit x its weights' norm (Brock et al. 2021).

    A unit is a column of a kernel; a bias or another vector is one unit as a whole.
    """
    clipped = []
    for g, w in zip(gradients, variables, strict=True):
        axes = list(range(2, len(g.shape) - 1)) or list(range(2, len(g.shape)))
        bound = per_run(limit, g) * tf.maximum(_norm(tf.convert_to_tensor(w), axes), UNIT_FLOOR)
        norm = _norm(g, axes)
        clipped.append(tf.where(norm > bound, g * (bound / tf.maximum(norm, 1e-6)), g))
    return _where_limited(limit, clipped, gradients)


def _where_limited(limit: tf.Tensor, clipped: Tensors, gradients: Tensors) -> Tensors:
    limited = tf.math.is_finite(limit)
    return [tf.where(per_run(limited, g), c, g) for c, g in zip(clipped, gradients, strict=True)]


def global_norm(gradients: Tensors) -> tf.Tensor:
    """Norm over all variables of each run, [R], float64."""
    sums = [
        tf.reduce_sum(tf.square(tf.cast(g, tf.float64)), axis=[0, *range(2, len(g.shape))]) for g in gradients
    ]
    return tf.sqrt(tf.add_n(sums))


HEADLESS = ("adaptive",)  # rules that leave the head alone, as Brock et al. do
RULES: dict[str, Clip] = {"value": by_value, "norm": by_norm, "global_norm": by_global_norm, "adaptive": by_unit}
