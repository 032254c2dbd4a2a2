"""Singular values of Jacobians: against Keras's own derivative, closed forms, and what is recorded when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.engine.jacobians import JACOBIAN_COLUMNS, JACOBIAN_SAMPLES, has_jacobians
from bench.errors import SuiteError
from tests.cohorts import PROBED, cohorts, look, train

MEAN, SQUARE, DISPERSION = JACOBIAN_COLUMNS
AT_START = PROBED.replace("at = [0] }", "at = [0, 2] }", 1) + "jacobians = { at = [0] }\n"


def measured(factors: str, fixed: str, replicates: int = 1) -> dict[str, pd.DataFrame]:
    return look(factors, fixed, replicates, AT_START)[1]


def test_they_are_the_singular_values_of_the_lone_keras_models_jacobians() -> None:
    import keras
    import tensorflow as tf

    from tests.engine.lone import Lone
    from tests.engine.test_engine_parity import lone_of

    training, tables = look('activation = ["gelu"]', "depth = 4\nwidth = 12", record=AT_START)
    lone: Any = lone_of(Lone, training, 0)
    x = training.data.probe_x[:JACOBIAN_SAMPLES]
    outputs = lone.inner.outputs[4:]
    expected = []
    for below, above in zip([lone.model.inputs[0], *outputs[:-1]], outputs, strict=True):
        own = spectra(keras.Model(below, above), keras.Model(lone.model.inputs, below), x, tf)
        whole = np.ones((JACOBIAN_SAMPLES, 12))
        if above is not outputs[0]:
            whole = spectra(keras.Model(outputs[0], above), keras.Model(lone.model.inputs, outputs[0]), x, tf)
        expected.append([own.mean(), (whole**2).mean(), ((whole**2).var(axis=1) / (whole**2).mean(axis=1) ** 2).mean()])
    np.testing.assert_allclose(tables["activations"][list(JACOBIAN_COLUMNS)], expected, rtol=1e-4, atol=1e-6)


def spectra(model: Any, lower: Any, x: Any, tf: Any) -> np.ndarray:
    """Singular values of a model's Jacobian at each sample, [samples, units]."""
    h = tf.convert_to_tensor(lower(x))
    with tf.GradientTape() as tape:
        tape.watch(h)
        value = model(h)
    return np.linalg.svd(tape.batch_jacobian(value, h).numpy().astype(np.float64), compute_uv=False)


def test_an_orthogonal_linear_network_is_an_isometry_times_its_gain() -> None:
    fixed = 'depth = 20\nwidth = 32\nactivation = "linear"'
    rows = measured('initializer = [{ level = "orthogonal", gain = 0.5 }]', fixed)["activations"]
    np.testing.assert_allclose(rows[MEAN], 0.5, rtol=1e-5)
    np.testing.assert_allclose(rows[SQUARE], 0.25 ** np.arange(20), rtol=1e-4)
    np.testing.assert_allclose(rows[DISPERSION], 0.0, atol=1e-5)


def test_gaussian_layers_have_the_spectrum_of_random_matrices() -> None:
    # Pennington et al. 2017: dispersion L in a linear Gaussian network; the quarter circle's mean is 8 / (3 pi).
    rows = measured(
        'initializer = [{ level = "variance_scaling", distribution = "untruncated_normal" }]',
        'depth = 6\nwidth = 128\nactivation = "linear"',
        replicates=4,
    )["activations"]
    by_layer = rows.groupby("layer_index")[list(JACOBIAN_COLUMNS)].mean()
    np.testing.assert_allclose(by_layer[MEAN].iloc[1:], 8 / (3 * np.pi), rtol=0.02)
    np.testing.assert_allclose(by_layer[DISPERSION], np.arange(6.0), rtol=0.15, atol=1e-9)
    np.testing.assert_allclose(by_layer[SQUARE], 1.0, rtol=0.15)


def test_they_are_null_where_they_were_not_asked_for_and_nan_where_there_is_none_and_stop_nothing() -> None:
    levels = '"he_normal", "zeros", { level = "random_normal", stddev = 1e30 }'
    (cohort,) = cohorts(f"initializer = [{levels}]", "depth = 4\nwidth = 8\nsteps = 2", record=AT_START)
    rows = train(cohort)["activations"]
    finite, zeros = (rows[rows["run_id"] == run.run_id] for run in cohort.runs[:2])
    assert finite.groupby("step")[DISPERSION].count().to_dict() == {0: 4, 2: 0}
    zeros = zeros.query("step == 0 and layer_index > 0")
    assert (zeros[MEAN] == 0.0).all()
    assert zeros[DISPERSION].isna().all()


@pytest.mark.parametrize(
    ("factors", "layers_alone"),
    [('skip = ["none"]', True), ('skip = ["residual"]', False), ('normalization = ["layer_normalization"]', False)],
)
def test_they_are_null_where_a_layer_is_more_than_its_activation(factors: str, layers_alone: bool) -> None:
    training, tables = look(factors, "depth = 3\nwidth = 8", record=AT_START)
    assert has_jacobians(training.cohort.structure) == layers_alone
    found = tables["activations"][list(JACOBIAN_COLUMNS)]
    assert found.notna().all(axis=None) if layers_alone else found.isna().all(axis=None)


def test_a_step_without_activations_is_refused() -> None:
    record = "[record]\nactivations = { at = [0] }\njacobians = { at = [1] }\n"
    with pytest.raises(SuiteError, match=r"jacobians: .* includes step 1, at which activations are not recorded"):
        cohorts('activation = ["relu"]', "steps = 2", record=record)
