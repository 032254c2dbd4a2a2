"""What a measured step records of each layer's kernel: its raw gradient, itself and its change."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from bench.engine.clipping import Tensors, variable_norms
from bench.engine.ensemble import Ensemble

KERNEL_COLUMNS = (
    "weight_grad_norm", "weight_grad_mean_abs", "weight_grad_zero_fraction", "weight_norm", "update_norm",
)  # fmt: skip


def kernel_columns(ensemble: Ensemble, gradients: Sequence[tf.Tensor], before: Sequence[tf.Tensor]) -> tf.Tensor:
    """`KERNEL_COLUMNS` of every layer after the update, [columns, layers, R] in float64.

    Args:
        gradients: of the data loss, one for each of the ensemble's variables, [N, R, ...].
        before: each layer stack's kernel before the update, [N, R, ...].
    """
    of_kernel = {id(v): g for v, g in zip(ensemble.variables, gradients, strict=True)}
    raw = [of_kernel[id(stack.kernel)] for stack in ensemble.stacks]
    before = [tf.ensure_shape(b, stack.kernel.shape) for b, stack in zip(before, ensemble.stacks, strict=True)]
    changes = [stack.kernel.value - b for stack, b in zip(ensemble.stacks, before, strict=True)]
    count = len(raw)
    norms = variable_norms([*raw, *before, *changes])
    groups = [norms[:count], mean_magnitudes(raw), zero_fractions(raw), norms[count : 2 * count], norms[2 * count :]]
    return tf.stack([ensemble.by_layer(group) for group in groups])


def mean_magnitudes(tensors: Sequence[tf.Tensor]) -> Tensors:
    """Mean of |x| over each matrix of tensors [N, R, in, out], each [N, R] in float64.

    A float32 sum of magnitudes is never below its largest term, so nothing is lost at the small end. Where it leaves
    the finite numbers it is taken again in float64: each by itself, so that no run's depends on its neighbours.
    """
    fast = [_sum(tf.abs(tensor)) for tensor in tensors]
    finite = [tf.math.is_finite(total) for total in fast]

    def mended() -> Tensors:
        exact = [tf.reduce_sum(tf.abs(tf.cast(tensor, tf.float64)), axis=[2, 3]) for tensor in tensors]
        return [tf.where(f, one, other) for f, one, other in zip(finite, fast, exact, strict=True)]

    every = tf.reduce_all(tf.stack([tf.reduce_all(f) for f in finite]))
    sums = tf.cond(every, lambda: fast, mended)
    return [total / _entries(tensor) for total, tensor in zip(sums, tensors, strict=True)]


def zero_fractions(tensors: Sequence[tf.Tensor]) -> Tensors:
    """Share of exact zeros in each matrix of tensors [N, R, in, out], each [N, R] in float64; NaN is not 0."""
    return [_sum(tf.cast(tf.equal(tensor, 0.0), tf.float32)) / _entries(tensor) for tensor in tensors]


def _sum(tensor: tf.Tensor) -> tf.Tensor:
    """Sum over each matrix, [N, R]: along rows in float32, over rows in float64, which is half the price of all."""
    return tf.reduce_sum(tf.cast(tf.reduce_sum(tensor, axis=3), tf.float64), axis=2)


def _entries(tensor: tf.Tensor) -> float:
    return float(tensor.shape[2] * tensor.shape[3])
