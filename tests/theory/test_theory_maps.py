"""Quadrature, maps, fixed points and critical points against references of 30 digits, closed forms and known tables."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import BenchError
from bench.factors import FACTORS
from bench.theory import (
    CriticalKind,
    activation,
    correlation_map,
    critical_point,
    fixed_point,
    fixed_points,
    growth_map,
    moments,
    nonlinearity_of,
    pair_moments,
    variance_map,
    variance_slope,
)
from bench.theory.quadrature import gaussian_nodes

LEVELS = tuple(level.name for level in FACTORS["activation"].levels)

# E[phi^2], or E[phi'^2] where it says slope, computed with 30 digits of working precision.
REFERENCES = [
    ("tanh", 1.0, 0.39429449039784117),
    ("tanh", 25.0, 0.84296175956254369),
    ("tanh slope", 25.0, 0.10570632805654645),
    ("softsign slope", 1.0, 0.2276713404221825),
    ("sigmoid", 45.0, 0.44255297484782618),
    ("gelu", 4.0, 1.9298650158644431),
    ("relu6", 9.0, 4.1424161653634537),
    ("softplus", 2.0, 1.3819284185836947),
]


@pytest.mark.parametrize(("name", "q", "true"), REFERENCES)
def test_expectations_have_their_digits(name: str, q: float, true: float) -> None:
    found = moments(activation(name.split()[0]), q, 40)
    assert (found.slope_square if "slope" in name else found.square) == pytest.approx(true, rel=2e-14)


def test_a_kink_that_is_not_named_costs_digits() -> None:
    true = 0.7 * (2.0 * 0.7580363477769270 - 1.0) + 2.0 * 0.3122539333667613  # E|x - a|, by the normal distribution
    named, unnamed = (
        weights @ np.abs(x - 0.7) for x, weights in (gaussian_nodes(1.0, kinks) for kinks in ((0.7,), ()))
    )
    assert named == pytest.approx(true, abs=1e-14)
    assert abs(unnamed - true) > 1e-8


@pytest.mark.parametrize("c", [1.0, 1.0 - 1e-9, 1.0 - 1e-6, 0.999, 0.6, 0.0, -0.3, -1.0])
def test_relu_has_the_arc_cosine_correlation_map(c: float) -> None:
    true = (np.sqrt(1.0 - c * c) + c * (np.pi - np.arccos(c))) / np.pi  # Cho & Saul 2009
    assert correlation_map(activation("relu"), c, 3.0, 2.0) == pytest.approx(true, abs=1e-11)


def test_a_pair_of_sigmoid_like_error_functions_has_its_closed_form() -> None:
    from scipy.special import erf

    phi = nonlinearity_of(lambda z: erf(z / np.sqrt(2.0)), name="erf")
    true = 2.0 / np.pi * np.arcsin(2.0 * 0.4 / (1.0 + 2.0))  # Williams 1997
    assert pair_moments(phi, 2.0, 0.4).product == pytest.approx(true, abs=1e-11)


@pytest.mark.parametrize("name", LEVELS)
def test_the_variance_slope_is_the_derivative_of_the_map(name: str) -> None:
    phi, h = activation(name), 1e-4
    by_difference = (variance_map(phi, 1.3 + h, 1.7) - variance_map(phi, 1.3 - h, 1.7)) / (2.0 * h)
    assert variance_slope(phi, 1.3, 1.7) == pytest.approx(by_difference, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "weight", "known"),
    [
        ("sigmoid", 1.0, (0.2647, 0.0557, 0.0495, 1.0)),
        ("sigmoid", 2.0, (0.5553, 0.1010, 0.0806, 1.0)),
        ("hard_sigmoid", 1.0, (0.2571, 0.0278, 0.0278, 1.0)),
        ("tanh", 2.0, (0.6180, 1.1055, 0.5525, 0.0)),
        ("selu", 1.0, (1.0, 1.07157, 0.78265, 0.0)),
        ("softplus", 1.0, (0.8563, 0.2887, 0.4505, 1.0)),
        ("softsign", 2.0, (0.0795, 1.0424, 0.7244, 0.0)),
    ],
)
def test_fixed_points_without_bias(name: str, weight: float, known: tuple[float, ...]) -> None:
    found = fixed_point(activation(name), weight)
    assert (found.q, found.chi, found.chi_parallel, found.correlation) == pytest.approx(known, abs=6e-5)
    assert found.gradient_depth == pytest.approx(1.0 / abs(np.log(found.chi)))


def test_limits_of_the_variance() -> None:
    assert fixed_point(activation("relu"), 1.0).q == 0.0
    assert fixed_point(activation("relu"), 2.0, start=3.0).q == 3.0
    assert fixed_point(activation("leaky_relu"), 2.0).q == np.inf
    assert fixed_points(activation("tanh"), 2.0) == pytest.approx([0.0, 0.61796], abs=1e-4)
    assert fixed_point(activation("tanh"), 1.0).gradient_depth == np.inf


def test_gelu_with_he_has_no_fixed_point_but_zero() -> None:
    assert fixed_points(activation("gelu"), 2.0) == [0.0]
    assert variance_slope(activation("gelu"), 2.0, 2.0) > 1.0  # yet noise grows on the way down


def test_the_map_of_growth_agrees_with_the_fixed_points() -> None:
    phi, weights, biases = activation("tanh"), np.array([0.5, 1.5, 3.0]), np.array([0.0, 0.1])
    found = growth_map(phi, weights, biases)
    for row, bias in enumerate(biases):
        for column, weight in enumerate(weights):
            true = np.log(fixed_point(phi, float(weight), float(bias)).chi)
            assert found[row, column] == pytest.approx(true, abs=5e-3)


@pytest.mark.parametrize(
    ("name", "bias", "weight"),
    [
        ("tanh", 0.05, 1.1225), ("tanh", 0.5, 1.5497), ("elu", 0.1, 1.1762), ("selu", 0.2, 0.9375),
        ("softsign", 0.3, 1.8975), ("gelu", 0.5, 1.3999), ("silu", 0.05, 1.9050), ("mish", 0.3, 1.4211),
        ("sigmoid", 0.5, 10.179),
    ],
)  # fmt: skip
def test_critical_weights_for_given_biases(name: str, bias: float, weight: float) -> None:
    found = critical_point(activation(name), bias)
    assert found.weight_stddev == pytest.approx(weight, abs=6e-5 if weight < 10 else 6e-4)
    assert found.bias_stddev == pytest.approx(bias)


@pytest.mark.parametrize(
    ("name", "kind", "weight_variance", "bias_variance", "q"),
    [
        ("linear", "scale_free", 1.0, 0.0, 1.0),
        ("relu", "scale_free", 2.0, 0.0, 1.0),
        ("leaky_relu", "scale_free", 2.0 / 1.04, 0.0, 1.0),
        ("tanh", "vanishing", 1.0, 0.0, 0.0),
        ("elu", "vanishing", 1.0, 0.0, 0.0),
        ("softsign", "vanishing", 1.0, 0.0, 0.0),
        ("selu", "vanishing", 0.69049**2, 0.0, 0.0),
        ("gelu", "half_stable", 1.98305826, 0.17292239, 3.56156),
        ("silu", "half_stable", 1.98800468, 0.55514317, 14.32017),
        ("mish", "half_stable", 2.01352, 0.09452, 1.67017),
        ("sigmoid", "stable", 10.14926**2, 0.0, 45.6243),
    ],
)
def test_critical_points_by_rule(name: str, kind: str, weight_variance: float, bias_variance: float, q: float) -> None:
    found = critical_point(activation(name))
    assert found.kind == kind
    assert found.weight_stddev**2 == pytest.approx(weight_variance, rel=5e-5)
    assert found.bias_stddev**2 == pytest.approx(bias_variance, abs=1e-5)
    assert found.q == pytest.approx(q, rel=1e-3)


@pytest.mark.parametrize("name", [name for name in LEVELS if name != "softplus"])
def test_critical_points_keep_gradients_and_variance(name: str) -> None:
    phi, found = activation(name), critical_point(activation(name))
    assert found.weight_stddev**2 * moments(phi, found.q).slope_square == pytest.approx(1.0, abs=1e-9)
    after = variance_map(phi, found.q, found.weight_stddev**2, found.bias_stddev**2)
    assert after == pytest.approx(found.q, rel=1e-9, abs=1e-15)
    assert found.kind is not CriticalKind.UNSTABLE
    assert critical_point(phi) == found


def test_softplus_has_none_and_says_where_it_comes_near() -> None:
    with pytest.raises(BenchError, match=r"softplus has no critical point whatever the biases.*sigma_w = 1\.41"):
        critical_point(activation("softplus"))
    with pytest.raises(BenchError, match=r"at a bias standard deviation of 0\.1"):
        critical_point(activation("relu"), 0.1)
    with pytest.raises(BenchError, match="at least 0"):
        critical_point(activation("tanh"), -1.0)


def test_a_users_own_activation() -> None:
    own = nonlinearity_of(np.tanh)
    assert critical_point(own, 0.2).weight_stddev == pytest.approx(1.3042, abs=6e-5)
    z = np.linspace(-8.0, 8.0, 1601)
    assert np.abs(own.slope(z) - activation("tanh").slope(z)).max() < 1e-10
    bent = nonlinearity_of(lambda z: np.maximum(z, 0.1 * z), kinks=(0.0,), name="bent")
    assert critical_point(bent).weight_stddev == pytest.approx(np.sqrt(2.0 / 1.01), abs=1e-8)
    with pytest.raises(BenchError, match="no critical point"):
        critical_point(nonlinearity_of(lambda z: 0.0 * z, name="flat"))
    # Exactly linear near 0: without bias there every small q is a fixed point up to rounding, and none is a root.
    clipped = critical_point(nonlinearity_of(lambda z: np.clip(z, -1.0, 1.0), kinks=(-1.0, 1.0), name="clipped"))
    assert (clipped.kind, clipped.q) == ("vanishing", 0.0)
    assert clipped.weight_stddev == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: moments(activation("tanh"), -1.0), "at least 0"),
        (lambda: moments(activation("tanh"), np.nan), "finite"),
        (lambda: correlation_map(activation("tanh"), 1.5, 1.0, 1.0), "between -1 and 1"),
        (lambda: nonlinearity_of(lambda z: np.log(z)), "not finite"),
        (lambda: nonlinearity_of(lambda z: z.sum()), "elementwise"),
    ],
)
def test_what_cannot_be_computed_is_refused(call: object, said: str) -> None:
    with pytest.raises(BenchError, match=said), np.errstate(all="ignore"):
        call()  # type: ignore[operator]
