"""Dropout of every run at once, each run's masks its own whoever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

LAYERS = 2**14  # more than a network may have: step times this plus the layer is one number for each pair


class Dropout:
    """What `keras.layers.Dropout` does behind each hidden layer (Srivastava et al. 2014), at a rate for each run.

    A mask follows from the run's seed, the step and the layer alone. It is drawn again for the backward pass, which
    is quicker than to keep it, and so for a step that is taken again.
    """

    def __init__(self, rates: tf.Tensor, seeds: Sequence[int]) -> None:
        """Rates [R] in [0, 1), and a seed for each run; runs of one seed have masks of the same draw."""
        self.rates = rates
        self.seeds = list(dict.fromkeys(seeds))
        self.place = tf.constant([self.seeds.index(seed) for seed in seeds])
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64)  # updates already applied

    def __call__(self, h: tf.Tensor, layer: Any) -> tf.Tensor:
        """What is left of a layer's outputs [R, ...], or of the gradients for them; at a rate of 0 what was."""
        lead = [-1] + [1] * (len(h.shape) - 1)
        scale = tf.reshape(tf.cast(1.0 / (1.0 - self.rates), h.dtype), lead)
        return tf.where(self.kept(h.shape[1:], layer), h * scale, tf.zeros([], h.dtype))

    def factors(self, shape: Sequence[int], layer: Any) -> tf.Tensor:
        """What outputs [R, *shape] of a layer are multiplied by: 0, or what makes up for those."""
        scale = tf.reshape(1.0 / (1.0 - self.rates), [-1] + [1] * len(shape))
        return tf.where(self.kept(shape, layer), scale, 0.0)

    def kept(self, shape: Sequence[int], layer: Any) -> tf.Tensor:
        """Which outputs of a layer, counted from the input, each run keeps at this step: [R, *shape], boolean."""
        at = self.step * LAYERS + tf.cast(layer, tf.int64)
        seeds = [tf.stack([tf.constant(seed, tf.int64), at]) for seed in self.seeds]
        drawn = tf.stack([tf.random.stateless_uniform(shape, seed, alg="philox") for seed in seeds])
        return tf.gather(drawn, self.place) >= tf.reshape(self.rates, [-1] + [1] * len(shape))
