"""What the targets of a step in TensorFlow ask for, summed in the step: see `targets.py`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from bench.factors import DataKind
from bench.recorder.targets import MOST_CLASSES, OF_VALUES


def target_sums(y: Any, answers: Any, loss: str) -> tuple[DataKind, tf.Tensor] | None:
    """Of classes how many targets each has, of values `VALUES`, float64; None where nobody can tell.

    Args:
        y: a batch's targets.
        answers: the network's, one tensor, or a list or dict with one.
        loss: what compares them, by the name of Keras's function; of classes the word sparse may be missing.
    """
    leaves = [each for each in keras.tree.flatten(y) if isinstance(each, tf.Tensor)]
    made = keras.tree.flatten(answers)
    if len(leaves) != 1 or len(made) != 1 or not isinstance(made[0], tf.Tensor) or not made[0].shape.rank:
        return None
    (target,), (answers,) = leaves, made
    classes = answers.shape[-1]
    if classes is None:
        return None
    if loss == "categorical_crossentropy" and target.shape.rank == answers.shape.rank - 1:
        loss = "sparse_categorical_crossentropy"
    if loss == "sparse_categorical_crossentropy" and 1 < classes <= MOST_CLASSES:
        flat = tf.cast(tf.reshape(target, [-1]), tf.int32)
        each = tf.reduce_sum(tf.one_hot(flat, classes, dtype=tf.float32), axis=0)
        return _kind(target, answers), tf.cast(each, tf.float64)
    if loss == "categorical_crossentropy" and 1 < classes <= MOST_CLASSES:
        each = tf.reduce_sum(tf.reshape(tf.cast(target, tf.float32), [-1, classes]), axis=0)
        return _kind(target, answers), tf.cast(each, tf.float64)
    wide = tf.cast(target, tf.float64)
    if loss == "binary_crossentropy" and classes == 1:
        ones = tf.reduce_sum(wide)
        return DataKind.CLASSES, tf.stack([tf.cast(tf.size(wide), tf.float64) - ones, ones])
    if loss in OF_VALUES:
        sums = [tf.cast(tf.size(wide), tf.float64), tf.reduce_sum(wide), tf.reduce_sum(tf.square(wide))]
        return DataKind.VALUES, tf.stack(sums)
    return None


def _kind(target: tf.Tensor, answers: tf.Tensor) -> DataKind:
    return DataKind.CLASSES_EACH if len(answers.shape) > 2 else DataKind.CLASSES
