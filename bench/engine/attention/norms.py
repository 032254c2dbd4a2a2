"""Layer normalization of tokens of all runs at once, and the way back, written out.

Shapes: R runs, d the width; tokens are [R, tokens, d], gains and offsets [R, d].
Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450); it agrees with Keras's `LayerNormalization`.
"""

from __future__ import annotations

import tensorflow as tf

from bench.engine.layers import EPSILON
from bench.engine.precision import widened


def standard(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each token at mean 0 and variance 1, and what it was multiplied by for that, [R, tokens, 1].

    As in Keras, half precision is widened for it, and what leaves the normalization is as what entered.
    """
    x = widened(x)
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    root = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + EPSILON)
    return centred * root, root


def scaled(unit: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """The normalization's output of standard tokens."""
    return tf.cast(unit * widened(gain)[:, None] + widened(offset)[:, None], gain.dtype)


def normalized(x: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """The normalization's output."""
    return scaled(standard(x)[0], gain, offset)


def normalized_back(
    found: tuple[tf.Tensor, tf.Tensor], gain: tf.Tensor, dy: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """From the gradient for the output to those for x, the gain and the offset.

    With u the standard tokens and g = gain dy, dx = root (g - mean g - u mean(g u)).

    Args:
        found: what `standard` returned.
    """
    unit, root = found
    numbers, gain, dy = dy.dtype, widened(gain), widened(dy)
    along = dy * unit
    g = dy * gain[:, None]
    pulled = tf.reduce_mean(along * gain[:, None], axis=-1, keepdims=True)
    dx = root * (g - tf.reduce_mean(g, axis=-1, keepdims=True) - unit * pulled)
    return tf.cast(dx, numbers), tf.reduce_sum(along, axis=1), tf.reduce_sum(dy, axis=1)
