"""Statistics of a layer's activations in the step that trains: of the batch, or of the first samples of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.recorder.layout import STATISTICS
from bench.recorder.norms import widened
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

LOOKED = 2**13  # numbers of a layer that are looked at, about
FEWEST = 4  # samples at least, if there are as many
INNER, GROWS = 4.0, 1.5  # a slope beyond ±4 that is as many times the largest within
GRID = np.linspace(-8.0, 8.0, 401, dtype=np.float32)


def steepest(activation: Callable[..., Any]) -> float | None:
    """The largest slope of an activation on [-8, 8]; None where it is not a function of each number alone."""
    with tf.init_scope():  # which pauses gradient tapes: differences serve as well
        return largest_slope(lambda numbers: activation(tf.constant(numbers)))


def largest_slope(computed: Callable[[np.ndarray], Any]) -> float | None:
    """The same of what computes an activation of numbers [1, n], on whichever backend.

    None too where it grows without bound, as exp's: any slope is small beside one further out.
    """
    try:
        value = np.ravel(computed(GRID[None]))
        parts = [np.ravel(computed(part[None])) for part in (GRID[:150], GRID[150:])]
    except Exception:  # an activation of a user's own: nothing is said of its slope
        return None
    if value.shape != GRID.shape or not np.allclose(value, np.concatenate(parts), rtol=1e-4, atol=1e-6):
        return None
    slopes = np.abs(np.diff(value) / np.diff(GRID))
    slope, inner = float(slopes.max()), float(slopes[np.abs(GRID[1:]) <= INNER].max())
    return slope if 0.0 < slope <= GROWS * inner else None


def few(tensor: tf.Tensor) -> tf.Tensor:
    """A sixteenth of the samples: what is computed once more of them is a few hundredths of a step.

    Four at least; of images and sequences, whose samples have many places each, two.
    """
    least = 4 if len(tensor.shape) == 2 else 2
    return tensor[: tf.maximum(least, (tf.shape(tensor)[0] + 15) // 16)]


def statistics(places: Sequence[Mapping[str, Any]]) -> tf.Tensor:
    """`STATISTICS` of each place, [places * 8] in float64; NaN of what is not known.

    Args:
        places: of each `h` [B, ..., units], the activation's outputs, of which a part is looked at (`_part`); `z`,
            pre-activations of a few samples; `maker`, what made h of z. What nobody knows is not there, but one of h
            and z is; without an activation h is z.
    """
    found = [_statistics(place.get("h"), place.get("z"), place.get("maker")) for place in places]
    # To a small network each operation is dear: what is one number a place is worked on for all at once.
    numbers = tf.stack([tf.cast(number, tf.float32) for each in found for number in each])
    columns = tf.unstack(tf.reshape(numbers, [len(places), -1]), axis=1)
    mean, between, within, directions, count, *shares = columns
    cosine = (directions - count) / (count * (count - 1.0))
    made = [mean, tf.sqrt(between + within), tf.sqrt(within), *shares, cosine]
    return tf.cast(tf.reshape(tf.stack(made, axis=1), [-1]), tf.float64)


def _statistics(h: tf.Tensor | None, z: tf.Tensor | None, activation: Callable[..., Any] | None) -> list[Any]:
    """What they are made of, a number each: five moments, and the shares."""
    whole = z if h is None else h
    assert whole is not None
    wide = widened(_part(whole))
    z = None if z is None else widened(_part(z))
    slope, most = _slope(wide, z, activation)
    if slope is None:
        return [*_moments(wide), *[math.nan] * 4]
    nonpositive = _share(wide <= 0.0)
    return [
        *_moments(wide),
        nonpositive if name_of(activation) in RELU else _share(slope < SATURATION_FRACTION * most),
        _dead(whole, slope, activation),
        nonpositive,
        math.nan if z is None or not is_own(activation) else _share(tf.abs(z) >= LARGE_INPUT),
    ]


def _moments(h: tf.Tensor) -> list[tf.Tensor]:
    """Mean over all of h [B, ..., units]; variance between and within samples; for the mean cosine of two samples.

    The last two are the squared length of the sum of their directions, and how many are not 0: with n of them the
    mean cosine over pairs is (length - n) / n (n - 1).
    """
    entries = math.prod(length or 0 for length in h.shape[1:]) or -1
    flat = tf.reshape(h, [-1, entries] if entries > 0 else [tf.shape(h)[0], -1])
    of_sample = tf.reduce_mean(flat, axis=1, keepdims=True)
    within = tf.reduce_mean(tf.math.squared_difference(flat, of_sample), axis=1, keepdims=True)
    mean = tf.reduce_mean(of_sample)
    between = tf.reduce_mean(tf.math.squared_difference(of_sample, mean))
    square = within + tf.square(of_sample)  # its mean over entries
    directions = tf.reduce_sum(tf.math.reciprocal_no_nan(tf.sqrt(square)) * flat, axis=0)
    length = tf.reduce_mean(tf.square(directions))
    return [mean, between, tf.reduce_mean(within), length, tf.reduce_sum(tf.sign(square))]


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


def _part(tensor: tf.Tensor) -> tf.Tensor:
    """About `LOOKED` numbers of [B, ..., units]: the first samples, of many places in each some at even distances."""
    places, size = (math.prod(length or 1 for length in tensor.shape[1:end]) for end in (-1, None))
    most = max(FEWEST, LOOKED // max(1, size))
    some = tensor if tensor.shape[0] is not None and tensor.shape[0] <= most else tensor[:most]
    apart = -(-FEWEST * size // LOOKED) | 1  # odd, so that it meets all columns of an image
    if apart == 1 or apart >= places or None in tensor.shape[1:]:
        return some
    return tf.gather(tf.reshape(some, [-1, places, tensor.shape[-1]]), np.arange(apart // 2, places, apart), axis=1)


def _share(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))


assert len(STATISTICS) == 8
