"""What isolation and writing cost over training alone: `python -m benchmarks.isolation [SUITE]`.

One worker trains the suite (the default one) as `bench run` does, and notes how long the training function itself took,
in seconds and in seconds of processor. Everything else from the first cohort's start to the last file is overhead:
sending and receiving, the driver, its files. The start of the worker, TensorFlow's import above all, is not counted.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.commands import run
from bench.commands.executor import Where
from bench.plan import Cohort
from bench.suite import load_suite

NOTES = "GRADTRIAL_ISOLATION_NOTES"


def main() -> None:
    """Print the overhead in seconds and in seconds of processor."""
    suite = load_suite(Path(sys.argv[1] if len(sys.argv) > 1 else "suites/default.toml"))
    run.TRAIN = "benchmarks.isolation:train"
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        os.environ[NOTES] = str(notes)
        run.run_suite(suite, run.Options(Path(folder) / "results", Where(workers=1)))
        ended, driver = time.time(), time.process_time()
        cohorts = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    trained = sum(cohort["seconds"] for cohort in cohorts)
    processor = sum(cohort["processor"] for cohort in cohorts)
    other = sum(after["began_processor"] - before["ended_processor"] for before, after in _neighbours(cohorts))
    wall = ended - cohorts[0]["began"] - trained
    print(f"training alone: {trained:.1f} s, {processor:.1f} s of processor, {len(cohorts)} cohorts")
    print(f"beside it: {wall:.1f} s ({wall / trained:.1%})")
    beside = f"{driver:.1f} s of processor in the driver, its start included, {other:.1f} s in the worker"
    print(f"beside it: {beside} ({(driver + other) / processor:.1%})")


def train(cohort: Cohort) -> Any:
    """Train a cohort as a worker does and note what that took."""
    from bench.engine.train import train_cohort

    note = {"worker": os.getpid(), "began": time.time(), "began_processor": time.process_time()}
    began = time.perf_counter()
    tables = train_cohort(cohort)
    note |= {"seconds": time.perf_counter() - began, "ended_processor": time.process_time()}
    note["processor"] = note["ended_processor"] - note["began_processor"]
    with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
        print(json.dumps(note), file=notes)
    return tables


def _neighbours(cohorts: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Cohorts that the same worker trained one after the other."""
    return [(before, after) for before, after in pairwise(cohorts) if before["worker"] == after["worker"]]


if __name__ == "__main__":
    main()
