"""Finite networks drawn in numpy against the predictions: their norms lie in the bands as often as the bands say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest

from bench.factors import FACTORS
from bench.theory import DenseNetwork, network_of, profile
from tests.theory.finite_networks import Array, Draw, Measured, Orthogonal, gaussian, measure, truncated, uniform

ACTIVATIONS = tuple(level.name for level in FACTORS["activation"].levels)
INITIALIZERS = (
    "glorot_uniform", "he_normal", "random_normal", "truncated_normal", "random_uniform", "orthogonal", "lsuv",
)  # fmt: skip
WIDTH, DEPTH, BATCH, WALKS = 256, 32, 16, 400
SMALL = {"width": 128, "depth": 16, "batch_size": 16}
SIZES = [pytest.param(SMALL, id="small"), pytest.param({}, id="full", marks=pytest.mark.full)]


def network(**levels: object) -> DenseNetwork:
    given = {"depth": DEPTH, "width": WIDTH, "batch_size": BATCH, **levels}
    return network_of(given, inputs=int(str(given["width"])), classes=10)


def draw_of(described: DenseNetwork, label: str) -> Draw:
    """Weights of the initializer's own shape of draw."""
    variance = described.hidden.variance
    if "uniform" in label:
        return uniform(variance)
    if label.startswith("truncated"):
        return truncated(variance)
    return Orthogonal(variance**0.5) if described.hidden.isometric else gaussian(variance)


@lru_cache
def inside(initializer: str) -> tuple[Array, ...]:
    """For each activation: shares of the layers of two networks whose norms and mean squares lie in their bands."""
    return tuple(_inside(index, initializer) for index in range(len(ACTIVATIONS)))


def _inside(index: int, initializer: str, **size: int) -> Array:
    described = network(activation=ACTIVATIONS[index], initializer=initializer, **size)
    predicted, draw = profile(described, networks=WALKS), draw_of(described, initializer)
    rng = np.random.default_rng([index, len(initializer)])
    shares = [_shares(predicted, measure(described, draw, rng)) for _ in range(2)]
    return np.mean(shares, axis=0)


def _shares(predicted: object, measured: Measured) -> tuple[float, float]:
    columns, rounding = predicted.columns(), 1e-9  # type: ignore[attr-defined]
    at = measured.log_preactivation[:-1]
    low, high = columns["preactivation_low"][:-1] - rounding, columns["preactivation_high"][:-1] + rounding
    squares = measured.mean_square
    least, most = columns["mean_square_low"] * (1 - rounding), columns["mean_square_high"] * (1 + rounding)
    return float(((at >= low) & (at <= high)).mean()), float(((squares >= least) & (squares <= most)).mean())


def check_32_networks(shares: Sequence[Array]) -> None:
    norms, squares = np.mean(shares, axis=0)
    assert norms > 0.84  # 32 networks whose layers go together: two standard errors under 95 %
    assert squares > 0.80


@pytest.mark.slow
def test_bands_hold_for_every_activation_each_with_one_initializer() -> None:
    check_32_networks([_inside(k, INITIALIZERS[k % len(INITIALIZERS)], **SMALL) for k in range(len(ACTIVATIONS))])


@pytest.mark.full
@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_bands_hold_for_every_activation(initializer: str) -> None:
    check_32_networks(inside(initializer))


@pytest.mark.full
def test_bands_hold_their_nominal_share_over_all_activations_and_initializers() -> None:
    shares = np.array([inside(initializer) for initializer in INITIALIZERS])
    norms, squares = shares.mean(axis=(0, 1))
    print(f"\ncoverage of 95 % bands over {shares.shape[0] * shares.shape[1]} cells: {norms:.3f}, {squares:.3f}")
    assert 0.92 < norms <= 1.0
    assert 0.90 < squares <= 1.0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "levels",
    [
        {"activation": "relu", "normalization": "batch_normalization", "batch_size": 64},
        {"activation": "tanh", "normalization": "batch_normalization(position=after)", "batch_size": 64},
        {"activation": "gelu", "normalization": "layer_normalization"},
        {"activation": "relu", "normalization": "layer_normalization(position=after)"},
        {"activation": "silu", "normalization": "rms_normalization"},
        {"activation": "relu", "normalization": "group_normalization(position=after)"},
        {"activation": "tanh", "normalization": "unit_normalization"},
        {"activation": "relu", "skip": "residual"},
        {"activation": "tanh", "skip": "residual(layers=1)"},
        {"activation": "relu", "skip": "residual(layers=3)", "normalization": "layer_normalization"},
        {"activation": "relu", "skip": "residual(layers=5)", "normalization": "batch_normalization", "batch_size": 64},
        {"activation": "tanh", "bias_initializer": "normal(stddev=0.3)"},
    ],
    ids=lambda levels: "-".join(str(value) for value in levels.values()),
)
def test_normalizations_skips_and_biases_go_where_predicted(levels: dict[str, object], size: dict[str, int]) -> None:
    described = network(initializer="he_normal", **(levels | size))
    predicted, rng = profile(described, networks=WALKS), np.random.default_rng(4)
    measured = [measure(described, gaussian(described.hidden.variance), rng) for _ in range(4)]
    mean = np.mean([found.log_preactivation for found in measured], axis=0)
    expected = predicted.preactivation + predicted.preactivation_shift
    np.testing.assert_array_less(np.abs(mean - expected), 0.03 + 2.5 * predicted.preactivation_spread / 2.0)


def test_the_simulation_itself_is_right_where_the_answer_is_known() -> None:
    described = network(activation="linear", initializer="orthogonal(gain=1.1)", width=64)
    found = measure(described, Orthogonal(1.1), np.random.default_rng(0))
    np.testing.assert_allclose(found.log_preactivation, np.arange(DEPTH - 1, -1, -1) * np.log10(1.1), atol=1e-9)
    np.testing.assert_allclose(found.mean_square, 1.21 ** np.arange(1.0, DEPTH + 1.0), rtol=1e-9)
