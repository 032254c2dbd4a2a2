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
        kind: of the targets: `classes` are told by cross-entropy, `values` by their squared error.
        outputs: units of the head: one a class, or one a value.
        naive_loss: of the best answer that looks at no input: ln K for K classes, the values' variance.
    """

    kind: DataKind
    outputs: int
    naive_loss: float

    @classmethod
    def of(cls, data: Dataset) -> Objective:
        """The objective of a dataset."""
        if data.kind is DataKind.CLASSES:
            return cls(data.kind, data.classes, math.log(data.classes))
        return cls(data.kind, data.classes, variance(data.y_train))

    @property
    def classes(self) -> int:
        """How many classes there are; 0 where the targets are values."""
        return self.outputs if self.kind is DataKind.CLASSES else 0

    def losses(self, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Each sample's loss [..., B], from targets [..., B] or, of values, [..., B, k], and outputs [..., B, k]."""
        if self.kind is DataKind.CLASSES:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs)
        return tf.reduce_mean(tf.math.squared_difference(tf.reshape(y, tf.shape(outputs)), outputs), axis=-1)

    def answers(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """The class that each sample is given, [..., B]; None where there are no classes."""
        return tf.argmax(outputs, axis=-1, output_type=tf.int32) if self.kind is DataKind.CLASSES else None
