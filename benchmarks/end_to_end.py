"""(c) end to end: the command that trains a suite, where its time goes, and the two worker layouts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from bench.executors.child import Status
from bench.executors.local import LocalExecutor, default_workers, run_cohorts
from bench.plan import Cohort
from bench.results import Results, read_tables
from bench.schema import TABLES
from benchmarks.process import ON_CPU, THREAD_NAMES, environment

COMMAND = (sys.executable, "-m", "bench", "run")
OPTIONS = ("--fresh", "--no-report")
TRAIN = "bench.engine.train:train_cohort"
PARTS = {
    "building": "build_seconds",
    "tracing": "trace_seconds",
    "training": "train_seconds",
    "evaluating": "measure_seconds",
}


@dataclass(frozen=True)
class EndToEnd:
    """One run of the command.

    Attributes:
        seconds: from the command's start to its end, imports and files included.
        parts: worker-seconds in each of `PARTS`, summed over the cohorts.
        write_seconds: what writing the same tables once more took.
        flops: operations of the training steps' matrix products: 6 per weight and sample.
    """

    seconds: float
    workers: int
    parts: dict[str, float]
    write_seconds: float
    flops: float


def run_command(suite: Path, batch: dict[str, int]) -> EndToEnd:
    """Train a suite by the command, into a folder that is thrown away.

    Args:
        batch: each cohort's batch size.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        started = time.perf_counter()
        subprocess.run(
            [*COMMAND, str(suite), "--out", str(out), *OPTIONS], check=True, capture_output=True, env=environment()
        )
        seconds = time.perf_counter() - started
        tables = read_tables(out)
        times = tables["timings"]
        samples = times["runs"] * times["steps"] * times["cohort"].map(batch)
        return EndToEnd(
            seconds,
            min(default_workers(), len(times)),
            {part: float(times[column].sum()) for part, column in PARTS.items()},
            _write_again(out, Path(folder) / "again", list(batch)),
            float((6 * samples * times["cohort"].map(_weight_counts(tables))).sum()),
        )


def train_in_layout(cohorts: Sequence[Cohort], workers: int, threads: int) -> float:
    """Seconds that some cohorts take in so many worker processes of so many threads each."""
    started = time.perf_counter()
    with LocalExecutor(workers) as executor:
        for child in executor.children:
            child.environment = child.environment | ON_CPU | dict.fromkeys(THREAD_NAMES, str(threads))
        for outcome in run_cohorts(executor, TRAIN, cohorts):
            if outcome.answer.status is not Status.OK:
                raise RuntimeError(f"{outcome.cohort.key}: {outcome.answer.value}")
    return time.perf_counter() - started


def _weight_counts(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Numbers in each cohort's kernels; all its parameters where the suite records no gradient norms."""
    runs, norms = tables["runs"].drop_duplicates("cohort"), tables["gradient_norms"]
    layers = norms[norms["run_id"].isin(runs["run_id"])].drop_duplicates(["run_id", "layer_index"])
    counts = runs["run_id"].map(layers.groupby("run_id")["weight_count"].sum())
    return counts.fillna(runs["parameter_count"]).set_axis(runs["cohort"])


def _write_again(results: Path, folder: Path, cohorts: Sequence[str]) -> float:
    source, target = Results(results), Results(folder)
    seconds = 0.0
    for cohort in cohorts:
        tables = {table: pq.read_table(source.table_path(table, cohort)) for table in TABLES}
        started = time.perf_counter()
        target.write(cohort, tables)
        seconds += time.perf_counter() - started
    return seconds
