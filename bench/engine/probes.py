"""What is measured beside the training step: activation statistics and evaluations, of all runs at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.engine.attention.tokens import TOKEN_STATISTICS, token_statistics
from bench.engine.blocks import Layer
from bench.engine.ensemble import Ensemble
from bench.engine.precision import widened
from bench.engine.signal import sample_norms
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

STATISTICS = (
    "mean", "std", "unit_std", "preactivation_mean_square", "saturated_fraction", "dead_fraction",
    "nonpositive_fraction", "large_fraction", "pair_correlation",
)  # fmt: skip
OF_UNITS = STATISTICS[4:8]


def evaluate(ensemble: Ensemble, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
    """Loss and, where there are classes, each answer and whether it is right, in inference mode.

    Of samples, [R, B], answers of steps [R, B, steps]; the loss as float64.

    Args:
        x: samples [B, ...], the same for every run.
        y: their targets [B, ...].
    """
    outputs, targets = ensemble.predict(x), ensemble.repeated(y)
    found = {"loss": tf.cast(ensemble.objective.losses(targets, outputs), tf.float64)}
    answers = ensemble.objective.answers(outputs)
    if answers is not None:  # of long sequences there are many: they stay small
        found |= {"answer": answers, "accuracy": tf.equal(answers, targets)}
    return found


def activation_statistics(ensemble: Ensemble, x: tf.Tensor, slopes: list[float]) -> tf.Tensor:
    """`STATISTICS` of each hidden layer on probe samples x [B, ...], the network in training mode.

    Args:
        slopes: for each stage, max |phi'| of its activation.

    Returns:
        [layers, 9 statistics, R], float64; where layers have a stream, 12 with `TOKEN_STATISTICS`. The state (moving
        averages) is not touched.
    """
    carry = ensemble.entering(ensemble.repeated(x))
    rows = []
    for stage_pass, slope in zip(ensemble.passes, slopes, strict=True):
        carry, found = stage_pass.look(carry, partial(_statistics_of, slope=slope))
        rows.append(found)
    return tf.concat(rows, axis=0)


def statistic_columns(ensemble: Ensemble, found: np.ndarray) -> dict[str, np.ndarray]:
    """What `activation_statistics` found as columns, each [R, layers]; null of a layer that has no activation."""
    names = (*STATISTICS, *TOKEN_STATISTICS)[: found.shape[1]]
    stages = ensemble.network.stages
    lacking = [layer.activation is None for stage in stages for layer in stage.block.layers * stage.count]
    columns = {name: found[:, k].T for k, name in enumerate(names)}
    if any(lacking):
        for name in OF_UNITS:
            columns[name] = np.ma.masked_array(columns[name], np.broadcast_to(lacking, columns[name].shape))
    return columns


@lru_cache(maxsize=128)
def _statistics_of(layer: Layer, slope: float) -> Callable[..., tf.Tensor]:
    return partial(_layer_statistics, layer, slope)


def _layer_statistics(  # noqa: PLR0913
    layer: Layer, slope: float, s: Any, u: Any, phi: Any, stream: Any = None
) -> tf.Tensor:
    """The statistics of one layer, [9, R], from its s, u and phi, each [R, B, ...]; NaN where it has no u.

    Where there is a `stream` of tokens, [R, B, T, d], that is what mean, deviations and cosine are of, and not phi; its
    `TOKEN_STATISTICS` follow.
    """
    h = widened(phi if stream is None else stream)
    scaled, norms, factors = sample_norms(h)
    entries = scaled.shape[-1]
    mean = tf.reduce_mean(_wide(tf.reduce_sum(scaled, axis=-1, keepdims=True)) / _wide(factors), axis=[1, 2]) / entries
    rounded = tf.cast(mean, tf.float32)
    spread = _mean_square(*sample_norms(h - tf.reshape(rounded, [-1] + [1] * (len(h.shape) - 1))))
    return tf.stack(
        [
            mean,
            tf.sqrt(tf.maximum(spread - tf.square(mean - _wide(rounded)), 0.0)),
            tf.sqrt(tf.reduce_mean(_wide(tf.math.reduce_variance(scaled, -1, True)) / _wide(factors) ** 2, [1, 2])),
            _mean_square(*sample_norms(s)),
            *([mean * math.nan] * 4 if layer.activation is None else _of_units(layer, slope, u, phi)),
            _pair_correlation(scaled, norms),
            *([] if stream is None else tf.unstack(token_statistics(stream))),
        ]
    )


def _of_units(layer: Layer, slope: float, u: tf.Tensor, phi: tf.Tensor) -> list[tf.Tensor]:
    """The shares of a layer's units, each [R]."""
    assert layer.activation is not None
    over = list(range(1, len(u.shape) - 1)) if layer.convolves else [1]
    with tf.GradientTape() as tape:
        tape.watch(u)
        value = layer.activation(u)
    derivative = tf.abs(tape.gradient(value, u, unconnected_gradients=tf.UnconnectedGradients.ZERO))
    return [
        _share(widened(derivative) < SATURATION_FRACTION * slope),
        _share(tf.reduce_all(tf.equal(derivative, 0.0), axis=over)),
        _share(phi <= 0.0),
        _share(tf.abs(widened(u)) >= LARGE_INPUT),
    ]


def _wide(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float64)


def _mean_square(scaled: tf.Tensor, norms: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Mean over samples and entries of the squares of what `sample_norms` was given, [R]."""
    return tf.reduce_mean(tf.square(_wide(norms) / _wide(factors)), axis=[1, 2]) / scaled.shape[-1]


def _share(flags: tf.Tensor) -> tf.Tensor:
    """Share of true flags [R, ...], [R]: a row's sum is a whole number, exact in float32."""
    if len(flags.shape) > 4:  # rows as short as an image has channels are summed slowly
        flags = tf.reshape(flags, [*flags.shape[:2], -1])
    rows = _wide(tf.reduce_sum(tf.cast(flags, tf.float32), axis=-1))
    return tf.reduce_sum(rows, axis=list(range(1, len(rows.shape)))) / math.prod(flags.shape[1:])


def _pair_correlation(h: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
    """Mean cosine over pairs of samples [R, B, entries] of these norms that are not 0; NaN where fewer than two are."""
    directions = _wide(tf.matmul(tf.math.divide_no_nan(1.0, norms), h, transpose_a=True))  # their sum, [R, 1, entries]
    count = tf.reduce_sum(_wide(norms > 0.0), axis=[1, 2])
    return (tf.reduce_sum(tf.square(directions), axis=[1, 2]) - count) / (count * (count - 1))


def steepest_slope(activation: keras.layers.Layer | None) -> float:
    """Largest |phi'| on a grid of [-8, 8] in steps of 1/128; every catalogued activation is steepest in there.

    At exactly 0, where many have a kink, Keras's formula may have a slope that neither side has (celu's is 2, not 1):
    there no more counts than its neighbours' and a tenth. Of an activation whose slope still grows at an end, such as
    exp, no unit is saturated: 0, as without an activation.
    """
    if activation is None:
        return 0.0
    grid = tf.constant(np.linspace(-8.0, 8.0, 2049, dtype=np.float32)[:, None])
    with tf.GradientTape() as tape:
        tape.watch(grid)
        value = activation(grid)
    derivative = tape.gradient(value, grid, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    slopes = np.abs(derivative.numpy()[:, 0])
    inner = len(slopes) // 16  # 1 away from each end
    if slopes[0] > 1.1 * slopes[inner] or slopes[-1] > 1.1 * slopes[-1 - inner]:
        return 0.0
    middle = len(slopes) // 2
    beside = max(slopes[middle - 1], slopes[middle + 1])
    if slopes[middle] > 1.1 * beside:
        slopes[middle] = beside
    return float(slopes.max())
