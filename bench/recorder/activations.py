"""Statistics of a layer's activations in the step that trains: of the batch, or of the first samples of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bench.recorder.layout import STATISTICS
from bench.recorder.norms import side_by_side, widened
from bench.recorder.slopes import FEWEST, LOOKED, RELU, is_own, largest_slope, name_of
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

ENOUGH = 2**11  # numbers of a layer's pre-activations that are computed once more, about


def steepest(activation: Callable[..., Any]) -> float | None:
    """The largest slope of an activation on [-8, 8]; None where it is not a function of each number alone."""
    with tf.init_scope():  # which pauses gradient tapes: differences serve as well
        return largest_slope(lambda numbers: activation(tf.constant(numbers)))


def few(tensor: tf.Tensor, units: int | None = None) -> tf.Tensor:
    """A sixteenth of the samples: what is computed once more of them is a few hundredths of a step.

    Four at least; of images and sequences, whose samples have many places each, two. Of vectors no more than give about
    `ENOUGH` numbers: of so few samples a product takes as long as its kernel is read.

    Args:
        tensor: what a layer is given, [B, ...].
        units: how many numbers it makes of a vector.
    """
    vectors = len(tensor.shape) == 2
    least = 4 if vectors else 2
    most = max(least, ENOUGH // units) if vectors and units else None
    if most == least:
        return tensor[:least]
    known = tensor.shape[0]
    if known is not None:
        wanted = max(least, (known + 15) // 16)
        return tensor[: wanted if most is None else min(most, wanted)]
    wanted = tf.maximum(least, (tf.shape(tensor)[0] + 15) // 16)
    return tensor[: wanted if most is None else tf.minimum(most, wanted)]


def statistics(places: Sequence[Mapping[str, Any]]) -> tf.Tensor:
    """`STATISTICS` of each place, [places * 8] in float64; NaN of what is not known.

    Args:
        places: of each `h` [B, ..., units], the activation's outputs, of which a part is looked at (`_part`); `z`,
            pre-activations of a few samples; `maker`, what made h of z. What nobody knows is not there, but one of h
            and z is; without an activation h is z.
    """
    # To a small network each operation is dear: places that are alike are worked on at once, then all places.
    groups: dict[Any, list[_Looked]] = {}
    for k, place in enumerate(places):
        looked = _Looked.at(k, place)
        groups.setdefault(looked.kind, []).append(looked)
    rows = [tf.stack(_statistics(members), axis=1) for members in groups.values()]
    order = np.argsort([each.number for members in groups.values() for each in members])
    numbers = rows[0] if len(rows) == 1 else tf.gather(tf.concat(rows, axis=0), order)
    mean, between, within, directions, count, *shares = tf.unstack(numbers, axis=1)
    cosine = (directions - count) / (count * (count - 1.0))
    made = [mean, tf.sqrt(between + within), tf.sqrt(within), *shares, cosine]
    return tf.cast(tf.reshape(tf.stack(made, axis=1), [-1]), tf.float64)


class _Looked(NamedTuple):
    """One place: all of its outputs, the part that is looked at, pre-activations, and what makes one of the other."""

    number: int
    whole: tf.Tensor
    part: tf.Tensor
    z: tf.Tensor | None
    maker: Any

    @classmethod
    def at(cls, number: int, place: Mapping[str, Any]) -> _Looked:
        whole = place.get("z") if place.get("h") is None else place["h"]
        assert whole is not None
        z = place.get("z")
        return cls(number, whole, widened(_part(whole)), None if z is None else widened(_part(z)), place.get("maker"))

    @property
    def kind(self) -> Any:
        """Places of one kind are worked on at once: shapes that are known, and one activation."""
        tensors = [self.part] if self.z is None else [self.part, self.z]
        if not all(each.shape.is_fully_defined() for each in tensors):
            return self.number
        made = name_of(self.maker) if name_of(self.maker) in OF_OUTPUT else id(self.maker)
        return made, is_own(self.maker), self.whole.shape[-1], *((tuple(each.shape), each.dtype) for each in tensors)


def _statistics(places: Sequence[_Looked]) -> list[tf.Tensor]:
    """What they are made of, of places of one kind [places] each in float32: five moments, and the shares."""
    activation = places[0].maker
    wide = side_by_side([each.part for each in places])
    some = [each.z for each in places if each.z is not None]
    z = side_by_side(some) if some else None
    unknown = tf.fill([len(places)], math.nan)
    slope, most = _slope(wide, z, activation)
    moments = [tf.cast(each, tf.float32) for each in _moments(wide)]
    if slope is None:
        return [*moments, *[unknown] * 4]
    nonpositive = _share(wide <= 0.0)
    return [
        *moments,
        nonpositive if name_of(activation) in RELU else _share(slope < SATURATION_FRACTION * most),
        _dead([each.whole for each in places], slope, activation),
        nonpositive,
        unknown if z is None or not is_own(activation) else _share(tf.abs(z) >= LARGE_INPUT),
    ]


def _moments(h: tf.Tensor) -> list[tf.Tensor]:
    """Of each place of h [places, B, ..., units] five numbers, [places] each.

    The mean over all; variance between and within samples; for the mean cosine of two samples the squared length of the
    sum of their directions, and how many are not 0: with n of them that is (length - n) / n (n - 1).
    """
    entries = math.prod(length or 0 for length in h.shape[2:]) or -1
    flat = tf.reshape(h, [h.shape[0], -1, entries] if entries > 0 else [h.shape[0], tf.shape(h)[1], -1])
    of_sample = tf.reduce_mean(flat, axis=2, keepdims=True)
    within = tf.reduce_mean(tf.math.squared_difference(flat, of_sample), axis=2, keepdims=True)
    mean = tf.reduce_mean(of_sample, axis=1, keepdims=True)
    between = tf.reduce_mean(tf.math.squared_difference(of_sample, mean), axis=[1, 2])
    square = within + tf.square(of_sample)  # its mean over entries
    directions = tf.reduce_sum(tf.math.reciprocal_no_nan(tf.sqrt(square)) * flat, axis=1)
    length = tf.reduce_mean(tf.square(directions), axis=1)
    nonzero = tf.reduce_sum(tf.sign(square), axis=[1, 2])
    return [tf.reshape(mean, [-1]), between, tf.reduce_mean(within, axis=[1, 2]), length, nonzero]


def _dead(wholes: Sequence[tf.Tensor], slope: tf.Tensor, activation: Any) -> tf.Tensor:
    """Share of units without a slope on any sample; of relu of all samples that there are."""
    if name_of(activation) in RELU:
        largest = [tf.reduce_max(h, axis=list(range(len(h.shape) - 1))) for h in wholes]
        return _share(side_by_side(largest) <= 0)
    return _share(tf.reduce_all(tf.equal(slope, 0.0), axis=list(range(1, len(slope.shape) - 1))))


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
    """Of flags [places, ...] the share of each place, [places]."""
    return tf.reduce_mean(tf.cast(flags, tf.float32), axis=list(range(1, len(flags.shape))))


assert len(STATISTICS) == 8
