"""How the memory of a worker grows from structure to structure, and what recycling makes of it.

Run as `python -m benchmarks.memory`: 120 tiny structures in one worker that is never recycled, then in one that is
recycled as `bench run` recycles it but after GROWTH bytes. Prints a row for each tenth structure. Needs /proc.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.executors import child
from bench.executors.answers import Status
from bench.executors.local import TENSORFLOW_ENVIRONMENT
from bench.plan import Cohort, make_plan
from bench.suite import load_suite

TRAIN = "bench.engine.train:train_cohort"
GROWTH = 256 * 2**20  # bytes
EVERY = 10  # structures
SUITE = """
[suite]
name = "memory"
question = "How does a worker's memory grow?"
replicates = 2

[factors]
depth = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
activation = ["relu", "tanh", "sigmoid"]
normalization = ["none", "batch_normalization"]

[fixed]
width = 8
steps = 3
"""


def main() -> None:
    """Print both curves in MiB."""
    cohorts = _cohorts()
    print("| structures | never recycled, MiB | seconds | recycled, MiB | seconds | workers started |")
    print("|---|---|---|---|---|---|")
    never = _curve(cohorts, growth=2**60)
    often = _curve(cohorts, growth=GROWTH)
    for count in range(EVERY, len(cohorts) + 1, EVERY):
        (one, spent, _), (other, again, started) = never[count - 1], often[count - 1]
        print(f"| {count} | {one / 2**20:.0f} | {spent:.0f} | {other / 2**20:.0f} | {again:.0f} | {started} |")


def _cohorts() -> tuple[Cohort, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.toml"
        path.write_text(SUITE, encoding="utf-8")
        return make_plan(load_suite(path)).cohorts


def _curve(cohorts: Sequence[Cohort], growth: int) -> list[tuple[int, float, int]]:
    """After each cohort: the worker's resident bytes before any recycling, the seconds so far, workers started."""
    child.RECYCLE_AFTER, child.RECYCLE_GROWTH = len(cohorts) + 1, growth
    worker, began, rows, seen = child.Child(TENSORFLOW_ENVIRONMENT), time.perf_counter(), [], set()
    for cohort in cohorts:
        answer = worker.call(TRAIN, cohort)
        if answer.status is not Status.OK:
            raise RuntimeError(str(answer.value))
        if worker.process is not None:
            seen.add(worker.process.pid)
        resident = _resident(worker.process.pid) if worker.process else 0  # just recycled
        rows.append((resident, time.perf_counter() - began, len(seen)))
    worker.close()
    return rows


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
