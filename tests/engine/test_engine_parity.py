"""The engine against a lone Keras model: the same losses and norms, step by step, for every level that trains."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from bench.factors import FACTORS, LOOKED_POSITIONS, choose
from bench.plan import Cohort
from bench.schema import LARGE_INPUT
from tests.cohorts import EVALUATED, cohorts, of_run

# What a step does wrong shows in its own columns; the next two show what it left behind for them.
STEPS = 3
MANY = 20  # in full-test
FIXED = {"depth": 3, "width": 16, "learning_rate": 0.02, "optimizer": '"momentum"', "batch_size": 32}
# Relative and absolute tolerance; an activation's gradient is taken at its output, and the head has none.
COLUMNS = {
    "weight_count": (0.0, 0.0), "weight_norm": (1e-5, 0.0), "weight_grad_norm": (1e-4, 0.0),
    "weight_grad_mean_abs": (1e-4, 0.0), "preactivation_grad_norm": (1e-4, 0.0), "activation_grad_norm": (1e-4, 0.0),
    "preactivation_grad_pair_correlation": (1e-4, 1e-5),
}  # fmt: skip
# A change is a difference of weights that were rounded to float32, each to within 2^-24 of itself, on both sides: the
# norms of two changes may differ by 2^-23 of the weights' norm, which is much of a change that has all but vanished.
ROUNDED_CHANGE = 2.0**-23

# All rules at once: they share a graph, so each must leave the other runs alone.
RULES = """clipping = ["none", { level = "value", threshold = 0.01 }, { level = "norm", threshold = 0.1 },
  { level = "global_norm", threshold = 0.2 }, { level = "adaptive", threshold = 0.02 }]
regularization = ["none", { level = "l2", strength = 1e-2 }]"""
MORE_RULES = """
[[include]]
regularization = [{ level = "l1", strength = 1e-3 }, { level = "weight_decay", strength = 0.5 },
  { level = "max_norm", limit = 0.9 }]
clipping = ["none", { level = "global_norm", threshold = 0.2 }]
learning_rate = 0.05
[[include]]
regularization = "none"
clipping = "none"
initializer = ["he_normal", { level = "orthogonal", gain = 1.2 }]
bias_initializer = { level = "normal", stddev = 0.1 }
"""

# Every level that a lone model has, in as few graphs as can be. How a normalization stands before or after the
# activation is the same code for each of them, with a skip connection and without.
CASES = [
    RULES,
    'activation = ["elu"]\noptimizer = ["adamw"]\nlearning_rate = [0.003]\nnormalization = ["unit_normalization"]\n'
    'warmup = [{ level = "linear", steps = 1 }]\nschedule = [{ level = "cosine_decay", alpha = 0.1 }]\n'
    'regularization = ["none", { level = "weight_decay", strength = 0.1 }]\n'
    'clipping = ["none", { level = "norm", threshold = 0.1 }]',
    'activation = ["leaky_relu"]\noptimizer = ["rmsprop"]\nlearning_rate = [0.005]\n'
    'depth = [1]\ndataset = ["breast_cancer"]',
    'skip = ["residual"]\ndepth = [6]\nactivation = ["tanh"]\n'
    'normalization = ["weight_normalization"]\noptimizer = ["sgd"]',
    'skip = [{ level = "residual_scaled", layers = 1 }]\n'
    'normalization = ["batch_normalization"]\nactivation = ["hard_silu"]',
    'skip = [{ level = "residual_post_norm", layers = 1 }]\n'
    'normalization = ["layer_normalization"]\nactivation = ["softsign"]',
]
# The rest of the levels, in graphs like those above: their activations are compared by themselves below.
MORE_CASES = [
    'activation = ["softplus"]\noptimizer = ["nesterov"]\nbatch_size = [7]\ndataset = ["wine"]\n'
    'preprocessing = ["unit_mean_square"]\nnormalization = [{ level = "group_normalization", groups = 2 }]',
    'skip = [{ level = "residual", layers = 1 }]\nactivation = ["sigmoid"]\n'
    'normalization = [{ level = "layer_normalization", position = "after" }]',
    'activation = ["silu"]\noptimizer = [{ level = "adam", epsilon = 0.001 }]\nlearning_rate = [0.005]\n'
    'normalization = [{ level = "batch_normalization", position = "after" }]',
    'skip = [{ level = "residual", layers = 1 }]\nactivation = ["gelu"]\nnormalization = ["rms_normalization"]',
    'skip = ["residual_damped"]\ndepth = [5]\nactivation = ["mish"]\n'
    'normalization = [{ level = "rms_normalization", position = "after" }]',
    'activation = ["hard_sigmoid"]\ninitializer = [{ level = "random_normal", stddev = 1.5 }]\nlearning_rate = [1e-5]',
    'activation = ["linear"]\nnormalization = [{ level = "unit_normalization", position = "after" }]',
    # Of two units, as by default here, it is close to a sign.
    'activation = ["celu"]\nnormalization = [{ level = "group_normalization", position = "after", groups = 2 }]',
    'skip = [{ level = "residual_damped", scale = 0.3, exponent = 0.0, layers = 1 }]\n'
    'normalization = ["batch_normalization"]\nactivation = ["relu6"]',
    'skip = ["residual_post_norm"]\nnormalization = ["batch_normalization"]\ndepth = [6]\nactivation = ["selu"]',
]

MADE_FOR_CONVOLUTIONS = [
    'skip = ["residual_v1"]\nnormalization = ["batch_normalization"]\ndepth = [4]\nactivation = ["relu"]',
    'skip = ["fixup"]\ndepth = [5]\ninitializer = ["he_normal"]\noptimizer = ["adam"]\nlearning_rate = [0.01]',
]
# tests/engine/test_conv.py has these.
OF_CONVOLUTIONS = {"instance_normalization", "layer_spatial_normalization", "residual_v1", "fixup"}


def cohort_of(factors: str, steps: int = STEPS) -> Cohort:
    given = {line.partition("=")[0].strip() for line in factors.splitlines()}
    fixed = "\n".join(f"{name} = {value}" for name, value in (FIXED | {"steps": steps}).items() if name not in given)
    (cohort,) = cohorts(factors, fixed, record=EVALUATED + (MORE_RULES if factors == RULES else ""))
    return cohort


def test_every_level_that_a_lone_model_has_is_compared() -> None:
    runs = [run for factors in (*CASES, *MORE_CASES) for run in cohort_of(factors).runs]
    for factor in ("activation", "normalization", "skip", "clipping", "regularization", "optimizer"):
        levels = {level.name for level in FACTORS[factor].levels} - OF_CONVOLUTIONS
        assert {run.choices[factor].name for run in runs} == levels
    choices = [run.choices["normalization"] for run in runs]
    placed = {(choice.name, dict(choice.settings).get("position")) for choice in choices}
    assert len(placed) == 1 + 2 * 5 + 1  # none, five before and after, weight normalization


@pytest.mark.parametrize("steps", [STEPS, pytest.param(MANY, marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "factors",
    [
        pytest.param(CASES[0], marks=pytest.mark.traced),
        *CASES[1:],
        *(pytest.param(factors, marks=pytest.mark.full) for factors in MORE_CASES),
    ],
    ids=lambda factors: re.sub(r"[^a-z0-9_.]+", "-", factors)[:70],
)
def test_a_cohort_trains_as_lone_keras_models_do(factors: str, steps: int) -> None:
    clipped = compare(cohort_of(factors, steps))
    assert factors != RULES or clipped == {"value", "norm", "global_norm", "adaptive"}


@pytest.mark.full
@pytest.mark.parametrize("factors", MADE_FOR_CONVOLUTIONS)
def test_levels_made_for_convolutions_are_the_same_in_dense_layers(factors: str) -> None:
    compare(cohort_of(factors))


@pytest.mark.parametrize("name", sorted(level.name for level in FACTORS["activation"].levels))
def test_an_activation_and_its_slope_are_keras_s_own_in_every_run(name: str) -> None:
    import tensorflow as tf

    from bench.engine.activations import make_activation
    from bench.engine.lifting import lifted

    phi, rng = make_activation(choose(FACTORS["activation"], name)), np.random.default_rng(0)
    z, dh = (tf.constant(rng.normal(0.0, 3.0, (3, 5, 8)), tf.float32) for _ in range(2))

    def of_run(z: tf.Tensor, dh: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            h = phi(z)
        return h, tape.gradient(h, z, dh)

    found = lifted(of_run)(z, dh)
    alone = [of_run(z[run], dh[run]) for run in range(3)]
    for mine, expected in zip(found, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(mine, tf.stack(expected), 1e-5, 1e-6)
    named = keras.activations.get(name)(z)
    np.testing.assert_allclose(found[0], named, 1e-5, 1e-6)


def compare(cohort: Cohort, kind: type | None = None) -> set[str]:
    """Assert that all columns are equal; the rules that clipped a gradient by much.

    `kind` is of the lone networks, `Lone` or one that does more.
    """
    from bench.engine.batches import batches
    from bench.engine.train import Training
    from tests.engine.lone import Lone

    training = Training(cohort)
    data = training.data
    x, y = data.x.numpy(), data.y.numpy()
    lones = [lone_of(kind or Lone, training, index) for index in range(len(cohort.runs))]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    rows = list(batches(cohort.runs, len(y), training.batch, training.steps))
    judged = (data.judged_x, data.truth, data.train_samples)
    clipped = set()
    shares = np.bincount(data.truth[data.train_samples :]) / (len(data.truth) - data.train_samples)
    np.testing.assert_allclose(tables["runs"]["naive_accuracy"], shares.max())
    np.testing.assert_allclose(tables["runs"]["naive_loss"], -(shares * np.log(shares)).sum())
    for index, (run, lone) in enumerate(zip(cohort.runs, lones, strict=True)):
        positions = training.ensemble.network.positions
        looked = LOOKED_POSITIONS // positions if positions else None
        shares = lone.shares(training.data.probe_x.numpy()[:looked], LARGE_INPUT)
        evaluated = {0: lone.judge(*judged)}
        expected = lone.train((x[at[index]], y[at[index]]) for at in rows)
        evaluated[training.steps] = lone.judge(*judged)
        own = of_run(tables, run.run_id)
        numbers = sum(int(np.prod(variable.shape)) for variable in lone.model.trainable_variables)
        assert own["runs"]["parameter_count"].tolist() == [numbers]
        for row in own["evaluations"].itertuples():
            wanted = evaluated[row.step][row.split]
            samples = data.train_samples if row.split == "train" else len(data.truth) - data.train_samples
            one = 1.5 / samples  # sample may lie on the line between two classes
            np.testing.assert_allclose(row.loss, wanted["loss"], rtol=1e-4)
            np.testing.assert_allclose(row.accuracy, wanted["accuracy"], atol=one)
            np.testing.assert_allclose(row.balanced_accuracy, wanted["balanced_accuracy"], atol=2 * one)
            np.testing.assert_allclose(row.largest_answer_share, wanted["largest_answer_share"], atol=one)
        assert len(own["evaluations"]) == 4
        for column in ("loss", "global_grad_norm", "clipped_grad_norm"):
            assert np.isfinite(expected[column]).all()
            np.testing.assert_allclose(own["loss_curves"][column], expected[column], rtol=1e-4, err_msg=column)
        much = expected["clipped_grad_norm"] < 0.99 * expected["global_grad_norm"]
        assert own["loss_curves"]["clipped"][much].all()
        clipped |= {run.choices["clipping"].name} if much.any() else set()
        norms = {name: rows.to_numpy().reshape(training.steps, -1) for name, rows in own["gradient_norms"].items()}
        for column, (relative, absolute) in COLUMNS.items():
            np.testing.assert_allclose(
                norms[column], expected[column], relative, absolute, err_msg=f"{column} of {run.run_id}"
            )
        assert (expected["update_norm"].max(axis=0) > 0).all()  # not at step 0 behind a scale that starts at 0
        allowed = ROUNDED_CHANGE * norms["weight_norm"] + 1e-4 * expected["update_norm"]
        assert (np.abs(norms["update_norm"] - expected["update_norm"]) <= allowed).all(), f"changes of {run.run_id}"
        zeros = norms["weight_grad_zero_fraction"] - expected["weight_grad_zero_fraction"]
        assert (np.abs(zeros) <= 1.01 / norms["weight_count"]).all()
        entries = len(training.data.probe_x[:looked]) * int(run.choices["width"].value or 0)
        for column, share in shares.items():
            np.testing.assert_allclose(own["activations"][column], share, atol=1.01 / entries, err_msg=column)
    return clipped


def lone_of(kind: type, training: object, index: int):
    """The lone model of a run, with the run's initial kernels and biases."""
    ensemble = training.ensemble  # type: ignore[attr-defined]
    lone = kind(training.cohort.runs[index], training.data.x.shape[1:], ensemble.head.kernel.shape[-1])  # type: ignore[attr-defined]
    layers = [
        {role: variable.numpy()[block, index] for role, variable in stack.weights.items()}
        for stage, stacks in zip(ensemble.network.stages, ensemble.stages, strict=True)
        for block in range(stage.count)
        for stack in stacks
    ]
    head = {role: variable.numpy()[0, index] for role, variable in ensemble.head.weights.items()}
    for dense, values in zip(lone.denses, [*layers, head], strict=True):
        dense.kernel.assign(values["kernel"])
        if dense.use_bias:
            dense.bias.assign(values["bias"])
    return lone
