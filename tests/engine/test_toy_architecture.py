"""Whoever brings a network of another kind gets tables, a report and an honest theory, with no edit inside `bench`."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.analysis import theory_of
from bench.engine.stacks import roles
from bench.engine.train import Training
from bench.errors import BenchError, DataError, SuiteError
from bench.factors import Choice
from bench.plan import make_plan
from bench.report import write_report
from bench.results import Manifest, Results, read_tables
from bench.suite import load_suite
from bench.theory import network_of
from tests.cohorts import cohorts
from tests.extending.recipes import recipe

# docs/extending.md holds the code, and a suite names it as anybody's own module.
(BLOCK,) = recipe("An architecture")
FOLDER = Path(tempfile.mkdtemp())
(FOLDER / BLOCK.place).write_text(BLOCK.text, encoding="utf-8")
sys.path.insert(0, str(FOLDER))
two_way = importlib.import_module(BLOCK.place.removesuffix(".py"))

SUITE = """
[suite]
name = "toy"
question = "Does a grid of two-way layers learn sums?"
replicates = 2

[factors]
depth = [1, 3]
initializer = ["glorot_uniform", "he_normal"]

[[include]]
depth = 3
regularization = { level = "max_norm", limit = 0.3 }

[fixed]
architecture = "two_way:build"
dataset = "two_way:sums"
activation = "tanh"
width = 5
steps = 40
batch_size = 32
learning_rate = 0.05
"""

FIXED = SUITE.partition("[fixed]\n")[2]


class Number:
    def __init__(self, value: int) -> None:
        self.value = value


@dataclass(frozen=True)
class Toy:
    """The suite's results, and its cohorts after their training, the deep one first."""

    results: Results
    trained: list[Training]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    path = folder / "toy.toml"
    path.write_text(SUITE)
    suite = load_suite(path)
    plan = make_plan(suite)
    toy = Toy(Results(folder / "out"), [Training(cohort) for cohort in plan.cohorts])
    with toy.results.locked():
        for training in toy.trained:
            toy.results.write(training.cohort.key, training.run())
        toy.results.write_manifest(Manifest.of(suite, plan))
    return toy


def test_its_tables_hold_every_layer_with_both_kernels_and_null_where_nothing_applies(toy: Toy) -> None:
    tables = read_tables(toy.results.folder)
    assert (tables["runs"]["status"] == "completed").all()
    rows = tables["gradient_norms"]
    deep = rows[rows["run_id"].isin(tables["runs"].query("depth == 3")["run_id"])]
    per_step, channels, width = 36, 4, 5
    counts = [(per_step + 1) * channels * width] + [(per_step + 1) * width * width] * 2 + [6 * width * 2]
    assert deep["weight_count"].tolist()[:4] == counts
    assert (deep[["weight_grad_norm", "weight_grad_mean_abs", "update_norm", "weight_norm"]] > 0).all().all()
    assert rows["preactivation_grad_pair_correlation"].isna().all()
    curves = tables["evaluations"]
    assert curves["accuracy"].isna().all()
    free = curves["run_id"].isin(tables["runs"].query("regularization == 'none'")["run_id"])
    validation = curves[free & (curves["split"] == "validation")].groupby("run_id")["loss"]
    assert (validation.last() < 0.2 * validation.first()).all()
    activations = tables["activations"]
    assert activations["saturated_fraction"].between(0, 1).all()
    assert activations["pair_correlation"].between(-1, 1).all()


def test_its_gradients_are_those_of_one_ordinary_model() -> None:
    (cohort,) = cohorts("depth = [2]", FIXED)
    training = Training(cohort)
    network, ensemble = training.ensemble.network, training.ensemble
    x, y = training.data.x[:32], training.data.y[:32]
    inputs = keras.Input((6, 4))
    h = inputs
    for stage in network.stages:
        h = stage.block.layers[0].response(stage.block.layers[0].affine(h))[3]
    model = keras.Model(inputs, network.head(h))
    values = [variable.numpy()[0, 0] for stack in ensemble.stacks for variable in stack.affine]
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)
    with tf.GradientTape() as tape:
        loss = keras.losses.MeanSquaredError()(y, model(x))
    gradients = tape.gradient(loss, model.trainable_variables)
    found = ensemble.gradients(x[None], y[None], tf.constant(False))
    assert found.loss.numpy()[0] == pytest.approx(float(loss), rel=1e-5)
    for own, expected in zip(found.gradients, gradients, strict=True):
        np.testing.assert_allclose(own.numpy()[0, 0], expected, rtol=1e-4, atol=1e-6)


def test_each_role_has_a_draw_of_its_own_with_the_variance_of_its_fans() -> None:
    (cohort,) = cohorts('initializer = ["he_normal"]', FIXED.replace("width = 5", "width = 40") + "\ndepth = 2")
    weights = Training(cohort).ensemble.stages[1][0].weights
    assert list(weights) == ["kernel", "step_kernel", "bias"]
    for role, fan_in in (("kernel", 40), ("step_kernel", 6 * 6 * 40)):
        assert weights[role].numpy().std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


def test_no_two_variables_have_one_role() -> None:
    variables = [keras.Variable(0.0, name=name) for name in ("kernel", "kernel", "kernel_2", "bias", "kernel")]
    assert roles(variables) == ["kernel", "kernel_2", "kernel_2_2", "bias", "kernel_3"]


def test_max_norm_bounds_each_unit_of_both_kernels(toy: Toy) -> None:
    deep = toy.trained[0]
    bounded = [run.choices["regularization"].name == "max_norm" for run in deep.cohort.runs]
    assert sum(bounded) == 4
    for kernel in deep.ensemble.kernels:
        norms = np.linalg.norm(kernel.numpy().reshape(*kernel.shape[:2], -1, kernel.shape[-1]), axis=2)
        assert (norms[:, bounded] < 0.3001).all()
        assert (norms[:, ~np.array(bounded)] > 0.31).any()


def test_its_report_says_that_there_is_no_prediction(toy: Toy) -> None:
    page = unescape(write_report(toy.results.folder).read_text(encoding="utf-8"))
    assert "Does a grid of two-way layers learn sums?" in page
    theory = theory_of(read_tables(toy.results.folder))
    assert theory.runs["reason"].str.contains("The theory covers dense layers (mlp), not", regex=False).all()
    with pytest.raises(BenchError, match="covers dense layers"):
        network_of({"architecture": "two_way:build"})


def shallow(*_: object) -> object:
    return two_way.build({"depth": Number(1), "width": Number(5)}, (6, 4), 2)  # type: ignore[dict-item]


def broad(structure: Mapping[str, Choice], shape: tuple[int, ...], outputs: int) -> object:
    return two_way.build(structure, shape, outputs + 1)


def nothing(*_: object) -> None:
    return None


def odd() -> None:
    raise AssertionError("its kind is read first")


odd.kind = "images"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ('"two_way:build"', SuiteError, f"{__name__}:shallow.* built 1 hidden layers, not 2"),
        ('"two_way:build"', SuiteError, f"{__name__}:nothing.* built a NoneType, not a Network"),
        ('"two_way:build"', SuiteError, f"{__name__}:broad.* built a head of shape .None, 3., not .None, 2."),
        ('"two_way:sums"', DataError, "its kind is 'images'; allowed are classes, classes_each, values"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(place: str, error: type[BenchError], message: str) -> None:
    name = "odd" if error is DataError else message.partition(":")[2].partition(".")[0]
    (cohort,) = cohorts("depth = [2]", FIXED.replace(place, f'"{__name__}:{name}"'))
    with pytest.raises(error, match=message):
        Training(cohort)
