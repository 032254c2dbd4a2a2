"""What the measurements of the report are made from is what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.plan import make_plan
from bench.results import read_tables
from bench.schema import TABLES
from bench.suite import load_suite
from benchmarks.benchopt_rows import benchopt_rows
from benchmarks.command import Spent, middle, spent
from benchmarks.makespan import START_SECONDS, costs, makespan
from benchmarks.noise import CURVES, SMALLEST_FACTOR, add_noise
from benchmarks.profile_step import kind_of
from benchmarks.report_scale import DOUBLED, SMALLEST, suite_text
from tests.dry_results import EXPLODING, DryResults, dry_results
from tests.report.pages import save


@pytest.fixture(scope="module")
def exploding() -> DryResults:
    return dry_results(EXPLODING)


@pytest.fixture
def folder(exploding: DryResults, tmp_path: Path) -> Path:
    return save(exploding, tmp_path / "out")


@pytest.mark.parametrize("doublings", range(len(DOUBLED) + 1))
def test_each_size_has_twice_the_runs_of_the_one_before(tmp_path: Path, doublings: int) -> None:
    (tmp_path / "scale.toml").write_text(suite_text(doublings))
    assert len(make_plan(load_suite(tmp_path / "scale.toml")).runs) == SMALLEST * 2**doublings


def test_noise_changes_the_real_numbers_of_curves_alone(folder: Path) -> None:
    before = read_tables(folder)
    add_noise(folder)
    after = read_tables(folder)
    for table in TABLES:
        floats = before[table].select_dtypes("float").columns if table in CURVES else []
        assert before[table].drop(columns=floats).equals(after[table].drop(columns=floats))
        for column in floats:
            old, new = before[table][column].to_numpy(float), after[table][column].to_numpy(float)
            assert np.array_equal(np.isfinite(old), np.isfinite(new))
            ratio = (new / np.where(old == 0, np.nan, old))[np.isfinite(old) & (old != 0)]
            assert ((ratio > SMALLEST_FACTOR - 1e-6) & (ratio < 1 + 1e-6)).all()
            assert len(ratio) < 10 or np.std(ratio) > 0.01


def test_rows_for_benchopt_hold_every_evaluation_once_with_its_numbers(folder: Path, exploding: DryResults) -> None:
    rows, evaluations = benchopt_rows(folder), exploding.tables["evaluations"]
    assert len(rows) == len(evaluations) / 2
    for split, column in (("train", "objective_value"), ("validation", "objective_validation_loss")):
        loss = evaluations.loc[evaluations["split"] == split, "loss"]
        assert sorted(rows[column]) == sorted(loss)
    gap = rows["objective_train_accuracy"] - rows["objective_validation_accuracy"]
    assert np.allclose(rows["objective_accuracy_gap"], gap)
    assert (rows["time"] >= 0).all()


def test_a_command_that_fails_says_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match="nothing of that kind"):
        spent(["sh", "-c", "echo nothing of that kind; exit 3"])
    took = spent(["sh", "-c", ":"])
    assert took.wall > 0
    assert took.memory > 0


def test_the_median_is_of_each_number() -> None:
    assert middle([Spent(1, 9, 5), Spent(2, 8, 7), Spent(3, 7, 6)]) == Spent(2, 8, 6)


# Makespan


def test_the_longest_goes_first_and_is_the_floor() -> None:
    assert makespan([1, 1, 1, 3], 1) == START_SECONDS + 6
    assert makespan([1, 1, 1, 3], 2) == START_SECONDS + 3
    assert makespan([1, 1, 1, 3], 100) == START_SECONDS + 3


def test_a_split_cohort_pays_for_its_graph_again() -> None:
    times = {"runs": [4, 1], "build_seconds": 1.0, "trace_seconds": 2.0, "train_seconds": 7.0, "measure_seconds": 1.0}
    timings = pd.DataFrame(times)
    assert costs(timings, 1) == [11.0, 11.0]
    assert costs(timings, 2) == [7.0, 7.0, 11.0]
    assert sum(costs(timings, 4)) == pytest.approx(4 * 5.0 + 11.0)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("_MklBatchMatMulV2", "products"),
        ("EuclideanNorm", "reductions"),
        ("TensorListStack", "copies"),
        ("AssignAddVariableOp", "variables"),
        ("ReluGrad", "elementwise"),
    ],
)
def test_an_operation_of_the_profile_has_a_kind(operation: str, kind: str) -> None:
    assert kind_of(operation) == kind
