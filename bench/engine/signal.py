"""What is measured of the back-propagated signal of a layer, for all runs at once."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Watch:
    """Whether a step measures the signal, and what it must know of the batch for it.

    Attributes:
        measure: a scalar flag; nothing is computed where it is false.
        labels: the targets of each run's samples, [R, B]; `classes` is how many there are, 0 where they are values.
    """

    measure: tf.Tensor
    labels: tf.Tensor
    classes: int


def square_sum(tensor: tf.Tensor, keep: int) -> tf.Tensor:
    """Sum of squares over all but the first `keep` axes, in float64: squares of small gradients leave float32."""
    return tf.reduce_sum(tf.square(tf.cast(tensor, tf.float64)), axis=list(range(keep, len(tensor.shape))))


def measure_signal(signal: list[tf.Tensor], watch: Watch) -> tf.Tensor:
    """Of gradients [R, B, ...]: each one's sum of squares, then the first one's correlation, [len + 1, R].

    In float64; zeros where the step does not measure.
    """

    def measured() -> tf.Tensor:
        return tf.stack([*(square_sum(g, 1) for g in signal), class_pair_correlation(signal[0], watch)])

    shape = [len(signal) + 1, signal[0].shape[0]]
    found = tf.cond(watch.measure, measured, lambda: tf.zeros(shape, tf.float64))
    return tf.ensure_shape(found, shape)


def class_pair_correlation(gradients: tf.Tensor, watch: Watch) -> tf.Tensor:
    """Mean cosine between the gradients of two samples of one class, over all such pairs of the batch, [R].

    With u_i the direction of sample i's gradient and n_k the samples of class k that have one, it is
    sum_k (|sum_{i in k} u_i|^2 - n_k) / sum_k n_k (n_k - 1). Pairs of different classes are left out, for there the
    gradients of softmax oppose each other by construction. A sample whose gradient is exactly 0 (it underflowed, or
    every unit is off) has no direction and is in no pair. NaN where no pair is left, a gradient is not finite, or there
    are no classes.
    Source: Balduzzi et al. 2017 (arXiv:1702.08591), who correlate the gradients at inputs along a line.

    Args:
        gradients: one for each sample, [R, B, ...].
    """
    if not watch.classes:
        return tf.fill(gradients.shape[:1], tf.constant(float("nan"), tf.float64))
    wide = tf.reshape(tf.cast(gradients, tf.float64), [*gradients.shape[:2], -1])
    norms = tf.sqrt(tf.reduce_sum(tf.square(wide), axis=-1, keepdims=True))
    inverse = tf.math.divide_no_nan(tf.constant(1.0, tf.float64), norms)
    directions = tf.cast(wide * inverse, tf.float32)  # of one size each: float32 serves, at half the price
    member = tf.one_hot(watch.labels, watch.classes)
    sums = tf.cast(tf.matmul(member, directions, transpose_a=True), tf.float64)  # [R, classes, units]
    has_one = tf.cast(tf.not_equal(norms, 0.0), tf.float32)
    count = tf.cast(tf.reduce_sum(member * has_one, axis=1), tf.float64)
    total = tf.reduce_sum(tf.square(sums), axis=[1, 2]) - tf.reduce_sum(count, axis=1)
    pairs = tf.reduce_sum(count * (count - 1.0), axis=1)
    return tf.where(pairs > 0.0, total / pairs, tf.constant(float("nan"), tf.float64))
