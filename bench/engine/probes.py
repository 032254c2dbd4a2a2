"""What is measured beside the training step: activation statistics and evaluations, of all runs at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.engine.blocks import Layer
from bench.engine.ensemble import Ensemble
from bench.engine.passes import StagePass, read, repeat, respond, unstacked, vectorize
from bench.schema import LARGE_INPUT, SATURATION_FRACTION

STATISTICS = (
    "mean", "std", "preactivation_mean_square", "saturated_fraction", "dead_fraction", "nonpositive_fraction",
    "large_fraction", "pair_correlation",
)  # fmt: skip


def evaluate(ensemble: Ensemble, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
    """Loss and, where there are classes, accuracy (0 or 1) of each sample, each [R, B] in float64, in inference mode.

    Args:
        x: samples [B, ...], the same for every run.
        y: their targets [B, ...].
    """
    outputs, targets = ensemble.predict(x), ensemble.repeated(y)
    found = {"loss": ensemble.objective.losses(targets, outputs), "accuracy": ensemble.objective.hits(targets, outputs)}
    return {name: tf.cast(each, tf.float64) for name, each in found.items() if each is not None}


def activation_statistics(ensemble: Ensemble, x: tf.Tensor, slopes: list[float]) -> tf.Tensor:
    """`STATISTICS` of each hidden layer on probe samples x [B, ...], the network in training mode.

    Args:
        slopes: for each stage, max |phi'| of its activation.

    Returns:
        [layers, 8 statistics, R], float64. The state (moving averages) is not touched.
    """
    carry: Any = (None, ensemble.repeated(x))
    rows = []
    for stage_pass, slope in zip(ensemble.passes, slopes, strict=True):
        carry, found = _stage_statistics(stage_pass, carry, slope)
        rows.append(found)
    return tf.concat(rows, axis=0)


def _stage_statistics(stage_pass: StagePass, carry: Any, slope: float) -> Any:
    stage, count = stage_pass.stage, stage_pass.stage.count
    weights = [unstacked(stack) for stack in stage_pass.stacks]

    def body(i: Any, s: Any, h: Any, rows: Any) -> Any:
        entered, found = s, []
        for layer, arrays in zip(stage.block.layers, weights, strict=True):
            stream = [entered] if layer.takes_stream else []
            pre, u, phi, h, s = vectorize(_taps(layer), *read(arrays, i), h, stream)
            found.append(_layer_statistics(layer.activation, pre, u, phi, slope))
        return (s if stage_pass.streamed else h), h, rows.write(i, tf.stack(found))

    s, h = carry
    rows = tf.TensorArray(tf.float64, count)
    s, h, rows = repeat(count, body, (h if s is None else s, h, rows))
    flat = rows.stack()  # [N, layers, statistics, R]
    return ((s if stage_pass.streamed else None), h), tf.reshape(flat, [-1, *flat.shape[2:]])


def _taps(layer: Layer) -> Any:
    def taps(affine: Any, response: Any, state: Any, h: Any, stream: Any) -> Any:
        z, _ = layer.affine.stateless_call(affine, [], h)
        return respond(layer, (response, state), [z, *stream], True)[0]

    return taps


def _layer_statistics(activation: keras.layers.Layer, s: Any, u: Any, phi: Any, slope: float) -> tf.Tensor:
    """The statistics of one layer, [8, R], from its s, u and phi, each [R, B, ...]."""
    axes = list(range(1, len(phi.shape)))
    with tf.GradientTape() as tape:
        tape.watch(u)
        value = activation(u)
    derivative = tf.abs(tape.gradient(value, u, unconnected_gradients=tf.UnconnectedGradients.ZERO))
    wide = tf.cast(phi, tf.float64)
    mean = tf.reduce_mean(wide, axis=axes, keepdims=True)
    return tf.stack(
        [
            tf.reshape(mean, [-1]),
            tf.sqrt(tf.reduce_mean(tf.square(wide - mean), axis=axes)),
            tf.reduce_mean(tf.square(tf.cast(s, tf.float64)), axis=axes),
            _share(derivative < SATURATION_FRACTION * slope),
            _share(tf.reduce_all(tf.equal(derivative, 0.0), axis=1)),
            _share(phi <= 0.0),
            _share(tf.abs(u) >= LARGE_INPUT),
            _pair_correlation(tf.reshape(wide, [*wide.shape[:2], -1])),
        ]
    )


def _share(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float64), axis=list(range(1, len(flags.shape))))


def _pair_correlation(h: tf.Tensor) -> tf.Tensor:
    """Mean cosine over pairs of samples whose h is not zero; NaN where fewer than two are left."""
    norms = tf.norm(h, axis=-1, keepdims=True)
    directions = tf.math.divide_no_nan(h, norms)
    count = tf.reduce_sum(tf.cast(norms[..., 0] > 0, tf.float64), axis=1)
    total = tf.reduce_sum(tf.square(tf.reduce_sum(directions, axis=1)), axis=-1)
    return (total - count) / (count * (count - 1))


def steepest_slope(activation: keras.layers.Layer) -> float:
    """Largest |phi'| on a grid of [-8, 8] in steps of 1/128; every catalogued activation is steepest in there."""
    grid = tf.constant(np.linspace(-8.0, 8.0, 2049, dtype=np.float32)[:, None])
    with tf.GradientTape() as tape:
        tape.watch(grid)
        value = activation(grid)
    derivative = tape.gradient(value, grid, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(tf.reduce_max(tf.abs(derivative)))
