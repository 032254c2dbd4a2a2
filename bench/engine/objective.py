"""What a network is trained for: a loss and a score, by the kind of its dataset's targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bench.engine.datasets import Dataset
from bench.engine.scores import AUTO, constant_loss
from bench.errors import DataError
from bench.factors import BINARY, Choice, DataKind, misfit_of_targets


@dataclass(frozen=True)
class Objective:
    """The loss that is minimized; what an objective does not have is null in the tables.

    Attributes:
        kind: of the targets.
        outputs: units of the head: one a class, at each step that has one, or one a value; one for two classes by
            binary cross-entropy.
        naive_loss: of the best answer that looks at no input: ln K for K classes, for values `scores.constant_loss`.
        steps: targets of a sample that are classes.
        loss: cross-entropy for classes, at each step its mean over them; for values one of their errors.
        balanced: of each class the weight that makes all count alike, by the training rows; empty of values.
    """

    kind: DataKind
    outputs: int
    naive_loss: float
    steps: int = 1
    loss: Choice = AUTO
    balanced: tuple[float, ...] = ()

    @classmethod
    def of(cls, data: Dataset, loss: Choice = AUTO) -> Objective:
        """The objective of a dataset.

        Raises:
            DataError: the loss is not one of what the dataset asks for.
        """
        misfit = misfit_of_targets("loss", loss, data.kind, data.classes)
        if misfit:
            raise DataError(f"loss {loss.label}: {misfit}")
        if data.kind is DataKind.CLASSES:
            outputs = 1 if loss.name == BINARY else data.classes
            return cls(data.kind, outputs, math.log(data.classes), loss=loss, balanced=balanced_weights(data))
        if data.kind is DataKind.CLASSES_EACH:
            steps = data.y_train.shape[1]
            outputs, weights = steps * data.classes, balanced_weights(data)
            return cls(data.kind, outputs, math.log(data.classes), steps, loss, weights)
        return cls(data.kind, data.classes, constant_loss(data.y_train, loss), loss=loss)

    @property
    def classes(self) -> int:
        """How many classes a sample may have; 0 where it has values, or one class at each step."""
        if self.kind is not DataKind.CLASSES:
            return 0
        return 2 if self.is_binary else self.outputs

    @property
    def is_binary(self) -> bool:
        """Whether one output tells two classes apart."""
        return self.loss.name == BINARY

    def losses(
        self, y: tf.Tensor, outputs: tf.Tensor, smoothing: tf.Tensor | None = None, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Each sample's loss [..., B], from targets [..., B] or, several, [..., B, k], and outputs [..., B, units].

        With `smoothing`, a scalar, each label is mixed with all classes alike (Szegedy et al. 2016; Keras's
        `CategoricalCrossentropy(label_smoothing)`); where it is 0 nothing changes. With `weights` [K] the loss of each
        target counts as much as its class says (Keras's `class_weight`).
        """
        if self.kind is DataKind.VALUES:
            return tf.reduce_mean(self._errors(tf.reshape(y, tf.shape(outputs)), outputs), axis=-1)
        each = self._binary(y, outputs, smoothing) if self.is_binary else self._categorical(y, outputs, smoothing)
        if weights is not None:
            each = each * tf.gather(weights, y)
        return each if self.kind is DataKind.CLASSES else tf.reduce_mean(each, axis=-1)

    def _categorical(self, y: tf.Tensor, outputs: tf.Tensor, smoothing: tf.Tensor | None) -> tf.Tensor:
        """Minus the logarithm of each label's share by softmax."""
        logits = outputs if self.kind is DataKind.CLASSES else self._by_step(outputs)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        if smoothing is not None:
            alike = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
            each = tf.where(smoothing > 0.0, (1.0 - smoothing) * each + smoothing * alike, each)
        return each

    @staticmethod
    def _binary(y: tf.Tensor, outputs: tf.Tensor, smoothing: tf.Tensor | None) -> tf.Tensor:
        """Keras's `BinaryCrossentropy(from_logits=True)` of one output for the second of two classes."""
        label = tf.cast(y, outputs.dtype)
        if smoothing is not None:
            label = (1.0 - smoothing) * label + smoothing / 2.0
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=outputs[..., 0])

    def log_z_squares(self, outputs: tf.Tensor) -> tf.Tensor:
        """Each sample's (ln Z)^2, Z the sum of its logits' exponentials, mean over its steps, of outputs as `losses`.

        Of two classes with one output the first one's logit is 0.
        Source: de Brebisson & Vincent 2016 (arXiv:1604.08859); Wortsman et al. 2023 (arXiv:2309.14322), as z-loss.
        """
        if self.is_binary:
            return tf.square(tf.nn.softplus(outputs[..., 0]))
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
        if self.is_binary:
            return tf.cast(outputs[..., 0] > 0.0, tf.int32)
        by_step = self._by_step(outputs) if self.kind is DataKind.CLASSES_EACH else outputs
        return tf.argmax(by_step, axis=-1, output_type=tf.int32)

    def _by_step(self, outputs: tf.Tensor) -> tf.Tensor:
        """From [..., steps * classes] to [..., steps, classes]."""
        return tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], [self.steps, self.outputs // self.steps]], 0))


def balanced_weights(data: Dataset) -> tuple[float, ...]:
    """Of each class N / (K N_k), N_k of N training targets being its own and K classes having any.

    Source: King & Zeng 2001, as scikit-learn's `class_weight="balanced"`. A class without a row has a weight of 1.
    """
    counts = np.bincount(data.y_train.ravel(), minlength=data.classes).astype(np.float64)
    weights = counts.sum() / ((counts > 0).sum() * np.where(counts > 0, counts, 1.0))
    return tuple(np.where(counts > 0, weights, 1.0).tolist())
