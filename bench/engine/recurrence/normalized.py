"""Layer normalization inside a recurrent cell, for all runs at once.

Each sum of products of a time step is normalized by itself, over the n units of a sample: W x_t + U h_{t-1} of each
gate, and of a GRU's candidate, where the reset gate stands between them, W x_t and U h_{t-1} apart. Then come a gain,
which starts at 1, and the layer's bias, which so is the offset: z = gain (a - mean) / sqrt(variance + epsilon) + bias.
The states are left alone, an LSTM's cell too, so that what it carries is not scaled at each step. Half precision is
widened for it, as in Keras's LayerNormalization.

Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), equation 4, and for a GRU's candidate the appendix; gate by gate as
in TensorFlow 1's `LayerNormBasicLSTMCell`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bench.engine.layers import EPSILON
from bench.engine.precision import widened
from bench.engine.recurrence.cells import Cell


class NormalizedWeights(keras.layers.Layer):
    """The variables of a recurrent layer of Keras, and beside them the gain of each block of z, [n x blocks]."""

    def __init__(self, cell: Cell, units: int) -> None:
        """Of so many units."""
        super().__init__()
        self.layer, self.wide = cell.keras_layer(units), units * len(cell.blocks)

    def build(self, input_shape: Any) -> None:
        """Create them."""
        self.layer.build(input_shape)
        self.gain = self.add_weight(name="gain", shape=(self.wide,), initializer="ones")


@dataclass(frozen=True)
class Normalization:
    """Of one layer of every run.

    Attributes:
        blocks: sums of n units in a step's z.
        gain, offset: [R, 1, n x blocks].
        keeps: how many tensors its forward pass keeps.
    """

    blocks: int
    gain: tf.Tensor
    offset: tf.Tensor
    keeps: int = 2

    def forward(self, sums: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Z of sums [..., R, B, n x blocks], and what is kept: the normalized sums, and 1 / deviation [..., blocks]."""
        apart = self._apart(widened(sums))
        mean, variance = tf.nn.moments(apart, axes=[-1], keepdims=True)
        inverse = tf.math.rsqrt(variance + EPSILON)
        hat = tf.reshape((apart - mean) * inverse, sums.shape)
        return tf.cast(hat * self.gain + self.offset, sums.dtype), (hat, inverse[..., 0])

    def back(self, dz: tf.Tensor, kept: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        """From the gradient for z to those for the sums and, as [R, 2, n x blocks], for gain and offset."""
        (hat, inverse), numbers = kept, dz.dtype
        dz = widened(dz)
        own = tf.stack([tf.reduce_sum(dz * hat, axis=1), tf.reduce_sum(dz, axis=1)], axis=1)
        apart, hats = self._apart(dz * self.gain), self._apart(hat)
        along = tf.reduce_mean(apart * hats, axis=-1, keepdims=True)
        left = apart - tf.reduce_mean(apart, axis=-1, keepdims=True) - hats * along
        return tf.cast(tf.reshape(left * inverse[..., None], dz.shape), numbers), own

    def _apart(self, tensor: tf.Tensor) -> tf.Tensor:
        """[..., n x blocks] as [..., blocks, n]."""
        return tf.reshape(tensor, [*tensor.shape[:-1], self.blocks, tensor.shape[-1] // self.blocks])
