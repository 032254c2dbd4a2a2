"""What a network is trained for: a loss and a score, by the kind of its dataset's targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from bench.engine.datasets import Dataset
from bench.engine.scores import variance
from bench.factors import DataKind


@dataclass(frozen=True)
class Objective:
    """The loss that is minimized; what an objective does not have is null in the tables.

    Attributes:
        kind: of the targets: `classes` are told by cross-entropy, `classes_each` by its mean over a sample's steps,
            `values` by their squared error.
        outputs: units of the head: one a class, at each step that has one, or one a value.
        naive_loss: of the best answer that looks at no input: ln K for K classes, the values' variance.
        steps: targets of a sample that are classes.
    """

    kind: DataKind
    outputs: int
    naive_loss: float
    steps: int = 1

    @classmethod
    def of(cls, data: Dataset) -> Objective:
        """The objective of a dataset."""
        if data.kind is DataKind.CLASSES:
            return cls(data.kind, data.classes, math.log(data.classes))
        if data.kind is DataKind.CLASSES_EACH:
            steps = data.y_train.shape[1]
            return cls(data.kind, steps * data.classes, math.log(data.classes), steps)
        return cls(data.kind, data.classes, variance(data.y_train))

    @property
    def classes(self) -> int:
        """How many classes a sample may have; 0 where it has values, or one class at each step."""
        return self.outputs if self.kind is DataKind.CLASSES else 0

    def losses(self, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Each sample's loss [..., B], from targets [..., B] or, several, [..., B, k], and outputs [..., B, units]."""
        if self.kind is DataKind.CLASSES:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs)
        if self.kind is DataKind.CLASSES_EACH:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, self._by_step(outputs))
            return tf.reduce_mean(each, axis=-1)
        return tf.reduce_mean(tf.math.squared_difference(tf.reshape(y, tf.shape(outputs)), outputs), axis=-1)

    def answers(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """The class that each sample is given, [..., B], or each of its steps, [..., B, k]; None without classes."""
        if self.kind is DataKind.VALUES:
            return None
        by_step = self._by_step(outputs) if self.kind is DataKind.CLASSES_EACH else outputs
        return tf.argmax(by_step, axis=-1, output_type=tf.int32)

    def _by_step(self, outputs: tf.Tensor) -> tf.Tensor:
        """From [..., steps * classes] to [..., steps, classes]."""
        return tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], [self.steps, self.outputs // self.steps]], 0))
