"""Corners: penalties that overflow, scaled starts under weight normalization, features that never vary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.engine.datasets import load
from bench.factors import FACTORS, choose
from tests.cohorts import cohorts, of_run, train

SMALL = 'depth = 3\nwidth = 8\nsteps = 12\nactivation = "tanh"\noptimizer = "sgd"\ndataset = "wine"'


def test_a_penalty_that_overflows_ends_its_own_run_alone() -> None:
    # Weights and data gradients are finite: the gradient left the finite numbers by its penalty.
    (cohort,) = cohorts('regularization = ["none", { level = "l2", strength = 3e38 }]', SMALL)
    tables = train(cohort)
    status = dict(zip(tables["runs"]["run_id"], tables["runs"]["status"], strict=True))
    (event,) = tables["divergence_events"].itertuples()
    assert (event.step, event.tensor, event.kind) == (0, "gradient", "infinity")
    assert status.pop(event.run_id) == "diverged"
    assert list(status.values()) == ["completed"]
    assert of_run(tables, event.run_id)["loss_curves"]["step"].tolist() == [0]


def test_lsuv_reaches_unit_variance_under_weight_normalization_and_leaves_directions_alone() -> None:
    from bench.engine.train import Training

    (cohort,) = cohorts('initializer = ["lsuv", "orthogonal"]', f'{SMALL}\nnormalization = "weight_normalization"')
    training = Training(cohort)
    kernels = [stack.kernel.numpy() for stack in training.ensemble.stacks[:-1]]  # the head is plain
    for kernel in kernels:  # equal orthogonal draws; only the learned lengths may differ
        np.testing.assert_allclose(kernel[:, 0], kernel[:, 1], rtol=1e-5, atol=1e-7)
    index = [run.choices["initializer"].name for run in cohort.runs].index("lsuv")
    found = of_run(
        {name: table.to_pandas() for name, table in training.run().items()}, cohort.runs[index].run_id
    )["activations"].query("step == 0")  # fmt: skip
    np.testing.assert_allclose(found["preactivation_mean_square"], 1.0, atol=0.15)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_feature_that_never_varies_stays_silent(tmp_path: Path, constant: float) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 3))
    x[:, 1] = constant
    path = tmp_path / "constant.npz"
    np.savez(path, x_train=x, y_train=np.arange(1000) % 2, x_test=x[:9] + 1e-7, y_test=np.arange(9) % 2)
    data = load(choose(FACTORS["dataset"], str(path)), "standardize")
    assert np.abs(data.x_train[:, 1]).max() < 1e-6
    assert np.abs(data.x_validation[:, 1]).max() < 1e-5
    np.testing.assert_allclose(data.x_train[:, [0, 2]].std(axis=0), 1.0, rtol=1e-5)
