"""Whoever brings a network of another kind gets tables, a report and an honest theory, with no edit inside `bench`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.analysis import theory_of
from bench.engine.outside import costs_of_cells
from bench.engine.stacks import roles
from bench.engine.train import Training
from bench.errors import BenchError, DataError, SuiteError
from bench.factors import FACTORS, ArchitectureLevel, Choice, choose
from bench.plan import estimate_memory, make_plan
from bench.report import dump_report
from bench.results import Manifest, Results, read_tables
from bench.suite import load_suite
from bench.theory import network_of
from tests.cohorts import cohorts
from tests.extending.recipes import ROOT, recipe

# docs/extending.md holds the code, and a suite names it as anybody's own module.
MODULE, GRIDS = recipe("An architecture")
FOLDER = Path(tempfile.mkdtemp())
(FOLDER / MODULE.place).write_text(MODULE.text, encoding="utf-8")
sys.path.insert(0, str(FOLDER))
two_way = importlib.import_module(MODULE.place.removesuffix(".py"))

BOUNDED = '[[include]]\ndepth = 3\nregularization = { level = "max_norm", limit = 0.3 }\n\n'
SUITE = GRIDS.text.replace("[fixed]", BOUNDED + "[fixed]")

FIXED = SUITE.partition("[fixed]\n")[2]


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


def test_its_costs_are_those_of_the_network_that_it_builds(toy: Toy) -> None:
    for training in toy.trained:
        cohort, depth = training.cohort, int(training.cohort.structure["depth"].value or 0)
        (costs,) = costs_of_cells([cohort.structure])
        assert costs is not None
        assert costs.weights == sum(
            int(np.prod(kernel.shape)) // len(cohort.runs) for kernel in training.ensemble.kernels
        )
        assert (costs.layers, costs.activations) == (depth, 8 * depth * 6 * 5)
        assert estimate_memory(replace(cohort, costs=costs)) != estimate_memory(cohort)


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
    page = dump_report(toy.results.folder)
    assert page["question"] == "Does a grid of two-way layers learn sums?"
    theory = theory_of(read_tables(toy.results.folder))
    assert theory.runs["reason"].str.contains("The theory covers dense layers (mlp), not", regex=False).all()
    with pytest.raises(BenchError, match="covers dense layers"):
        network_of({"architecture": "two_way:build"})


REFUSED = [
    ('skip = "residual"', "two_way:build and skip residual do not go together: a two-way layer is z and an activation"),
    ('dataset = "digits"', 'digits is an image, and two_way takes a sequence. Did you mean "digits_rows"?'),
    (f'dataset = "{__name__}:flat"', r"samples have the shape \(4,\); architecture two_way:build takes a sequence"),
    ('architecture = "two_way:bild"', '"two_way:bild": the module two_way has no attribute bild'),
    ('architecture = "tow_way:build"', '"tow_way:build": cannot import tow_way'),
    (f'architecture = "{__name__}:of_no_kind"', "its level is a str, no ArchitectureLevel"),
    (f'architecture = "{__name__}:priceless"', "its costs are a int, no Costs"),
]


def flat() -> tuple[np.ndarray, np.ndarray]:
    return np.eye(40, 4), np.arange(40) % 2


def of_no_kind(*_: object) -> None:
    return None


def priceless(*_: object) -> None:
    return None


of_no_kind.level = "sequence"  # type: ignore[attr-defined]
priceless.level = ArchitectureLevel("priceless", "", "", costs=lambda *_: 5)  # type: ignore


@pytest.mark.parametrize(("changed", "says"), REFUSED)
def test_what_it_has_no_use_for_is_refused_before_anything_trains(changed: str, says: str) -> None:
    factor = changed.partition(" =")[0]
    fixed = "".join(line for line in FIXED.splitlines(keepends=True) if not line.startswith(factor))
    (cohort,) = cohorts("depth = [3]", fixed + changed)
    with pytest.raises(BenchError, match=says):
        costs_of_cells([run.choices for run in cohort.runs])


@pytest.mark.full  # a worker to plan, two to train
def test_the_recipe_works_as_it_is_typed_into_an_empty_folder(tmp_path: Path) -> None:
    for block in (MODULE, GRIDS):
        (tmp_path / block.place).write_text(block.text, encoding="utf-8")
    (tmp_path / "bad.toml").write_text(GRIDS.text + 'normalization = "batch_normalization"\n', encoding="utf-8")

    def bench(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from bench.cli import main; main()", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert "8 runs in 2 cohorts" in bench("plan", GRIDS.place).stdout
    assert bench("run", "bad.toml").stderr.startswith("error: bad.toml: architecture two_way:build and normalization")
    done = bench("run", GRIDS.place)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reports/grids/index.html").read_text(encoding="utf-8")
    assert "Does a grid of two-way layers learn sums?" in page


def shallow(*_: object) -> object:
    structure = {name: choose(FACTORS[name], at) for name, at in (("depth", 1), ("width", 5), ("activation", "tanh"))}
    return two_way.build(structure, (6, 4), 2)


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
