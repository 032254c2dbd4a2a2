"""Statistics of a layer's activations in the step that trains: of the batch, or of the first samples of many."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.recorder.layout import STATISTICS
from bench.recorder.norms import widened
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

LOOKED = 2**13  # numbers of a layer that are looked at, about
FEWEST = 4  # samples at least
GRID = np.linspace(-8.0, 8.0, 401, dtype=np.float32)


def steepest(activation: Callable[..., Any]) -> float | None:
    """The largest slope of an activation on [-8, 8]; None where it is not a function of each number alone."""
    try:
        with tf.init_scope():  # which pauses gradient tapes: differences serve as well
            value = np.ravel(activation(tf.constant(GRID[None])))
            parts = [np.ravel(activation(tf.constant(part[None]))) for part in (GRID[:150], GRID[150:])]
    except Exception:  # an activation of a user's own: nothing is said of its slope
        return None
    if value.shape != GRID.shape or not np.allclose(value, np.concatenate(parts), rtol=1e-4, atol=1e-6):
        return None
    slope = float(np.abs(np.diff(value) / np.diff(GRID)).max())
    return slope if slope > 0.0 else None


def few(tensor: tf.Tensor) -> tf.Tensor:
    """A sixteenth of the samples, four at least: what is computed once more of them is a few hundredths of a step."""
    return tensor[: tf.maximum(4, (tf.shape(tensor)[0] + 15) // 16)]


def statistics(h: tf.Tensor | None, z: tf.Tensor | None, activation: Callable[..., Any] | None) -> tf.Tensor | None:
    """`STATISTICS` of h [B, ..., units], float64; NaN of what is not known. Without an activation h is z.

    Args:
        h: the activation's outputs, of which the first samples are looked at; None where nobody knows them.
        z: pre-activations of a few samples; None likewise.
        activation: what made h of z; None where there is none.
    """
    if h is None and z is None:
        return None
    whole = z if h is None else h
    h = _first(whole)
    wide = widened(h)
    mean, variance = tf.nn.moments(wide, axes=list(range(len(wide.shape))))
    flat = tf.reshape(wide, [tf.shape(wide)[0], -1])
    unit_variance = tf.reduce_mean(tf.math.reduce_variance(flat, axis=-1))
    numbers = [mean, tf.sqrt(variance), tf.sqrt(unit_variance)]
    unknown = tf.constant(math.nan)
    slope, most = _slope(wide, z, activation)
    if slope is None:
        numbers += [unknown] * 4
    else:
        numbers += [
            _share(slope < SATURATION_FRACTION * most),
            _dead(whole, slope, activation),
            _share(wide <= 0.0),
            unknown if z is None or not is_own(activation) else _share(widened(tf.abs(z)) >= LARGE_INPUT),
        ]
    return tf.cast(tf.stack([tf.cast(each, tf.float32) for each in (*numbers, _pair_cosine(flat))]), tf.float64)


def _dead(h: tf.Tensor, slope: tf.Tensor, activation: Any) -> tf.Tensor:
    """Share of units without a slope on any sample; of relu of all samples that there are."""
    axes = list(range(len(h.shape) - 1))
    if name_of(activation) in RELU:
        return _share(tf.reduce_max(h, axis=axes) <= 0)
    return _share(tf.reduce_all(tf.equal(slope, 0.0), axis=axes))


def name_of(activation: Any) -> str:
    """An activation by the name of its function; of a layer `relu` if it is that, else nothing."""
    if isinstance(activation, keras.layers.ReLU):
        return "" if _bent(activation) else "relu"
    return str(getattr(activation, "__name__", ""))


def is_own(activation: Any) -> bool:
    """Whether it is a layer's own, so that its input is the pre-activation, and not a layer behind a normalization."""
    return not isinstance(activation, keras.layers.Layer)


def _slope(h: tf.Tensor, z: tf.Tensor | None, activation: Any) -> tuple[tf.Tensor | None, float]:
    """|phi'| by the output where that tells it, else of a few samples by their pre-activation; and its maximum."""
    if name_of(activation) in OF_OUTPUT:
        of_output, steepest_slope = OF_OUTPUT[name_of(activation)]
        return of_output(h), steepest_slope
    largest = steepest(activation) if activation is not None and z is not None and is_own(activation) else None
    if largest is None:
        return None, 0.0
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(z)
        value = activation(z)
    return widened(tf.abs(tape.gradient(value, z, unconnected_gradients=tf.UnconnectedGradients.ZERO))), largest


def _bent(layer: Any) -> bool:
    """Whether a ReLU layer is another function than relu."""
    return bool(layer.negative_slope or layer.threshold or layer.max_value)


RELU = ("relu",)
OF_OUTPUT: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], float]] = {
    "relu6": (lambda h: tf.cast((h > 0.0) & (h < 6.0), tf.float32), 1.0),
    "relu": (lambda h: tf.cast(h > 0.0, tf.float32), 1.0),
    "sigmoid": (lambda h: h * (1.0 - h), 0.25),
    "tanh": (lambda h: 1.0 - tf.square(h), 1.0),
}


def _first(tensor: tf.Tensor) -> tf.Tensor:
    """As many of the first samples as hold `LOOKED` numbers, `FEWEST` at least."""
    size = math.prod(length or 1 for length in tensor.shape[1:])
    most = max(FEWEST, LOOKED // max(1, size))
    return tensor if tensor.shape[0] is not None and tensor.shape[0] <= most else tensor[:most]


def _share(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))


def _pair_cosine(flat: tf.Tensor) -> tf.Tensor:
    """Mean cosine over pairs of samples [B, entries] that are not 0: (|sum of directions|^2 - n) / n (n - 1)."""
    norms = tf.norm(flat, axis=-1, keepdims=True)
    directions = tf.reduce_sum(tf.math.divide_no_nan(flat, norms), axis=0)
    count = tf.reduce_sum(tf.cast(norms > 0.0, flat.dtype))
    return (tf.reduce_sum(tf.square(directions)) - count) / (count * (count - 1.0))


assert len(STATISTICS) == 8
