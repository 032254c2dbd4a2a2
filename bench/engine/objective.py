"""What a network is trained for: a loss and a score, by the kind of its dataset's targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from bench.engine.datasets import Dataset
from bench.engine.scores import AUTO, constant_loss
from bench.errors import DataError
from bench.factors import Choice, DataKind, misfit_of_targets


@dataclass(frozen=True)
class Objective:
    """The loss that is minimized; what an objective does not have is null in the tables.

    Attributes:
        kind: of the targets.
        outputs: units of the head: one a class, at each step that has one, or one a value.
        naive_loss: of the best answer that looks at no input: ln K for K classes, for values `scores.constant_loss`.
        steps: targets of a sample that are classes.
        loss: cross-entropy for classes, at each step its mean over them; for values one of their errors.
    """

    kind: DataKind
    outputs: int
    naive_loss: float
    steps: int = 1
    loss: Choice = AUTO

    @classmethod
    def of(cls, data: Dataset, loss: Choice = AUTO) -> Objective:
        """The objective of a dataset.

        Raises:
            DataError: the loss is not one of what the dataset asks for.
        """
        misfit = misfit_of_targets("loss", loss, data.kind)
        if misfit:
            raise DataError(f"loss {loss.label}: {misfit}")
        if data.kind is DataKind.CLASSES:
            return cls(data.kind, data.classes, math.log(data.classes))
        if data.kind is DataKind.CLASSES_EACH:
            steps = data.y_train.shape[1]
            return cls(data.kind, steps * data.classes, math.log(data.classes), steps)
        return cls(data.kind, data.classes, constant_loss(data.y_train, loss), loss=loss)

    @property
    def classes(self) -> int:
        """How many classes a sample may have; 0 where it has values, or one class at each step."""
        return self.outputs if self.kind is DataKind.CLASSES else 0

    def losses(self, y: tf.Tensor, outputs: tf.Tensor, smoothing: tf.Tensor | None = None) -> tf.Tensor:
        """Each sample's loss [..., B], from targets [..., B] or, several, [..., B, k], and outputs [..., B, units].

        With `smoothing`, a scalar, each label is mixed with all classes alike (Szegedy et al. 2016; Keras's
        `CategoricalCrossentropy(label_smoothing)`); where it is 0 nothing changes.
        """
        if self.kind is DataKind.VALUES:
            return tf.reduce_mean(self._errors(tf.reshape(y, tf.shape(outputs)), outputs), axis=-1)
        logits = outputs if self.kind is DataKind.CLASSES else self._by_step(outputs)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        if smoothing is not None:
            alike = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
            each = tf.where(smoothing > 0.0, (1.0 - smoothing) * each + smoothing * alike, each)
        return each if self.kind is DataKind.CLASSES else tf.reduce_mean(each, axis=-1)

    def log_z_squares(self, outputs: tf.Tensor) -> tf.Tensor:
        """Each sample's (ln Z)^2, Z the sum of its logits' exponentials, mean over its steps, of outputs as `losses`.

        Source: de Brebisson & Vincent 2016 (arXiv:1604.08859); Wortsman et al. 2023 (arXiv:2309.14322), as z-loss.
        """
        each = self.kind is DataKind.CLASSES_EACH
        squares = tf.square(tf.reduce_logsumexp(self._by_step(outputs) if each else outputs, axis=-1))
        return tf.reduce_mean(squares, axis=-1) if each else squares

    def _errors(self, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """What each error in values [..., B, k] costs."""
        if self.loss.name not in ("mean_absolute_error", "huber"):
            return tf.math.squared_difference(y, outputs)
        size = tf.abs(y - outputs)
        if self.loss.name == "mean_absolute_error":
            return size
        delta = float(self.loss.setting("delta"))
        return tf.where(size <= delta, tf.square(size) / 2.0, delta * size - delta**2 / 2.0)

    def answers(self, outputs: tf.Tensor) -> tf.Tensor | None:
        """The class that each sample is given, [..., B], or each of its steps, [..., B, k]; None without classes."""
        if self.kind is DataKind.VALUES:
            return None
        by_step = self._by_step(outputs) if self.kind is DataKind.CLASSES_EACH else outputs
        return tf.argmax(by_step, axis=-1, output_type=tf.int32)

    def _by_step(self, outputs: tf.Tensor) -> tf.Tensor:
        """From [..., steps * classes] to [..., steps, classes]."""
        return tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], [self.steps, self.outputs // self.steps]], 0))
