"""The formulas of the activations against Keras itself, against finite differences, and far from zero."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.engine.activations import make_activation
from bench.errors import SuiteError
from bench.factors import FACTORS, ActivationLevel, choose
from bench.rules import NAMES, Symptom, rule_set
from bench.theory import Nonlinearity, activation

LEVELS = tuple(level.name for level in FACTORS["activation"].levels)
GRID = np.linspace(-12.0, 12.0, 385)  # sixteenths: holds -3, 0, 3 and 6, where slopes jump
SETTINGS = [("leaky_relu", {"negative_slope": 0.05}), ("elu", {"alpha": 0.5}), ("celu", {"alpha": 2.0})]


def of_keras(name: str, settings: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Value and gradient on the grid, by Keras in double precision."""
    z = tf.constant(GRID)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = getattr(keras.activations, name)(z, **settings)
    return value.numpy(), tf.convert_to_tensor(tape.gradient(value, z)).numpy()


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in LEVELS), *SETTINGS])
def test_value_and_slope_are_keras_own(name: str, settings: dict[str, float]) -> None:
    value, slope = of_keras(name, settings)
    phi = activation(name, settings)
    if name == "celu":  # Keras counts the slope at 0 from both sides
        assert slope[GRID == 0.0] == 2.0
        slope = np.where(GRID == 0.0, 1.0, slope)
    np.testing.assert_allclose(phi.value(GRID), value, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(phi.slope(GRID), slope, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in LEVELS), *SETTINGS])
def test_the_slope_is_that_of_the_value_and_jumps_at_the_kinks_alone(name: str, settings: dict[str, float]) -> None:
    phi = activation(name, settings)
    h = 1e-5
    away = GRID[[all(abs(z - kink) > 0.01 for kink in phi.kinks) for z in GRID]]
    by_difference = (phi.value(away + h) - phi.value(away - h)) / (2.0 * h)
    np.testing.assert_allclose(phi.slope(away), by_difference, atol=2e-5)
    jumps = [z for z in GRID if abs(phi.slope(z + 1e-9) - phi.slope(z - 1e-9)) > 1e-3]
    assert jumps == list(phi.kinks)


@pytest.mark.parametrize("name", LEVELS)
def test_far_from_zero_nothing_overflows(name: str) -> None:
    phi = activation(name)
    far = np.array([-1e300, -1e4, -745.0, 745.0, 1e4, 1e300])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, slope = phi.value(far), phi.slope(far)
    assert np.isfinite(value).all()
    assert (np.abs(slope) <= 1.3).all()
    assert phi.value(0.5).shape == () and phi.slope(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("level", FACTORS["activation"].levels, ids=LEVELS)
def test_the_facts_of_a_record_are_those_of_its_function(level: ActivationLevel) -> None:
    from bench.engine.probes import steepest_slope

    phi, ends = activation(level.name), np.array([-100.0, 100.0])
    fine = np.unique(
        np.concatenate([np.linspace(-8.0, 8.0, 2_000_001), [k + s for k in phi.kinks for s in (-1e-9, 1e-9)]])
    )
    assert np.abs(phi.slope(fine)).max() == pytest.approx(level.steepest, rel=4e-4)
    assert np.abs(phi.slope(fine)).max() <= level.steepest * (1 + 1e-9)
    assert level.saturates == bool((phi.slope(ends) < 1e-3 * level.steepest).all())
    near = np.array([-2.5, -0.5, 0.5, 2.5])
    assert level.homogeneous == np.allclose(phi.value(3.0 * near), 3.0 * phi.value(near))
    at = phi.value(np.array([-5.0, 0.0, 5.0]))
    assert level.rectifier == (abs(at[0]) < 2.0 and at[1] == 0.0 and abs(at[2] - 5.0) < 0.5)
    measured = steepest_slope(make_activation(choose(FACTORS["activation"], level.name)))
    assert measured == pytest.approx(phi.steepest, rel=1e-6)


def test_rules_for_some_activations_name_those_that_have_the_symptom() -> None:
    known = {level.name: level for level in FACTORS["activation"].levels}
    named = [
        (rule.symptom, known[name])
        for rule_name in NAMES
        for rule in rule_set(rule_name).rules
        for name in rule.activations
        if name in known
    ]
    assert len(named) >= 6
    for symptom, level in named:
        assert level.saturates if symptom == Symptom.SATURATED else level.rectifier


def test_tails_keep_their_digits() -> None:
    assert activation("gelu").value(-12.0) == pytest.approx(-12.0 * 1.776482112077679e-33, rel=1e-10)
    assert activation("tanh").slope(20.0) == pytest.approx(4.0 * np.exp(-40.0), rel=1e-10)
    assert activation("softplus").value(-50.0) == pytest.approx(np.exp(-50.0), rel=1e-10)


def test_formulas_say_their_settings() -> None:
    assert "0.05 z" in activation("leaky_relu", {"negative_slope": 0.05}).formula
    assert all(isinstance(activation(name), Nonlinearity) and activation(name).formula for name in LEVELS)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("outside:snake", {}, "No formula is known"),
        ("tan", {}, 'Did you mean "tanh"'),
        ("tanh", {"alpha": 1.0}, "not a setting of tanh"),
        ("elu", {"alhpa": 1.0}, 'Did you mean "alpha"'),
        ("elu", {"alpha": "one"}, "must be a number"),
    ],
)
def test_what_has_no_formula_is_refused(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        activation(name, settings)
