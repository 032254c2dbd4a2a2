"""The same evaluations twice: as a gradtrial results folder and as a benchopt benchmark with its result file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.results import read_tables
from benchmarks.command import BENCH, spent
from benchmarks.noise import add_noise

SUITE = """
[suite]
name = "rows"
question = "How long does a page of so many rows take?"
replicates = 3

[factors]
dataset = ["digits", "breast_cancer", "wine"]
activation = ["sigmoid", "tanh", "relu", "gelu", "elu"]
initializer = ["random_normal", "glorot_uniform", "he_normal", "lecun_normal", "orthogonal"]
normalization = ["none", "batch_normalization", "layer_normalization", "rms_normalization"]
skip = ["none", "residual"]

[fixed]
depth = 8
steps = 400

[record]
evaluations = { log_spaced = 20 }
"""
OBJECTIVE = """
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "training"
    url = "rows"

    def set_data(self): ...

    def get_objective(self): ...

    def evaluate_result(self): ...

    def get_one_result(self): ...
"""
SOLVER_FACTORS = ("activation", "initializer", "normalization", "skip")
SECONDS_A_STEP = 0.01  # benchopt draws against time, which dry results lack


def make_results(folder: Path) -> Path:
    """Dry results with noise: 200 configurations on 3 data sets, 3 replicates, evaluated at 20 steps."""
    suite, results = folder / "rows.toml", folder / "results"
    suite.write_text(SUITE, encoding="utf-8")
    spent([*BENCH, "run", str(suite), "--dry", "--no-report", "--out", str(results)])
    add_noise(results)
    return results


def benchopt_rows(results: Path) -> pd.DataFrame:
    """One row for each run and evaluated step, with the columns of a benchopt result file.

    Five metrics: loss and accuracy of both splits, and the gap between the accuracies.
    """
    tables = read_tables(results)
    wide = tables["evaluations"].pivot(index=["run_id", "step"], columns="split", values=["loss", "accuracy"])
    wide.columns = [f"objective_{split}_{metric}" for metric, split in wide.columns]
    wide = wide.rename(columns={"objective_train_loss": "objective_value"}).reset_index()
    wide["objective_accuracy_gap"] = wide["objective_train_accuracy"] - wide["objective_validation_accuracy"]
    rows = wide.assign(run_id=wide["run_id"].astype(str)).merge(tables["runs"], on="run_id")
    named = rows[list(SOLVER_FACTORS)].astype(str).apply(lambda row: ",".join(f"{k}={v}" for k, v in row.items()), 1)
    pace = SECONDS_A_STEP * (1 + 0.1 * rows["replicate"])
    return pd.DataFrame(
        {
            "base_seed": 0,
            "objective_name": "training",
            "solver_name": "mlp[" + named + "]",
            "dataset_name": rows["dataset"].astype(str),
            "idx_rep": rows["replicate"],
            "sampling_strategy": "iteration",
            "stop_val": rows["step"],
            "time": rows["step"] * pace,
            **{name: rows[name] for name in wide.columns if name.startswith("objective_")},
            **{f"p_solver_{name}": rows[name].astype(str) for name in SOLVER_FACTORS},
        }
    )


def write_benchmark(rows: pd.DataFrame, folder: Path) -> Path:
    """A benchopt benchmark with these rows as its one result file, which is returned."""
    (folder / "objective.py").write_text(OBJECTIVE, encoding="utf-8")
    path = folder / "outputs" / "rows.parquet"
    path.parent.mkdir(parents=True)
    rows.to_parquet(path, index=False)
    return path
