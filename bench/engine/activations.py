"""Activations as Keras layers; a plugin is tried before a cohort trusts it."""

from __future__ import annotations

import re

import keras
import numpy as np
import tensorflow as tf

from bench.engine.targets import target_of
from bench.errors import SuiteError
from bench.factors import FACTORS, Choice
from bench.theory import Nonlinearity, activation, nonlinearity_of


def make_activation(choice: Choice) -> keras.layers.Layer:
    """The activation as a layer; a plugin may be a function or a layer class.

    Raises:
        SuiteError: a plugin that raises, changes the shape, has no gradient, or cannot run for all runs at once.
    """
    if FACTORS["activation"].level(choice.name) is None:
        _refuse_unusable(choice)
    return _layer(choice)


def nonlinearity(choice: Choice) -> Nonlinearity:
    """The activation as theory takes it; of a plugin its values and TensorFlow's slopes, in double precision.

    A plugin's kinks are not known: at one away from 0 the expectations over it lose digits.

    Raises:
        SuiteError: a plugin that cannot be used as an activation, or not in numpy's place.
    """
    if FACTORS["activation"].level(choice.name) is not None:
        return activation(choice.name, dict(choice.settings))
    layer = make_activation(choice)
    layer.dtype_policy = keras.DTypePolicy("float64")

    def both(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = tf.constant(np.reshape(z, (-1, 1)), tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = layer(x)
        slope = tape.gradient(value, x)
        return np.reshape(value.numpy(), np.shape(z)), np.reshape(slope.numpy(), np.shape(z))

    try:
        return nonlinearity_of(lambda z: both(z)[0], lambda z: both(z)[1], name=choice.label)
    except Exception as error:  # whatever the plugin raises at numbers that training may never show it
        raise SuiteError(f'activation "{choice.label}" cannot be averaged over: {error}') from error


def _layer(choice: Choice) -> keras.layers.Layer:
    target = target_of("activation", choice)
    settings = dict(choice.settings)
    if isinstance(target, type) and issubclass(target, keras.layers.Layer):
        return target(**settings)
    return keras.layers.Activation(lambda x: target(x, **settings))


def _refuse_unusable(choice: Choice) -> None:
    """Take the values and slopes of two runs at once, as a training step does."""
    layer, faults = _layer(choice), []

    @tf.autograph.experimental.do_not_convert
    def slopes(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = layer(x)
        gradient = tape.gradient(value, x)
        if gradient is None:
            faults.append("has no gradient, so nothing before it could be trained")
        elif value.shape != x.shape:
            faults.append(f"is not elementwise: it makes {value.shape} of {x.shape}")
        return x if faults else value + gradient

    points = np.linspace(-2.0, 2.0, 12, dtype=np.float32).reshape(2, 3, 2)
    try:
        tf.vectorized_map(slopes, tf.cast(tf.constant(points), layer.compute_dtype))
    except Exception as error:  # whatever the plugin, Keras or TensorFlow raises
        said = " ".join(re.sub(r"\x1b\[\d+m", "", str(error)).split())
        faults.append(f"cannot be computed for many runs at once, by {type(error).__name__}: {said}")
    if layer.weights:
        names = ", ".join(weight.name for weight in layer.weights)
        faults.append(f"has weights of its own ({names}), and the engine keeps none of an activation's")
    elif not faults and _mixes(layer):
        faults.append("is not elementwise: a value depends on its neighbours")
    if faults:
        raise SuiteError(
            f'activation "{choice.label}" {faults[-1]}. An activation maps a tensor element by element, '
            "by operations of keras.ops or TensorFlow."
        )


def _mixes(layer: keras.layers.Layer) -> bool:
    """Whether the first entry's value moves with the others of its row."""
    rows = tf.constant([[0.5, -1.0, 1.0], [0.5, 2.0, -0.25]])
    first = np.asarray(layer(rows))[:, 0]
    return first[0] != first[1] and bool(np.isfinite(first).all())
