"""Measurements against closed forms and against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.engine.attention.tokens import TOKEN_STATISTICS
from bench.factors import ARCHITECTURE, FACTORS, ArchitectureLevel
from bench.schema import TABLES
from tests.cohorts import cohorts, look, of_run, train

WIDTH = 64


def opposites(folder: Path) -> str:
    """A dataset of x of one class and -x of the other, over and over; standardized they are +1 and -1 everywhere.

    To a linear network without biases both give the same weight gradient, so a batch's mean is one sample's.
    """
    x = np.random.default_rng(1).normal(size=(1, WIDTH)).astype("float32")
    both, classes = np.concatenate([x, -x]), np.array([1, 0])
    path = folder / "opposites.npz"
    np.savez(path, x_train=np.repeat(both, 32, axis=0), y_train=np.repeat(classes, 32), x_test=both, y_test=classes)
    return f'dataset = "{path}"'


def first_step(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    norms = tables["gradient_norms"]
    return norms[(norms["step"] == 0) & (norms["layer_name"] != "head")].sort_values("layer_index")


def test_weight_gradients_hide_what_the_signal_of_a_deep_linear_orthogonal_network_shows(tmp_path: Path) -> None:
    # Zero biases: for one sample every layer's weight gradient norm is g^(L-1) |x| |delta|.
    depth, gains = 30, (0.5, 0.7, 1.0, 1.3)
    levels = ", ".join(f'{{ level = "orthogonal", gain = {gain} }}' for gain in gains)
    (cohort,) = cohorts(
        f"initializer = [{levels}]",
        f'depth = {depth}\nwidth = {WIDTH}\nactivation = "linear"\nsteps = 1\nbatch_size = 2\n{opposites(tmp_path)}',
    )
    norms = first_step(train(cohort))
    assert len(cohort.runs) == len(gains)
    for run in cohort.runs:
        rows = norms[norms["run_id"] == run.run_id]
        gain = run.choices["initializer"].setting("gain")
        expected = gain ** np.arange(depth - 1, -1, -1.0) * rows["preactivation_grad_norm"].iloc[-1]
        np.testing.assert_allclose(rows["preactivation_grad_norm"], expected, rtol=1e-4)
        np.testing.assert_allclose(rows["activation_grad_norm"], rows["preactivation_grad_norm"], rtol=1e-6)
        np.testing.assert_allclose(rows["weight_grad_norm"], rows["weight_grad_norm"].iloc[0], rtol=1e-4)
        assert (rows["weight_grad_norm"] > 0).all()


def test_fifty_sigmoid_layers_do_not_underflow_in_the_norms() -> None:
    (cohort,) = cohorts('activation = ["sigmoid"]', 'depth = 50\nwidth = 64\nsteps = 1\ninitializer = "glorot_uniform"')
    rows = first_step(train(cohort))
    signal = rows["preactivation_grad_norm"].to_numpy()
    assert signal[0] < 1e-28  # its square is far below float32
    spread = rows["weight_grad_norm"] / rows["weight_grad_mean_abs"]  # between sqrt(count) and count, whatever the size
    assert (spread >= np.sqrt(rows["weight_count"])).all()
    assert (spread < 3 * np.sqrt(rows["weight_count"])).all()
    slope = np.polyfit(np.arange(2, 47), np.log(signal[2:47]), 1)[0]
    assert slope == pytest.approx(-np.log(0.2351), abs=0.03)  # mean-field growth per layer of sigmoid at Glorot


def test_relu_with_he_keeps_the_mean_square() -> None:
    _, tables = look(
        'activation = ["relu"]',
        'depth = 12\nwidth = 256\nsteps = 1\ninitializer = "he_normal"\npreprocessing = "unit_mean_square"',
        replicates=4,
    )
    rows = tables["activations"].groupby("layer_index")["preactivation_mean_square"].mean()
    np.testing.assert_allclose(rows, 2.0, rtol=0.35)  # q = 2 E[x^2]; spread over four nets of 256 units


def test_activation_statistics_are_numpys() -> None:
    training, tables = look(
        'activation = ["relu"]',
        'depth = 2\nwidth = 16\nsteps = 1\nbias_initializer = { level = "normal", stddev = 2.0 }',
    )
    x = training.data.probe_x.numpy().astype(np.float64)
    h, expected = x, []
    stem, body = (stage[0] for stage in training.ensemble.stages)
    for stack in (stem, body):
        kernel, bias = (variable.numpy()[0, 0].astype(np.float64) for variable in stack.affine)
        z = h @ kernel + bias
        h = np.maximum(z, 0.0)
        unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-300)
        alive = (np.linalg.norm(h, axis=1) > 0).sum()
        pairs = ((unit @ unit.T).sum() - alive) / (alive * (alive - 1))
        shares = [(z <= 0).mean(), (z <= 0).all(axis=0).mean(), (h <= 0).mean(), (np.abs(z) >= 5.0).mean()]
        expected.append([h.mean(), h.std(), np.sqrt(h.var(axis=1).mean()), (z**2).mean(), *shares, pairs])
    found = tables["activations"]
    names = [name for name in TABLES["activations"].columns if name not in ("run_id", "step", "layer_index")]
    absent = [name for name in names if "jacobian" in name or name in TOKEN_STATISTICS]
    columns = [name for name in names if name not in absent]
    assert found[absent].isna().all(axis=None)  # recorded on request, or where there are tokens
    np.testing.assert_allclose(found[columns], expected, rtol=1e-4, atol=1e-5)
    assert (found[["dead_fraction", "large_fraction"]].max() > 0).all()


def test_a_saturated_tanh_is_where_its_slope_is_below_a_fifth() -> None:
    training, tables = look(
        'activation = ["tanh"]',
        'depth = 1\nwidth = 32\nsteps = 1\ninitializer = { level = "random_normal", stddev = 0.4 }',
    )
    kernel = training.ensemble.stages[0][0].kernel.numpy()[0, 0]
    slope = 1 - np.tanh(training.data.probe_x.numpy() @ kernel) ** 2
    found = tables["activations"]["saturated_fraction"]
    assert found.iloc[0] == pytest.approx((slope < 0.2).mean(), abs=2e-4)


@pytest.mark.parametrize(
    ("activation", "skip"),
    [("relu", "residual"), ("gelu", "none"),
     *(pytest.param(*each, marks=pytest.mark.full) for each in (("relu", "none"), ("tanh", "residual")))],
)  # fmt: skip
def test_lsuv_brings_every_layer_to_unit_variance(activation: str, skip: str) -> None:
    import tensorflow as tf

    from bench.engine.train import Training

    (cohort,) = cohorts(
        'initializer = ["lsuv", "glorot_uniform"]',
        f'depth = 8\nwidth = 32\nsteps = 1\nactivation = "{activation}"\nskip = "{skip}"',
    )
    training = Training(cohort)
    x = training.data.probe_x
    lsuv = [run.choices["initializer"].name for run in cohort.runs].index("lsuv")
    batch = training.ensemble.gradients(
        tf.tile(x[None], [2, 1, 1]), tf.zeros([2, len(x)], tf.int32), measure=tf.constant(False)
    )
    z = np.concatenate(
        [np.stack([a.stack().numpy() for a in s.z], axis=1).reshape(-1, *s.z[0].stack().shape[1:]) for s in batch.saved]
    )
    np.testing.assert_allclose(z[:, lsuv].var(axis=(1, 2)), 1.0, atol=0.1)
    assert abs(z[-1, 1 - lsuv].var() - 1.0) > 0.1


def test_lsuv_reaches_unit_variance_under_weight_normalization_and_leaves_directions_alone() -> None:
    training, tables = look(
        'initializer = ["lsuv", "orthogonal"]',
        'depth = 3\nwidth = 8\nactivation = "tanh"\ndataset = "wine"\nnormalization = "weight_normalization"',
    )
    kernels = [stack.kernel.numpy() for stack in training.ensemble.stacks[:-1]]  # the head is plain
    for kernel in kernels:  # equal orthogonal draws; only the learned lengths may differ
        np.testing.assert_allclose(kernel[:, 0], kernel[:, 1], rtol=1e-5, atol=1e-7)
    index = [run.choices["initializer"].name for run in training.cohort.runs].index("lsuv")
    found = of_run(tables, training.cohort.runs[index].run_id)["activations"]
    np.testing.assert_allclose(found["preactivation_mean_square"], 1.0, atol=0.15)


def test_every_initializer_and_the_offline_data_are_built_and_trained() -> None:
    """All other levels are compared with lone Keras models: see test_engine_parity."""
    mlp = ARCHITECTURE.level("mlp")
    assert isinstance(mlp, ArchitectureLevel)
    refused = [name for factor, name in mlp.refused if factor == "initializer"]
    initializers = ", ".join(f'"{level.name}"' for level in FACTORS["initializer"].levels if level.name not in refused)
    (cohort,) = cohorts(
        f"initializer = [{initializers}]",
        'depth = 3\nwidth = 16\nsteps = 3\nlearning_rate = 0.01\ndataset = "mnist1d"',
    )
    tables = train(cohort)
    moved = tables["gradient_norms"].groupby("run_id")["update_norm"].max()
    assert set(tables["runs"]["status"]) == {"completed"}
    assert len(cohort.runs) == len(moved)
    assert np.isfinite(tables["loss_curves"]["loss"]).all()
    assert (moved[~moved.index.str.contains("zeros")] > 0).all()


SKIPS = {
    # log10 of |delta_1|^2 / |delta_L|^2 over 30 layers of relu with He: products of chi = 1 + alpha^2 chi_F.
    'level = "residual"': ("none", 29 * np.log10(2.0)),
    'level = "residual_damped"': ("none", 29 * np.log10(1 + 1 / 29)),
    'level = "residual_damped", scale = 0.5, exponent = 0.0': ("none", 29 * np.log10(1.25)),
    'level = "residual_scaled"': ("none", 0.0),
    'level = "residual_post_norm"': ("layer_normalization", 0.0),  # (1 + chi_F) / (1 + q_F), both 1 for relu with He
}


MORE_SKIPS = [key for key in SKIPS if "damped" in key or "residual_scaled" in key]


@pytest.mark.parametrize(
    ("level", "normalization", "decades"),
    [pytest.param(key, *value, marks=[pytest.mark.full] if key in MORE_SKIPS else []) for key, value in SKIPS.items()],
)
def test_the_signal_along_a_skip_connection_grows_as_mean_field_theory_says(
    level: str, normalization: str, decades: float
) -> None:
    (cohort,) = cohorts(
        f"skip = [{{ {level}, layers = 1 }}]",
        f'depth = 30\nwidth = 128\nsteps = 1\ninitializer = "he_normal"\nnormalization = "{normalization}"\n'
        'preprocessing = "unit_mean_square"',
        replicates=6,
    )
    norms = first_step(train(cohort)).groupby("layer_index")["preactivation_grad_norm"].apply(lambda d: (d**2).mean())
    # The last layers are left out: the gradient that enters them from the softmax points to the classes.
    assert np.log10(norms.iloc[0] / norms.iloc[-4]) == pytest.approx(decades * 26 / 29, abs=0.4)
