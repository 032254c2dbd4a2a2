"""Singular values of Jacobians: against Keras's own derivative, closed forms, and what is recorded when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.engine.jacobians import JACOBIAN_COLUMNS, JACOBIAN_SAMPLES, has_jacobians
from bench.errors import SuiteError
from tests.cohorts import EVERY_STEP, cohorts, train

MEAN, SQUARE, DISPERSION = JACOBIAN_COLUMNS
AT_START = EVERY_STEP.replace("at = [0] }", "at = [0, 2] }", 1) + "jacobians = { at = [0] }\n"


def measured(factors: str, fixed: str, replicates: int = 1) -> pd.DataFrame:
    (cohort,) = cohorts(factors, f"steps = 2\n{fixed}", replicates, AT_START)
    return train(cohort)["activations"]


def test_they_are_the_singular_values_of_the_lone_keras_models_jacobians() -> None:
    import keras
    import tensorflow as tf

    from bench.engine.train import Training
    from tests.engine.lone import Lone
    from tests.engine.test_engine_parity import _lone

    (cohort,) = cohorts('activation = ["gelu"]', "depth = 4\nwidth = 12\nsteps = 2", record=AT_START)
    training = Training(cohort)
    lone: Any = _lone(Lone, training, 0)
    x = training.data.probe_x[:JACOBIAN_SAMPLES]
    outputs = lone.inner.outputs[4:]
    expected = []
    for below, above in zip([lone.model.inputs[0], *outputs[:-1]], outputs, strict=True):
        own = spectra(keras.Model(below, above), keras.Model(lone.model.inputs, below), x, tf)
        whole = np.ones((JACOBIAN_SAMPLES, 12))
        if above is not outputs[0]:
            whole = spectra(keras.Model(outputs[0], above), keras.Model(lone.model.inputs, outputs[0]), x, tf)
        expected.append([own.mean(), (whole**2).mean(), ((whole**2).var(axis=1) / (whole**2).mean(axis=1) ** 2).mean()])
    found = training.run()["activations"].to_pandas().query("step == 0")[list(JACOBIAN_COLUMNS)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def spectra(model: Any, lower: Any, x: Any, tf: Any) -> np.ndarray:
    """Singular values of a model's Jacobian at each sample, [samples, units]."""
    h = tf.convert_to_tensor(lower(x))
    with tf.GradientTape() as tape:
        tape.watch(h)
        value = model(h)
    return np.linalg.svd(tape.batch_jacobian(value, h).numpy().astype(np.float64), compute_uv=False)


def test_an_orthogonal_linear_network_is_an_isometry_times_its_gain() -> None:
    rows = measured(
        'initializer = [{ level = "orthogonal", gain = 0.5 }]', 'depth = 20\nwidth = 64\nactivation = "linear"'
    ).query("step == 0")
    np.testing.assert_allclose(rows[MEAN], 0.5, rtol=1e-5)
    np.testing.assert_allclose(rows[SQUARE], 0.25 ** np.arange(20), rtol=1e-4)
    np.testing.assert_allclose(rows[DISPERSION], 0.0, atol=1e-5)


def test_gaussian_layers_have_the_spectrum_of_random_matrices() -> None:
    # Pennington et al. 2017: dispersion L in a linear Gaussian network; the quarter circle's mean is 8 / (3 pi).
    rows = measured(
        'initializer = [{ level = "variance_scaling", distribution = "untruncated_normal" }]',
        'depth = 11\nwidth = 128\nactivation = "linear"',
        replicates=4,
    ).query("step == 0")
    by_layer = rows.groupby("layer_index")[list(JACOBIAN_COLUMNS)].mean()
    np.testing.assert_allclose(by_layer[MEAN].iloc[1:], 8 / (3 * np.pi), rtol=0.02)
    np.testing.assert_allclose(by_layer[DISPERSION], np.arange(11.0), rtol=0.15, atol=1e-9)
    np.testing.assert_allclose(by_layer[SQUARE], 1.0, rtol=0.15)


def test_they_are_null_where_they_were_not_asked_for_and_where_a_layer_is_more_than_its_activation() -> None:
    fixed = "depth = 3\nwidth = 8"
    rows = measured('activation = ["relu"]', fixed)
    assert rows.groupby("step")[DISPERSION].count().to_dict() == {0: 3, 2: 0}
    rows = measured('normalization = ["layer_normalization"]\nskip = ["residual"]', fixed)
    assert rows[list(JACOBIAN_COLUMNS)].isna().all(axis=None)
    for factors, layers_alone in (
        ('activation = ["relu"]', True),
        ('normalization = ["layer_normalization"]', False),
        ('skip = ["residual"]', False),
    ):
        (cohort,) = cohorts(factors, f"steps = 2\n{fixed}")
        assert has_jacobians(cohort.runs[0].choices) == layers_alone
        assert "jacobians" not in cohort.schedules  # test_engine_truth trains such a cohort


def test_not_finite_and_zero_jacobians_are_nan_and_stop_nothing() -> None:
    rows = measured('initializer = ["zeros", { level = "random_normal", stddev = 1e30 }]', "depth = 4\nwidth = 8")
    zeros = rows[rows["run_id"].str.contains("zeros") & (rows["step"] == 0) & (rows["layer_index"] > 0)]
    assert (zeros[MEAN] == 0.0).all()
    assert zeros[DISPERSION].isna().all()


def test_a_step_without_activations_is_refused() -> None:
    record = "[record]\nactivations = { at = [0] }\njacobians = { at = [1] }\n"
    with pytest.raises(SuiteError, match=r"jacobians: .* includes step 1, at which activations are not recorded"):
        cohorts('activation = ["relu"]', "steps = 2", record=record)
