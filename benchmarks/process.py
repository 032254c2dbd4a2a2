"""Measurements in processes of their own: prepared, held until all are ready, then let go at once.

A measurement is a module run as `python -m benchmarks.<name> CASE`, with the case as JSON. It prepares, prints READY,
waits for a line on standard input, measures, and prints its findings as one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

READY = "ready"
MARK = "findings:"  # what else a library prints is passed over

Case = dict[str, Any]
Findings = dict[str, Any]

THREAD_NAMES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
ON_CPU = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
}


def environment(threads: int | None = None) -> dict[str, str]:
    """This process's environment on the CPU, TensorFlow with so many threads; None for as many as it takes itself."""
    inherited = {name: value for name, value in os.environ.items() if name not in THREAD_NAMES}
    return inherited | ON_CPU | (dict.fromkeys(THREAD_NAMES, str(threads)) if threads else {})


def measure(module: str, case: Case, surroundings: Mapping[str, str], copies: int = 1) -> list[Findings]:
    """The findings of `copies` equal measurements that run at once.

    Raises:
        RuntimeError: a process died; the message holds the end of what it printed.
    """
    children = [_Child(module, case, surroundings) for _ in range(copies)]
    for child in children:
        child.wait_for(READY)
    for child in children:
        child.let_go()
    return [child.findings() for child in children]


def serve(prepare: Callable[[Case], Callable[[], Findings]]) -> None:
    """The child's side: prepare the case of the command line, wait, measure, print."""
    started = time.perf_counter()
    timed = prepare(json.loads(sys.argv[1]))
    prepared = time.perf_counter() - started
    print(f"{READY} {prepared}", flush=True)
    sys.stdin.readline()
    print(MARK, json.dumps(timed()), flush=True)


def time_calls(call: Callable[[int], None], case: Case) -> list[float]:
    """Seconds per call in each of the case's rounds, a round being `calls` calls with 0, 1, ..."""
    rounds = []
    for _ in range(case["rounds"]):
        started = time.perf_counter()
        for index in range(case["calls"]):
            call(index)
        rounds.append((time.perf_counter() - started) / case["calls"])
    return rounds


class _Child:
    """The parent's side of one measurement."""

    def __init__(self, module: str, case: Case, surroundings: Mapping[str, str]) -> None:
        self.started = time.perf_counter()
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child does)
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=dict(surroundings),
        )
        self.import_seconds = 0.0

    def wait_for(self, start: str) -> str:
        """The rest of the first line that starts so."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(start):
                rest = line.removeprefix(start).strip()
                if start == READY:
                    self.import_seconds = time.perf_counter() - self.started - float(rest)
                return rest
        self.process.wait()
        self.log.seek(0)
        raise RuntimeError(f"{self.process.args!r} ended early:\n{self.log.read().decode(errors='replace')[-2000:]}")

    def let_go(self) -> None:
        """Start the clock."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def findings(self) -> Findings:
        """What the child measured, and the seconds from its start until it began to prepare."""
        found: Findings = json.loads(self.wait_for(MARK))
        self.process.communicate()
        self.log.close()
        return found | {"import_seconds": self.import_seconds}
