"""Where a step's time goes: `python -m benchmarks.profile_step [--onednn on|off]`.

A worker's process of one thread trains 24 runs (12 with batch normalization, as the default suite has them) and hands
TensorFlow's profiler some plain and some measured steps. Operations are put together by their kind. What no operation
has is the graph's executor, and what the executor does not have is Python, the call and its arrays: the most that
several steps a call could spare.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.case import Case
from benchmarks.process import environment

CASES = (Case(depth=16), Case(depth=32, normalization="batch_normalization", runs=12), Case(depth=48))
WARM, STEPS = 5, 20
KINDS = {
    "products": ("MatMul", "Einsum"),
    "reductions": ("Sum", "Mean", "Max", "Min", "EuclideanNorm", "All", "Any"),
    "copies": (
        "Pack",
        "Unpack",
        "Concat",
        "Tile",
        "TensorList",
        "StridedSlice",
        "Gather",
        "Identity",
        "Cast",
        "Select",
    ),
    "variables": ("Assign", "ReadVariable"),
}
ELEMENTWISE = "elementwise"  # every other
EXECUTOR = "ExecutorState::Process"  # what the profiler calls a turn of the graph's executor
CALLED = "__"  # how the name of a graph begins that is called as a whole
COLUMNS = [*KINDS, ELEMENTWISE, "executor", "outside"]


def profile(case: Case, *, measure: bool) -> dict[str, float]:
    """Milliseconds of a step by what they went into, in this process."""
    import tensorflow as tf

    from bench.engine.train import Training
    from benchmarks.cohort_step import start_from, take_step

    training, rows = Training(case.cohort), case.rows()
    start_from(training.ensemble, case.kernels())
    for _ in range(WARM):
        take_step(training, next(rows), measure=measure)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        started = time.perf_counter()
        for _ in range(STEPS):
            take_step(training, next(rows), measure=measure)
        whole = time.perf_counter() - started
        tf.profiler.experimental.stop()
        found = by_kind(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    operations = sum(found[kind] for kind in (*KINDS, ELEMENTWISE))
    found |= {"executor": found["executor"] - operations, "outside": 1e3 * whole - found["executor"]}
    return {name: found[name] / STEPS for name in COLUMNS} | {"whole": 1e3 * whole / STEPS}


def by_kind(trace: bytes) -> dict[str, float]:
    """Milliseconds of each kind of operation, and of all turns of the executor, in a profiler's file."""
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    space: Any = XSpace.FromString(trace)
    found: dict[str, float] = defaultdict(float)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                _, is_operation, operation = name.rpartition(":")  # an operation's name, a colon, and its kind
                if name == EXECUTOR:
                    found["executor"] += event.duration_ps / 1e9
                elif is_operation and "::" not in name and not operation.lstrip().startswith(CALLED):
                    found[kind_of(operation)] += event.duration_ps / 1e9
    return found


def kind_of(operation: str) -> str:
    """The kind of an operation such as `_MklBatchMatMulV2`."""
    return next((kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), ELEMENTWISE)


def main() -> None:
    """Print a table; each case in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=__doc__)
    parser.add_argument("--onednn", choices=["on", "off"], default="on")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case is not None:
        found = [profile(CASES[asked.case], measure=measure) for measure in (False, True)]
        asked.into.write_text(json.dumps(found), encoding="utf-8")
        return
    rows = []
    for index, case in enumerate(CASES):
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder) / "found.json"
            command = [sys.executable, "-m", "benchmarks.profile_step", "--case", str(index), "--into", str(into)]
            subprocess.run(command, env=environment(asked.onednn, worker=True), check=True)
            for kind, each in zip(("plain", "measured"), json.loads(into.read_text(encoding="utf-8")), strict=True):
                named = {"depth": case.depth, "normalization": case.normalization, "runs": case.runs, "step": kind}
                rows.append(named | each)
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
