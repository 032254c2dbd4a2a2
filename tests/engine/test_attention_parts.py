"""Spectral norms and how alike tokens are, each against its definition in float64."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bench.engine.attention.spectral import first_directions, followed, with_norm
from bench.engine.attention.tokens import token_statistics


def test_a_kernel_over_its_spectral_norm() -> None:
    kernels = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    gain, kernel, given = tf.constant([0.5, 2.0]), tf.constant(kernels), kernels[::-1] ** 2
    with tf.GradientTape() as tape:
        tape.watch([kernel, gain])
        made = with_norm(kernel, gain, tf.constant(first_directions(kernels)))
    np.testing.assert_allclose(np.linalg.norm(made, ord=2, axis=(1, 2)), [0.5, 2.0], 1e-6)
    d_kernel, d_gain = tape.gradient(made, [kernel, gain], tf.constant(given))

    def pulled(kernels: np.ndarray, gain: np.ndarray) -> np.ndarray:
        wide = kernels.astype(np.float64)
        norms = np.linalg.norm(wide, ord=2, axis=(1, 2))
        return (given * wide * (gain / norms)[:, None, None]).sum(axis=(1, 2))

    for entry in ((0, 0), (3, 4), (5, 1)):  # against a difference of true spectral norms
        step = np.zeros((6, 5))
        step[entry] = 1e-4
        slope = (pulled(kernels + step, gain.numpy()) - pulled(kernels - step, gain.numpy())) / 2e-4
        np.testing.assert_allclose(d_kernel[:, entry[0], entry[1]], slope, 1e-3, 1e-3)
    np.testing.assert_allclose(d_gain * gain, pulled(kernels, gain.numpy()), 1e-4)


def test_a_direction_follows_a_kernel_that_changes() -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(1, 8, 8))
    direction = first_directions(kernel)
    for _ in range(50):
        kernel = kernel + 0.02 * rng.normal(size=kernel.shape)
        direction, _ = followed(tf.constant(kernel, tf.float32), tf.constant(direction))
    found = with_norm(tf.constant(kernel, tf.float32), tf.ones([1]), tf.constant(direction))
    np.testing.assert_allclose(np.linalg.norm(found, ord=2, axis=(1, 2)), 1.0, 0.02)


def definition(x: np.ndarray) -> list[float]:
    """The three statistics of one run's samples [B, T, d]."""
    x = x.astype(np.float64)
    cosines, residuals = [], []
    for sample in x:
        unit = sample / np.linalg.norm(sample, axis=-1, keepdims=True)
        first, second = np.triu_indices(len(unit), 1)
        cosines.append(1.0 - np.square(unit[first] - unit[second]).sum(axis=-1).mean() / 2.0)
        residuals.append(np.linalg.norm(sample - sample.mean(axis=0)) / np.linalg.norm(sample))
    distance = 1.0 - np.mean(cosines)
    return [1.0 - distance, distance, float(np.mean(residuals))]


def test_tokens_are_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 3, 6, 8)).astype(np.float32)
    x[1] += 3.0
    x[2] *= 1e-30
    x[3] *= 1e30
    found = token_statistics(tf.constant(x)).numpy()
    for run in range(4):
        np.testing.assert_allclose(found[:, run], definition(x[run]), 1e-5)


def test_a_distance_far_below_what_a_cosine_tells_is_still_told() -> None:
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(1, 3, 1, 8)), rng.normal(size=(1, 3, 6, 8))
    x = (common + 2.0**-16 * own).astype(np.float32)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True)
    apart = np.square(unit - unit.mean(axis=2, keepdims=True)).sum(axis=(2, 3)) / 5.0
    found = token_statistics(tf.constant(x)).numpy()[:, 0]
    assert 1e-11 < found[1] < 1e-8
    np.testing.assert_allclose(found[1], apart.mean(), 0.01)
    assert found[0] == 1.0 - found[1]


def test_tokens_that_are_zero_are_in_no_pair() -> None:
    x = np.random.default_rng(4).normal(size=(1, 2, 4, 3)).astype(np.float32)
    x[0, 0, 1:3] = 0.0
    x[0, 1, 1:] = 0.0  # one token left: no pair, so that the first sample alone counts
    found = token_statistics(tf.constant(x)).numpy()[:, 0]
    np.testing.assert_allclose(found[1], definition(x[0, :1, [0, 3]].transpose(1, 0, 2))[1], 1e-5)
    assert np.isnan(token_statistics(tf.zeros([1, 2, 4, 3])).numpy()[:2, 0]).all()
