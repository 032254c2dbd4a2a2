"""Kinds of networks and of training on Keras's JAX backend: those of `kinds.py`, and steps of one's own in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras

from tests.recorder import kinds
from tests.recorder.kinds import CLASSES, KINDS, Kind

layers = keras.layers


class Stepping(keras.Model):
    """A model with a training step of its own, as Keras's guide for JAX writes it."""

    def lost(self, trainable: Any, others: Any, x: Any, y: Any) -> Any:
        answers, others = self.stateless_call(trainable, others, x, training=True)
        return self.compute_loss(x, y, answers), (answers, others)

    def train_step(self, state: Any, data: Any) -> Any:
        trainable, others, of_optimizer, of_metrics = state
        x, y = data
        differentiated = jax.value_and_grad(self.lost, has_aux=True)
        (loss, (answers, others)), gradients = differentiated(trainable, others, x, y)
        trainable, of_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        logs, new, at = {}, [], 0
        for metric in self.metrics:
            mine = of_metrics[at : at + len(metric.variables)]
            at += len(mine)
            updated = (loss,) if metric.name == "loss" else (y, answers)
            mine = metric.stateless_update_state(mine, *updated)
            logs[metric.name] = metric.stateless_result(mine)
            new += mine
        return logs, (trainable, others, of_optimizer, new)


def custom_step() -> Kind:
    inputs = keras.Input((8,))
    h = inputs
    for _ in range(3):
        h = layers.Dense(12, "relu")(h)
    model = Stepping(inputs, layers.Dense(3, "softmax")(layers.Dropout(0.1)(h)))
    model.compile(keras.optimizers.SGD(0.1), CLASSES, metrics=["accuracy"])
    return Kind(model, *kinds._vectors())


def conv_pre_activation() -> Kind:
    """Residual, and a shared normalization's statistics."""
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(2):
        branch = layers.Conv2D(4, 3, padding="same", use_bias=False)(layers.ReLU()(layers.BatchNormalization()(h)))
        h = layers.Add()([h, branch])
    model = keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(h)))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), CLASSES, metrics=["accuracy"])
    return Kind(model, *kinds._images())


def not_compiled() -> Kind:
    model = kinds._stack(*kinds._dense(3), kinds._head())
    model.compile(keras.optimizers.SGD(0.1), CLASSES, jit_compile=False)
    return Kind(model, *kinds._vectors())


ON_JAX: dict[str, Callable[[], Kind]] = {name: make for name, make in KINDS.items() if name not in ("gan",)} | {
    each.__name__: each for each in (custom_step, conv_pre_activation, not_compiled)
}
