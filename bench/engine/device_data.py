"""A dataset where steps and evaluations take their samples from."""

from __future__ import annotations

from math import ceil

import numpy as np
import tensorflow as tf

from bench.engine.batches import sample_rows
from bench.engine.datasets import Dataset

PROBE_SAMPLES = 512  # a unit is called dead on no fewer (or on all training rows)
FEW_SAMPLES = 2000  # validation rows that are looked at, at most


class DeviceData:
    """A dataset on the device; `judged` is what evaluations look at, in parts of equal size, the last filled up."""

    def __init__(self, data: Dataset, *, flattens: bool, embeds: bool = False, at_once: int | None = None) -> None:
        self.vocabulary, self.flattens = 0 if embeds else data.vocabulary, flattens
        flat = [np.reshape(x, (len(x), -1)) if flattens else x for x in (data.x_train, data.x_validation)]
        self.x, self.y = tf.constant(flat[0]), tf.constant(data.y_train)
        sample = sample_rows(len(flat[0]), PROBE_SAMPLES)
        few = sample_rows(len(flat[1]), FEW_SAMPLES)
        self.probe_x = tf.constant(flat[0][sample])
        self.judged_x = tf.constant(np.concatenate([flat[0][sample], flat[1][few]]))
        self.truth = np.concatenate([data.y_train[sample], data.y_validation[few]])
        self.judged_y = tf.constant(self.truth)
        self.train_samples = len(sample)
        parts = ceil(len(self.truth) / (at_once or len(self.truth)))
        size = ceil(len(self.truth) / parts)
        rows = np.arange(parts * size).reshape(parts, size) % len(self.truth)
        self.judged = [(tf.gather(self.judged_x, part), tf.gather(self.judged_y, part)) for part in rows]
        if parts == 1:
            self.judged = [(self.judged_x, self.judged_y)]

    def as_taken(self, x: tf.Tensor) -> tf.Tensor:
        """Samples [..., B, ...] as the network takes them: tokens [..., B, T] one-hot unless it embeds them."""
        if not self.vocabulary:
            return x
        steps = tf.one_hot(x, self.vocabulary)
        return tf.reshape(steps, [*x.shape[:-1], -1]) if self.flattens else steps
