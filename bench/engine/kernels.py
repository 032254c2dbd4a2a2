"""What a measured step records of each layer's kernels: their raw gradient, themselves and their change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from bench.engine.clipping import Tensors, in_order, variable_norms
from bench.engine.ensemble import Ensemble

KERNEL_COLUMNS = (
    "weight_grad_norm", "weight_grad_mean_abs", "weight_grad_zero_fraction", "weight_norm", "update_norm",
)  # fmt: skip


def kernel_columns(ensemble: Ensemble, gradients: Sequence[tf.Tensor], before: Sequence[tf.Tensor]) -> tf.Tensor:
    """`KERNEL_COLUMNS` of every layer after the update, [columns, layers, R] in float64.

    Args:
        gradients: of the data loss, one for each of the ensemble's variables, [N, R, ...].
        before: each of the ensemble's kernels before the update, [N, R, ...].
    """
    of_kernel = {id(v): g for v, g in zip(ensemble.variables, gradients, strict=True)}
    kernels = ensemble.kernels
    raw = [of_kernel[id(kernel)] for kernel in kernels]
    before = [tf.ensure_shape(b, kernel.shape) for b, kernel in zip(before, kernels, strict=True)]
    changes = [kernel.value - b for kernel, b in zip(kernels, before, strict=True)]
    count, sizes = len(raw), [_entries(each) for each in raw]
    norms = variable_norms([*raw, *before, *changes])
    squares = [norms[:count], norms[count : 2 * count], norms[2 * count :]]
    gradient, weight, update = (_by_stack(ensemble, each, total_norm) for each in squares)
    means, zeros = (
        _by_stack(ensemble, list(zip(each, sizes, strict=True)), _mean)
        for each in (mean_magnitudes(raw), zero_fractions(raw))
    )
    return tf.stack([ensemble.by_layer(group) for group in (gradient, means, zeros, weight, update)])


def _by_stack(ensemble: Ensemble, of_kernels: Sequence[Any], join: Callable[[list[Any]], tf.Tensor]) -> Tensors:
    """One [N, R] for each layer stack, of what there is for each of its kernels; one alone stays as it is."""
    left = iter(of_kernels)
    return [join([next(left) for _ in stack.kernels]) for stack in ensemble.stacks]


def total_norm(norms: Tensors) -> tf.Tensor:
    """The norm over all kernels of a layer, [N, R]."""
    return norms[0] if len(norms) == 1 else tf.sqrt(in_order([tf.square(norm) for norm in norms]))


def _mean(parts: list[tuple[tf.Tensor, float]]) -> tf.Tensor:
    """The mean over the entries of all kernels, from the mean and the entries of each."""
    if len(parts) == 1:
        return parts[0][0]
    return in_order([mean * size for mean, size in parts]) / sum(size for _, size in parts)


def mean_magnitudes(tensors: Sequence[tf.Tensor]) -> Tensors:
    """Mean of |x| over each kernel [N, R, ..., units], each [N, R] in float64.

    A float32 sum of magnitudes is never below its largest term, so nothing is lost at the small end. Where it leaves
    the finite numbers it is taken again in float64: each by itself, so that no run's depends on its neighbours.
    """
    fast = [_sum(tf.abs(tensor)) for tensor in tensors]
    finite = [tf.math.is_finite(total) for total in fast]

    def mended() -> Tensors:
        wide = [tf.abs(tf.cast(tensor, tf.float64)) for tensor in tensors]
        exact = [tf.reduce_sum(each, axis=list(range(2, each.ndim))) for each in wide]
        return [tf.where(f, one, other) for f, one, other in zip(finite, fast, exact, strict=True)]

    every = tf.reduce_all(tf.stack([tf.reduce_all(f) for f in finite]))
    sums = tf.cond(every, lambda: fast, mended)
    return [total / _entries(tensor) for total, tensor in zip(sums, tensors, strict=True)]


def zero_fractions(tensors: Sequence[tf.Tensor]) -> Tensors:
    """Share of exact zeros in each kernel [N, R, ..., units], each [N, R] in float64; NaN is not 0."""
    return [_sum(tf.cast(tf.equal(tensor, 0.0), tf.float32)) / _entries(tensor) for tensor in tensors]


def _sum(tensor: tf.Tensor) -> tf.Tensor:
    """Sum over each kernel, [N, R]: along rows in float32, over rows in float64, which is half the price of all."""
    rows = tf.cast(tf.reduce_sum(tensor, axis=-1), tf.float64)
    return tf.reduce_sum(rows, axis=list(range(2, rows.ndim)))


def _entries(tensor: tf.Tensor) -> float:
    return float(math.prod(tensor.shape[2:]))
