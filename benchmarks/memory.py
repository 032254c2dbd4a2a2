"""How the memory of a worker grows from structure to structure.

Run as `python -m benchmarks.memory`: 120 tiny structures in one worker that is never recycled. Prints a row for each
tenth structure. Needs /proc.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.executors import child
from bench.executors.child import Status
from bench.executors.local import TENSORFLOW_ENVIRONMENT
from bench.plan import Cohort, make_plan
from bench.suite import load_suite

TRAIN = "bench.engine.train:train_cohort"
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
    """Print the worker's resident memory as it grows."""
    child.RECYCLE_AFTER, child.RECYCLE_GROWTH = 10**6, 2**60
    worker, began = child.Child(TENSORFLOW_ENVIRONMENT), time.perf_counter()
    print("| structures | MiB | seconds |\n|---|---|---|")
    for count, cohort in enumerate(_cohorts(), 1):
        answer = worker.call(TRAIN, cohort)
        if answer.status is not Status.OK or worker.process is None:
            raise RuntimeError(str(answer.value))
        if count == 1 or count % EVERY == 0:
            resident = _resident(worker.process.pid) / 2**20
            print(f"| {count} | {resident:.0f} | {time.perf_counter() - began:.0f} |", flush=True)
    worker.close()


def _cohorts() -> tuple[Cohort, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.toml"
        path.write_text(SUITE, encoding="utf-8")
        return make_plan(load_suite(path)).cohorts


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
