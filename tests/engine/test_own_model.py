"""A Keras model of a user's own in a suite: a run at a time, with the losses of the engine's own network."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from bench.commands.planned import of_models
from bench.engine.outside import costs_of_cells
from bench.errors import SuiteError
from bench.executors.child import Answer, Status
from bench.executors.driver import Driver, Outcome
from bench.plan import Cohort, estimate_memory, make_plan
from bench.results import read_tables
from bench.suite import load_suite
from tests.cohorts import cohorts, train
from tests.extending.recipes import ROOT, recipe
from tests.inline import InlineExecutor

STEPS = 5
FIXED = """
width = 8
activation = "tanh"
batch_size = 16
optimizer = "momentum"
steps = 5
"""
FACTORS = """
depth = [2]
initializer = ["he_normal"]
learning_rate = [0.05]
clipping = [{ level = "global_norm", threshold = 0.5 }]
regularization = [{ level = "l2", strength = 1e-3 }]
schedule = ["cosine_decay"]
"""
RECORD = """
[record]
gradient_norms = "every_step"
loss_curves = "every_step"
activations = { at = [0, "last"] }
evaluations = { at = [0, "last"] }
"""


# docs/extending.md holds the module, and a suite names it as anybody's own.
MODULE, SUITE = recipe("A Keras model")
FOLDER = Path(tempfile.mkdtemp())
(FOLDER / MODULE.place).write_text(MODULE.text, encoding="utf-8")
sys.path.insert(0, str(FOLDER))
own_net = importlib.import_module(MODULE.place.removesuffix(".py"))
OWN = 'architecture = "own_net:build"'


def own(factors: str = FACTORS, fixed: str = FIXED, architecture: str = OWN, record: str = RECORD) -> Cohort:
    (cohort,) = cohorts(factors, fixed + architecture, record=record)
    return cohort


@pytest.fixture(scope="module")
def found() -> dict[str, pd.DataFrame]:
    return train(own())


def test_its_rows_are_those_of_the_engines_own_network(found: dict[str, pd.DataFrame]) -> None:
    engine = train(own(architecture=""))
    for table, columns in {
        "loss_curves": ("loss", "global_grad_norm", "clipped_grad_norm", "clipped"),
        "gradient_norms": ("weight_grad_norm", "preactivation_grad_norm", "weight_norm", "update_norm", "weight_count"),
        "evaluations": ("loss", "accuracy", "balanced_accuracy"),
    }.items():
        assert found[table]["step"].tolist() == engine[table]["step"].tolist()
        for name in columns:
            np.testing.assert_allclose(
                found[table][name].astype(float), engine[table][name].astype(float), rtol=1e-4, err_msg=name
            )
    assert found["gradient_norms"]["layer_name"].tolist()[:3] == ["dense_0", "dense_1", "head"]
    assert sorted(set(found["activations"]["step"])) == [0, STEPS]
    run = found["runs"].iloc[0]
    assert (run["status"], run["steps_completed"], run["naive_loss"]) == (
        "completed", STEPS, engine["runs"]["naive_loss"][0],
    )  # fmt: skip


def test_the_same_run_has_the_same_bits_again(found: dict[str, pd.DataFrame]) -> None:
    again = train(own())
    for table in found.keys() - {"timings"}:
        pd.testing.assert_frame_equal(found[table], again[table], check_exact=True)


def test_a_run_ends_where_its_numbers_do() -> None:
    wild = own("depth = [2]\nlearning_rate = [1e30]", FIXED.replace("tanh", "relu"))
    tables = train(wild)
    (event,) = tables["divergence_events"].query("kind != 'loss_limit'").to_dict("records")
    assert tables["runs"]["status"].tolist() == ["diverged"]
    assert tables["loss_curves"]["step"].max() == event["step"] == tables["runs"]["steps_completed"][0] < STEPS


def test_the_driver_hands_out_runs_one_by_one_and_keeps_those_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / SUITE.place
    path.write_text(SUITE.text, encoding="utf-8")
    suite = load_suite(path)
    (cohort,) = make_plan(suite).cohorts
    assert "its 4 runs train one at a time, about " in of_models([cohort], known=False)
    costs = costs_of_cells([run.choices for run in cohort.runs])
    assert costs[0] is not None
    assert (costs[0].weights, costs[0].layers, costs[0].alone) == (64 * 8 + 8 * 8 + 8 * 10, 2, True)
    told = replace(cohort, costs=costs[0])
    assert "a Keras model, so 4 runs train one at a time" in of_models([told], known=True)
    assert estimate_memory(told) < estimate_memory(replace(told, costs=replace(costs[0], alone=False)))
    asked: list[Any] = []

    def answer(_: InlineExecutor, target: str, argument: Cohort, *rest: object) -> Any:
        asked.append(argument)
        return Answer(Status.OK, {})

    monkeypatch.setattr(InlineExecutor, "respond", answer)
    monkeypatch.setattr("bench.executors.driver.drop_substitutes", lambda tables, *_: tables)
    events = list(Driver(InlineExecutor(), "x:y").events([replace(told, runs=told.runs[1:])], {told.key: told}))
    assert [[run.run_id for run in each.runs] for each in asked] == [[run.run_id] for run in told.runs[1:]]
    assert all(isinstance(each, Outcome) and each.cohort.key == told.key for each in events)


class Regularized(keras.Model):
    """A subclass with dropout and batch normalization, which train and answer differently."""

    def __init__(self, structure: Any, outputs: int) -> None:
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.hidden = [keras.layers.Dense(structure.width) for _ in range(structure.depth)]
        self.norms = [keras.layers.BatchNormalization() for _ in self.hidden]
        self.dropout = keras.layers.Dropout(0.3)
        self.head = keras.layers.Dense(outputs)

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.flat(x)
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            h = self.dropout(keras.ops.relu(norm(dense(h), training=training)), training=training)
        return self.head(h)


def subclassed(structure: Any, shape: tuple[int, ...], outputs: int) -> keras.Model:
    return Regularized(structure, outputs)


subclassed.reads = ("depth", "width")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("architecture", "dataset"),
    [
        ("bench.engine.keras_models:recurrent", '{ level = "recall", length = 6, rows = 400 }'),
        pytest.param(f"{__name__}:subclassed", '"digits"', marks=pytest.mark.full),
        pytest.param("bench.engine.keras_models:convolutional", '"digits"', marks=pytest.mark.full),
    ],
)
def test_models_of_every_kind_train_and_have_the_same_bits_again(architecture: str, dataset: str) -> None:
    """Symbols come one-hot; dropout draws the same again, and batch normalization answers by its moving averages."""
    fixed = f'dataset = {dataset}\nwidth = 8\nbatch_size = 16\nsteps = 3\narchitecture = "{architecture}"'
    cohort = own("depth = [2]", fixed, "")
    found, again = train(cohort), train(cohort)
    assert found["runs"]["status"].tolist() == ["completed"]
    assert np.isfinite(found["evaluations"]["loss"].astype(float)).all()
    for table in found.keys() - {"timings"}:
        pd.testing.assert_frame_equal(found[table], again[table], check_exact=True)


def with_softmax(structure: Any, shape: tuple[int, ...], outputs: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(outputs + 1, activation="softmax")])


def looks_further(structure: Any, *_: object) -> keras.Model:
    return structure.heads


def misspelt(*_: object) -> None:
    return None


def greedy(*_: object) -> None:
    return None


for each in (with_softmax, looks_further):
    each.reads = ("depth", "width", "activation")  # type: ignore[attr-defined]
misspelt.reads = ("dept",)  # type: ignore[attr-defined]
greedy.reads = ("learning_rate",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("architecture", "factors", "message"),
    [
        ("own_net:build", 'normalization = ["batch_normalization"]',
         'does not read normalization, so .* batch_normalization would change nothing. .*Known: depth, width'),
        ("own_net:build", 'initializer = ["lsuv"]', "initializer lsuv do not go together"),
        ("own_net:build", 'clipping = ["adaptive"]', "clipping adaptive.* do not go together: Keras's"),
        (f"{__name__}:misspelt", "depth = [2]", 'its `reads` has "dept". Did you mean "depth"'),
        (f"{__name__}:greedy", "depth = [2]", 'has "learning_rate", which is done for every model'),
        (f"{__name__}:looks_further", "depth = [2]", r"looks at structure.heads. Known: depth, width, activation"),
        (f"{__name__}:with_softmax", "depth = [2]", r"built outputs of shape \(None, 8, 8, 11\), not \(None, 10\)"),
    ],
)  # fmt: skip
def test_what_it_cannot_use_is_refused_before_anything_trains(architecture: str, factors: str, message: str) -> None:
    cohort = own(factors, FIXED, f'architecture = "{architecture}"')
    with pytest.raises(SuiteError, match=message):
        costs_of_cells([cohort.runs[0].choices])


@pytest.mark.full  # workers to check, and to train three times
def test_the_recipe_runs_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    for block in (MODULE, SUITE):
        (tmp_path / block.place).write_text(block.text, encoding="utf-8")

    def bench(*words: str) -> str:
        command = [sys.executable, "-c", "from bench.cli import main; main()", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "a Keras model, so 4 runs train one at a time" in bench("check", SUITE.place)
    bench("run", SUITE.place, "--out", "whole")
    bench("run", SUITE.place, "--out", "parts", "--only", 'clipping == "none"')
    bench("run", SUITE.place, "--out", "parts")
    whole, parts = (read_tables(tmp_path / name) for name in ("whole", "parts"))
    assert whole["runs"]["status"].tolist() == ["completed"] * 4
    for table in whole.keys() - {"timings"}:
        pd.testing.assert_frame_equal(whole[table], parts[table], check_exact=True)
    assert "Does clipping help my network?" in (tmp_path / "whole/index.html").read_text(encoding="utf-8")
