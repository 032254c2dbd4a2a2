"""The initializer `critical`: its draws, where the signal neither grows nor shrinks, and what it refuses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from bench.engine.critical import solve
from bench.errors import BenchError, SuiteError
from bench.factors import FACTORS, ActivationLevel, Choice, choose
from bench.theory import activation, critical_point
from bench.theory.quadrature import gaussian_nodes
from tests.cohorts import cohorts, train

WIDTH, DEPTH, NETS = 128, 30, 6
BOTTOM, TOP = 4, 26  # layers between which growth is measured: above the first ones q has settled


def chosen(factor: str, **written: object) -> Choice:
    return choose(FACTORS[factor], written)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("relu", ["", ', distribution = "orthogonal"']),
     *(pytest.param(name, settings, marks=pytest.mark.full)
       for name, settings in (("tanh", [", bias_stddev = 0.2"]), ("sigmoid", [""]), ("gelu", [""]),
                              ("selu", [", bias_stddev = 0.2"])))],
)  # fmt: skip
def test_the_signal_neither_grows_nor_shrinks(name: str, settings: list[str]) -> None:
    levels = ", ".join(f'{{ level = "critical"{more} }}' for more in settings)
    (cohort,) = cohorts(
        f"initializer = [{levels}]",
        f'activation = "{name}"\ndepth = {DEPTH}\nwidth = {WIDTH}\nsteps = 1\npreprocessing = "unit_mean_square"',
        replicates=NETS,
    )
    rows = train(cohort)["gradient_norms"]
    drawn = rows["run_id"].map({run.run_id: run.choices["initializer"].label for run in cohort.runs})
    square = (rows["preactivation_grad_norm"] ** 2).groupby([drawn, rows["layer_index"]]).mean().unstack()
    growth = np.log(square[BOTTOM] / square[TOP])
    assert len(growth) == len(settings)
    phi = activation(name)
    q = critical_point(phi, 0.2 if "bias" in settings[0] else None).q
    x, weights = gaussian_nodes(q, phi.kinks)
    second, fourth = (weights @ phi.slope(np.sqrt(q) * x) ** power for power in (2, 4))
    kappa = 3.0 * fourth / second**2 - 1.0  # of the log of the squared norm, per layer and unit (Hanin 2018)
    band = 3.0 * np.sqrt(kappa * (TOP - BOTTOM) / WIDTH / NETS)
    assert (growth.abs() < band).all()
    assert band < 0.3 * (TOP - BOTTOM), "wide enough to let everything pass"


def kernels(level: str, name: str) -> Any:
    from bench.engine.train import Training

    (cohort,) = cohorts(f"initializer = [{level}]", f'activation = "{name}"\ndepth = 3\nwidth = 256\nsteps = 1')
    return Training(cohort).ensemble.stacks


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid"])
def test_weights_and_biases_have_the_solved_variances(name: str) -> None:
    point = critical_point(activation(name))
    stem, body, head = kernels('"critical"', name)
    for stack, fan_in in ((stem, 64), (body, 256), (head, 256)):
        sigma = stack.kernel.numpy().std() * fan_in**0.5
        assert sigma == pytest.approx(point.weight_stddev, rel=5 / np.sqrt(2 * stack.kernel.numpy().size))
    biases = body.affine[1].numpy()
    assert biases.std() == pytest.approx(point.bias_stddev, rel=5 / np.sqrt(2 * biases.size))


def test_an_orthogonal_draw_has_the_solved_variance_in_a_layer_that_widens_too() -> None:
    stem, body, _ = kernels('{ level = "critical", distribution = "orthogonal", bias_stddev = 0.2 }', "tanh")
    sigma = critical_point(activation("tanh"), 0.2).weight_stddev
    wide, square = stem.kernel.numpy()[0, 0], body.kernel.numpy()[0, 0]
    np.testing.assert_allclose(square.T @ square, sigma**2 * np.eye(256), atol=1e-4)
    assert (wide**2).mean() * 64 == pytest.approx(sigma**2, rel=1e-5)


def test_the_same_draw_as_he_for_relu_up_to_the_tails() -> None:
    he = kernels('{ level = "variance_scaling", scale = 2.0, distribution = "untruncated_normal" }', "relu")
    for one, other in zip(kernels('"critical"', "relu"), he, strict=True):
        np.testing.assert_allclose(one.kernel.numpy(), other.kernel.numpy(), rtol=1e-6)


def test_the_suite_refuses_just_the_activations_without_a_critical_point() -> None:
    def fails(name: str) -> bool:
        try:
            critical_point(activation(name))
        except BenchError:
            return True
        return False

    levels = FACTORS["activation"].levels
    refused = [level.name for level in levels if isinstance(level, ActivationLevel) and not level.critical]
    assert [level.name for level in levels if fails(level.name)] == refused == ["softplus"]


def test_biases_that_no_weights_go_with_are_refused_with_the_activation() -> None:
    with pytest.raises(SuiteError, match=r'initializer "critical\(bias_stddev=0.1\)", activation "softplus"'):
        solve(chosen("initializer", level="critical", bias_stddev=0.1), chosen("activation", level="softplus"))


def my_tanh(x: Any) -> Any:
    return keras.ops.tanh(x)


class MyRelu(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return keras.ops.maximum(x, 0)


def blows_up(x: Any) -> Any:
    return keras.ops.where(keras.ops.abs(x) > 3.0, x / 0.0, x)


@pytest.mark.parametrize(("name", "twin"), [("my_tanh", "tanh"), ("MyRelu", "relu")])
def test_an_activation_from_outside_is_solved_by_its_values(name: str, twin: str) -> None:
    found = solve(chosen("initializer", level="critical"), chosen("activation", level=f"{__name__}:{name}"))
    expected = critical_point(activation(twin))
    assert found.kind is expected.kind
    assert found.weight_stddev == pytest.approx(expected.weight_stddev, rel=1e-6)


def test_an_activation_from_outside_that_is_not_finite_is_refused() -> None:
    with pytest.raises(SuiteError, match="blows_up"):
        solve(chosen("initializer", level="critical"), chosen("activation", level=f"{__name__}:blows_up"))
