"""Networks from levels, and predictions that have a closed form: to numerical precision."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bench.analysis import theory_of
from bench.errors import BenchError, SuiteError
from bench.factors import FACTORS
from bench.theory import (
    DenseNetwork,
    Nonlinearity,
    activation,
    choice_of,
    gain_rates,
    network_of,
    nonlinearity_of,
    profile,
    trainable_depth,
    weight_law,
)
from bench.theory.bands import softmax_gradients
from tests.dry_results import SMALL, dry_results

few = partial(profile, networks=20)  # draws behind a band that is not asked for here


def network(**levels: object) -> DenseNetwork:
    return network_of({"depth": 12, "width": 256, **levels}, inputs=256, classes=10)


def test_one_unit_tells_two_classes_apart() -> None:
    """With the gradient of the logistic function, as of two units' softmax of which one is held at 0."""
    found = network_of({"loss": "binary_crossentropy", "depth": 2, "width": 64}, inputs=16, classes=2)
    assert (found.classes, found.binary) == (1, True)
    assert not network_of({"depth": 2, "width": 64}, inputs=16, classes=2).binary
    last = SimpleNamespace(product=0.0, square=1.0)
    logits, gradients = softmax_gradients(found, cast(Any, last), np.ones((3, 4)), np.random.default_rng(0))
    one = np.exp(logits) / (1.0 + np.exp(logits))
    np.testing.assert_allclose(gradients, one - np.array([0.0, 1.0, 0.0, 1.0])[:, None], rtol=1e-12)


def per_layer(**levels: object) -> np.ndarray:
    """Squared growth per layer from the second layer on, by the profile of the pre-activation's gradient."""
    return 10.0 ** (-2.0 * np.diff(few(network(**levels)).preactivation[1:]))


@pytest.mark.parametrize(
    ("label", "square", "narrow", "widening"),
    [
        ("glorot_uniform", 1.0, 0.4, 784 * 2 / 1040),
        ("he_normal", 2.0, 2.0, 2.0),
        ("lecun_uniform", 1.0, 1.0, 1.0),
        ("random_normal", 0.64, 0.16, 1.96),
        ("truncated_normal", 0.49519, 0.1238, 1.51653),
        ("random_uniform", 0.21333, 0.05333, 0.65333),
        ("orthogonal(gain=2)", 4.0, 1.0, 4.0),
        ("variance_scaling(scale=3, mode=fan_out)", 3.0, 0.75, 3 * 784 / 256),
        ("variance_scaling(mode=fan_avg, distribution=uniform)", 1.0, 0.4, 784 * 2 / 1040),
        ("zeros", 0.0, 0.0, 0.0),
        ("lsuv", 1.0, 0.25, 1.0),
    ],
)
def test_weight_variances(label: str, square: float, narrow: float, widening: float) -> None:
    choice = choice_of("initializer", label)
    found = [weight_law(choice, *fans).variance for fans in ((256, 256), (64, 256), (784, 256))]
    assert found == pytest.approx([square, narrow, widening], rel=2e-4)


def test_every_initializer_of_the_catalogue_has_a_law_and_plugins_have_none() -> None:
    for level in FACTORS["initializer"].levels:
        weight_law(choice_of("initializer", level.name), 64, 64, activation("tanh"))
    with pytest.raises(BenchError, match="knows no variance"):
        weight_law(choice_of("initializer", "outside:draw"), 64, 64)


def test_weight_normalization_keeps_directions_alone() -> None:
    found = network(activation="tanh", initializer="he_normal", normalization="weight_normalization")
    assert found.hidden.variance == pytest.approx(1.0, abs=1e-6)
    assert network(initializer="zeros", normalization="weight_normalization").hidden.variance == 0.0


def test_levels_are_read_as_the_runs_table_spells_them() -> None:
    row = {
        "dataset": "digits", "depth": np.int64(5), "width": 64.0, "activation": "tanh",
        "initializer": "random_normal(stddev=0.3)", "bias_initializer": "normal(stddev=0.1)",
        "skip": "residual(layers=3)", "normalization": "batch_normalization(position=after, momentum=0.9)",
        "run_id": "x", "status": "completed",
    }  # fmt: skip
    found = network_of(row)
    assert (found.depth, found.width, found.inputs, found.classes, found.batch_size) == (5, 64, 64, 10, 64)
    assert found.hidden.variance == pytest.approx(0.09 * 64)
    assert found.bias_variance == pytest.approx(0.01)
    assert (found.position, found.skip_layers, found.branch_scale) == ("after", 3, 1.0)
    assert [found.ends_block(layer) for layer in range(5)] == [False, False, False, True, True]


def test_a_users_own_activation_takes_the_level_s_place() -> None:
    own = nonlinearity_of(np.sin)
    found = network(activation=own)
    assert isinstance(found.phi, Nonlinearity) and found.phi is own
    assert np.isfinite(profile(found, networks=20).preactivation).all()


@pytest.mark.parametrize(
    ("levels", "kind", "said"),
    [
        ({"activation": "tnh"}, SuiteError, 'activation: "tnh" is not a level. Did you mean "tanh"'),
        ({"initializer": "random_normal(stdev=1)"}, SuiteError, "initializer: .*stddev"),
        ({"initializer": "orthogonal(gain=big)"}, SuiteError, "gain of orthogonal"),
        ({"dropout": 0.2}, BenchError, "does not cover dropout"),
        ({"normalization": "outside:Norm"}, BenchError, "knows nothing of the normalization"),
        ({"activation": "outside:snake"}, BenchError, "No formula is known"),
        ({"depth": "many"}, SuiteError, "depth"),
        ({"architecture": "outside:Gated"}, BenchError, "covers dense layers .mlp., not the architecture .outside:"),
        ({"architecture": "gated(ways=2)", "activation": "outside:f"}, BenchError, 'not the architecture "gated"'),
        ({"architecture": {"level": "gated"}}, BenchError, 'not the architecture "gated"'),
    ],
)
def test_what_is_not_covered_is_refused(levels: dict[str, object], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        network(**levels)


def test_groups_and_batches_that_are_too_small_are_refused() -> None:
    with pytest.raises(BenchError, match="infinite below 4"):
        profile(network(normalization="batch_normalization", batch_size=3))
    with pytest.raises(BenchError, match="does not divide"):
        profile(network(normalization="group_normalization(groups=7)"))
    with pytest.raises(BenchError, match="mean square"):
        profile(network(), input_mean_square=0.0)


def test_a_deep_linear_orthogonal_network_is_exact_and_has_no_spread() -> None:
    found = few(network(activation="linear", initializer="orthogonal(gain=1.1)", depth=30))
    back = np.arange(29, -1, -1)
    np.testing.assert_allclose(found.preactivation, back * np.log10(1.1), atol=1e-12)
    np.testing.assert_allclose(found.mean_square, 1.21 ** np.arange(1.0, 31.0), rtol=1e-12)
    assert np.abs(found.preactivation_spread).max() < 1e-9
    assert np.abs(found.preactivation_shift).max() < 1e-9


def test_relu_with_he_keeps_norms_and_variance() -> None:
    found = few(network(activation="relu", initializer="he_uniform", depth=30))
    np.testing.assert_allclose(found.preactivation, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.mean_square, 2.0, rtol=1e-12)
    np.testing.assert_allclose(found.chi, 1.0, atol=1e-12)
    c = 0.0
    for layer in range(30):  # Cho & Saul 2009
        c = (np.sqrt(1.0 - c * c) + c * (np.pi - np.arccos(c))) / np.pi
        assert found.pair_correlation[layer] == pytest.approx(c, abs=1e-9)


def test_the_trajectory_counts_where_the_fixed_point_says_nothing() -> None:
    found = few(network(activation="tanh", initializer="glorot_uniform", depth=30))
    assert found.preactivation[0] == pytest.approx(-0.803, abs=0.01)
    he = few(network(activation="tanh", initializer="he_normal", depth=30))
    assert he.preactivation[0] == pytest.approx(0.449, abs=0.01)


@pytest.mark.parametrize("batch", [8, 32, 128])
def test_batch_normalization_of_a_linear_network(batch: int) -> None:
    levels = {"activation": "linear", "initializer": "lecun_normal", "batch_size": batch}
    before = per_layer(**levels, normalization="batch_normalization")
    after = per_layer(**levels, normalization="batch_normalization(position=after)")
    true = (batch - 2) / (batch - 3)
    np.testing.assert_allclose(before, true, rtol=3e-3)  # epsilon is 1e-3 of the variance
    np.testing.assert_allclose(after, true, rtol=3e-3)


LARGE = (1_000_000, np.pi / (np.pi - 1.0))  # the limit
FINITE = ((8, 1.788), (16, 1.590), (32, 1.522), (64, 1.493), (128, 1.480))


@pytest.mark.parametrize(("batch", "growth"), [*FINITE, LARGE])
def test_batch_normalization_before_relu_at_finite_and_large_batches(batch: int, growth: float) -> None:
    levels = {"activation": "relu", "initializer": "he_normal", "batch_size": batch}
    np.testing.assert_allclose(per_layer(**levels, normalization="batch_normalization"), growth, rtol=1.5e-3)


@pytest.mark.parametrize(
    ("name", "normalization", "growth"),
    [
        ("relu", "layer_normalization", 1.0),
        ("sigmoid", "layer_normalization", 0.1528),
        ("gelu", "layer_normalization", 1.0720),
        ("silu", "rms_normalization", 1.0666),
        ("relu", "rms_normalization(position=after)", 1.0),
        ("relu", "layer_normalization(position=after)", np.pi / (np.pi - 1.0)),
    ],
)
def test_normalizations_over_units(name: str, normalization: str, growth: float) -> None:
    found = per_layer(activation=name, initializer="he_normal", normalization=normalization, width=4096)
    np.testing.assert_allclose(found, growth, rtol=4e-3)


def test_residual_blocks_double_and_scaled_ones_stand_still() -> None:
    found = few(network(activation="relu", initializer="he_normal", skip="residual(layers=1)"))
    np.testing.assert_allclose(found.preactivation, np.arange(11, -1, -1) * np.log10(2.0) / 2.0, atol=1e-9)
    np.testing.assert_allclose(found.mean_square, 2.0 ** np.arange(1.0, 13.0), rtol=1e-9)
    still = few(network(activation="relu", initializer="he_normal", skip="residual_scaled", depth=7))
    np.testing.assert_allclose(still.preactivation[[0, 2, 4, 6]], 0.0, atol=1e-12)
    assert (still.preactivation[[1, 3, 5]] == -np.inf).all()
    assert (still.preactivation_low[[1, 3, 5]] == -np.inf).all()


def test_lsuv_sets_the_mean_square_and_zeros_pass_nothing() -> None:
    found = few(network(activation="tanh", initializer="lsuv"))
    np.testing.assert_allclose(found.mean_square, 1.0, atol=1e-9)
    dead = few(network(activation="tanh", initializer="zeros"))
    assert np.isnan(dead.preactivation).all() and np.isnan(dead.preactivation_low).all()
    assert (dead.mean_square == 0.0).all() and (dead.chi == 0.0).all()


def test_predictions_repeat() -> None:
    first, again = few(network(activation="gelu")), few(network(activation="gelu"))
    for name, column in first.columns().items():
        np.testing.assert_array_equal(column, again.columns()[name])


def test_trainable_depths() -> None:
    assert trainable_depth(network(activation="relu", initializer="glorot_uniform")).depth == 10
    assert trainable_depth(network(activation="relu", initializer="glorot_uniform")).reason == "vanishing"
    assert trainable_depth(network(normalization="batch_normalization")).reason == "exploding"
    he = trainable_depth(network(initializer="he_normal"))
    assert he.reason == "collapse" and 150 < he.depth < 250
    assert trainable_depth(network(activation="linear", initializer="orthogonal"), deepest=40).reason == "none"
    assert trainable_depth(network(initializer="zeros")).depth == 1


@pytest.mark.parametrize("skip", ["none", "residual(layers=1)"])
@pytest.mark.parametrize("normalization", ["none", "layer_normalization"])
def test_gain_rates_are_the_profile_s_first_entries(skip: str, normalization: str) -> None:
    levels = {"activation": "tanh", "initializer": "he_normal", "skip": skip, "normalization": normalization}
    rates = gain_rates(network(**levels), np.array([0.5, 1.0]), 12)
    assert rates[1, 11] == pytest.approx(few(network(**levels)).preactivation[0], abs=2e-3)
    assert rates[0, 0] == 0.0


@pytest.mark.slow
def test_an_architecture_from_outside_is_not_predicted_in_a_table() -> None:
    tables = dry_results(SMALL).tables
    runs = tables["runs"]
    outside = runs["depth"] == runs["depth"].min()
    changed = runs.assign(architecture=runs["architecture"].mask(outside, "outside:Gated"))
    reasons = theory_of(tables | {"runs": changed}, walks=20).runs["reason"]
    said = 'The theory covers dense layers (mlp), not the architecture "outside:Gated".'
    assert reasons[runs.loc[outside, "run_id"]].eq(said).all()
    assert not reasons[runs.loc[~outside, "run_id"]].str.contains("architecture").any()
