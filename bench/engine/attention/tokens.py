"""How alike the tokens of a sample are, for all runs at once: the columns on tokens of `activations`.

Shapes: R runs, B samples, T tokens, d numbers a token.
"""

from __future__ import annotations

import math

import tensorflow as tf

from bench.engine.precision import widened

TOKEN_STATISTICS = ("token_cosine", "token_distance", "rank_residual")


def token_statistics(stream: tf.Tensor) -> tf.Tensor:
    """`TOKEN_STATISTICS` of tokens [R, B, T, d], [3, R] in float64, means over samples.

    With u a token over its norm, the mean of 1 - cosine over a sample's pairs is sum |u - mean u|^2 / (T - 1), which in
    float32 goes down to 1e-14, where 1 - cosine itself ends at 1e-7. A token that is exactly 0 has no direction and is
    in no pair; NaN where no sample has a pair. The residual is |X - 1 mean|_F / |X|_F of a sample's X [T, d].
    Source: Dong, Cordonnier & Loukas 2021 (arXiv:2103.03404), who take another norm of the residual.
    """
    stream = widened(stream)
    largest = tf.reduce_max(tf.abs(stream), axis=[2, 3], keepdims=True)
    x = tf.math.divide_no_nan(stream, largest)
    norms = tf.norm(x, axis=-1, keepdims=True)
    some = tf.cast(norms > 0.0, x.dtype)
    count = tf.reduce_sum(some, axis=2, keepdims=True)
    unit = tf.math.divide_no_nan(x, norms)
    apart = some * (unit - tf.math.divide_no_nan(tf.reduce_sum(unit, axis=2, keepdims=True), count))
    squares = tf.cast(tf.reduce_sum(tf.square(apart), axis=[2, 3]), tf.float64)
    paired = tf.cast(count[..., 0, 0], tf.float64) - 1.0
    distance = tf.where(paired > 0.0, squares / tf.maximum(paired, 1.0), tf.constant(math.nan, tf.float64))
    residual = tf.math.divide_no_nan(
        tf.norm(x - tf.reduce_mean(x, axis=2, keepdims=True), axis=[2, 3]), tf.norm(x, axis=[2, 3])
    )
    distance = _mean_of_some(distance)
    return tf.stack([1.0 - distance, distance, tf.reduce_mean(tf.cast(residual, tf.float64), axis=1)])


def _mean_of_some(values: tf.Tensor) -> tf.Tensor:
    """Mean over samples of values [R, B] that are not NaN, [R]; NaN where none is left."""
    some = tf.logical_not(tf.math.is_nan(values))
    return tf.reduce_sum(tf.where(some, values, 0.0), axis=1) / tf.reduce_sum(tf.cast(some, tf.float64), axis=1)
