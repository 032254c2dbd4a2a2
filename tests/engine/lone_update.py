"""What makes an update of a lone model's gradient: Keras's optimizer, its clipping, and its rate over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.factors import Choice

Choices = Mapping[str, Choice]
OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "momentum": keras.optimizers.SGD,
    "nesterov": lambda **settings: keras.optimizers.SGD(nesterov=True, **settings),
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
}
# Of suites, at which a few steps of small networks are clipped, penalized and bounded by much.
EVERY_CLIPPING = """["none", { level = "value", threshold = 0.01 }, { level = "norm", threshold = 0.1 },
  { level = "global_norm", threshold = 0.2 }, { level = "adaptive", threshold = 0.02 }]"""
EVERY_REGULARIZATION = """["none", { level = "l1", strength = 1e-3 }, { level = "l2", strength = 1e-2 },
  { level = "weight_decay", strength = 0.5 }, { level = "max_norm", limit = 0.9 }]"""
EVERY_SCHEDULE = """["none", { level = "cosine_decay", alpha = 0.1 }, { level = "exponential_decay", decay_steps = 2 },
  { level = "cosine_decay_restarts", first_decay_steps = 1 }, "inverse_time_decay", "polynomial_decay"]"""
CLIPPING = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}


@keras.saving.register_keras_serializable("tests")
class Risen(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line up to a rate, and from there on what follows."""

    def __init__(self, rate: float, rising: int, after: Any) -> None:
        super().__init__()
        self.rate, self.rising, self.after = rate, rising, after

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        after = self.after(tf.maximum(step - self.rising, 0.0)) if callable(self.after) else self.after
        return tf.where(step < self.rising, self.rate * (step + 1.0) / (self.rising + 1.0), after)


def optimizer_of(choices: Choices) -> Any:
    """Keras's optimizer, with what it clips, decays and takes for a rate."""
    settings, clip = dict(choices["optimizer"].settings), choices["clipping"]
    if clip.name in CLIPPING:
        settings[CLIPPING[clip.name]] = clip.setting("threshold")
    if choices["regularization"].name == "weight_decay":
        settings["weight_decay"] = choices["regularization"].setting("strength")
    return OPTIMIZERS[choices["optimizer"].name](learning_rate=rate_of(choices), **settings)


def rate_of(choices: Choices) -> Any:
    """The learning rate, or Keras's schedule behind a warm-up, of cosines Keras's own."""
    rate, schedule, warmup = float(choices["learning_rate"].value or 0), choices["schedule"], choices["warmup"]
    rising = 0 if warmup.is_none else int(warmup.setting("steps"))
    if schedule.is_none:
        return Risen(rate, rising, rate) if rising else rate
    left = int(choices["steps"].value or 0) - rising
    settings: dict[str, Any] = {name: left if each == "steps" else each for name, each in schedule.settings}
    if schedule.name == "cosine_decay":
        return keras.optimizers.schedules.CosineDecay(
            rate / (rising + 1), **settings, warmup_target=rate, warmup_steps=rising
        )
    made = getattr(keras.optimizers.schedules, schedule.name.title().replace("_", ""))(rate, **settings)
    return Risen(rate, rising, made) if rising else made


def penalty_of(choices: Choices) -> Any:
    """Keras's regularizer of kernels, or None."""
    rule = choices["regularization"]
    kinds = {"l1": keras.regularizers.L1, "l2": keras.regularizers.L2}
    return kinds[rule.name](rule.setting("strength")) if rule.name in kinds else None


def clipped_by_unit(g: np.ndarray, w: np.ndarray, limit: float) -> np.ndarray:
    """Brock et al.'s rule (2021, eq. 3), which Keras does not have; a vector is one unit."""
    axis = tuple(range(g.ndim - 1)) or None
    norm = np.sqrt(np.square(g).sum(axis=axis, keepdims=True))
    bound = limit * np.maximum(np.sqrt(np.square(w).sum(axis=axis, keepdims=True)), 1e-3)
    return np.where(norm > bound, g * bound / np.maximum(norm, 1e-6), g).astype(np.float32)
