"""Mean magnitudes and zero shares of kernel gradients: dead units, the ends of float32, what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.cohorts import cohorts

WIDTH, DEAD = 8, 3
SMALL = f'depth = 3\nwidth = {WIDTH}\nsteps = 1\nactivation = "relu"\noptimizer = "sgd"\ndataset = "wine"'


def means(values: np.ndarray) -> np.ndarray:
    """The engine's mean magnitudes of [runs, in, out]."""
    import tensorflow as tf

    from bench.engine.kernels import mean_magnitudes

    return tf.function(lambda x: mean_magnitudes([x])[0])(values[None].astype(np.float32)).numpy()[0]


def kill(training: Any, run: int, units: int) -> None:
    """Let the first units of the second hidden layer be 0 on every sample of a run, and all others be positive."""
    stem, body, head = training.ensemble.stacks
    for stack in (stem, body):
        kernel, bias = (v.numpy() for v in stack.affine)
        if stack is body:
            kernel[:, run] = np.abs(kernel[:, run])
        bias[:, run] = 50.0
        if stack is body:
            bias[0, run, :units] = -1e6
        for variable, values in zip(stack.affine, (kernel, bias), strict=True):
            variable.assign(values)
    values = head.kernel.numpy()
    values[:, run] *= 1e-3  # no logit is so large that a softmax of exactly 0 or 1 adds zeros
    head.kernel.assign(values)


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Any]:
    """Runs with some dead units, dead ones only, none, and two that are not finite; the gradient norms of each."""
    from bench.engine.train import Training

    levels = ", ".join(f'{{ level = "random_normal", stddev = {stddev} }}' for stddev in (1e11, 1e13))
    (cohort,) = cohorts(f'initializer = ["glorot_normal", "glorot_uniform", "he_normal", {levels}]', SMALL)
    training = Training(cohort)
    kill(training, 0, DEAD)
    kill(training, 1, WIDTH)
    rows = training.run()["gradient_norms"].to_pandas()
    return training, [rows[rows["run_id"] == run.run_id].set_index("layer_name") for run in cohort.runs]


def test_dead_units_put_a_known_share_of_zeros_into_the_kernels_on_both_sides(trained: tuple[Any, Any]) -> None:
    import tensorflow as tf

    from bench.engine.kernels import KERNEL_COLUMNS

    training, (some, all_dead, *_) = trained
    # A dead unit's column has no gradient, nor has its row in the kernel above.
    assert some["weight_grad_zero_fraction"].tolist() == [0.0, DEAD / WIDTH, DEAD / WIDTH, 0.0]
    assert (some["weight_grad_mean_abs"] > 0).all()
    # Nothing passes a dead layer. Above it only biases make a signal: hidden_2 reads 0, the head reads 50.
    assert all_dead["weight_grad_zero_fraction"].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert (all_dead["weight_grad_mean_abs"] == all_dead["weight_grad_norm"]).tolist() == [True, True, True, False]
    batch, alive = tf.zeros([5, 64], tf.int32), tf.fill([5], True)
    unmeasured = training.step(batch, alive, tf.constant(False))
    assert all(not unmeasured[name].numpy().any() for name in KERNEL_COLUMNS)


def test_a_lone_tiny_number_is_not_lost_in_the_mean() -> None:
    values = np.zeros((2, 64, 64))
    values[0, 5, 7] = -2e-38
    np.testing.assert_allclose(means(values), [2e-38 / 64**2, 0.0], rtol=1e-6)


def test_a_sum_beyond_float32_is_taken_again_and_leaves_the_neighbours_alone() -> None:
    values = np.random.default_rng(0).normal(size=(4, 64, 64))
    calm = means(values)
    values[1] = -3e38
    values[2, 0, 0] = np.inf
    values[3, 0, 0] = np.nan
    found = means(values)
    assert found[0] == calm[0]
    assert found[1] == pytest.approx(3e38)
    assert found[2] == np.inf
    assert np.isnan(found[3])


def test_what_is_not_finite_is_stored_as_in_the_norm(trained: tuple[Any, Any]) -> None:
    for rows, finite in zip(trained[1], (True, True, True, False, False), strict=True):
        columns = rows[["weight_grad_norm", "weight_grad_mean_abs"]]
        for test in (np.isnan, np.isinf):
            flags = test(columns)
            assert (flags["weight_grad_norm"] == flags["weight_grad_mean_abs"]).all()
        assert rows["weight_grad_zero_fraction"].between(0.0, 1.0).all()
        assert np.isfinite(columns).all(axis=None) == finite
