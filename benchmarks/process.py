"""Contestants in processes of their own: imported at once, prepared one after the other, then asked for rounds in turn.

A contestant is a module run as `python -m benchmarks.<name> ORDER`, with the order as JSON: a case and how to train it.
It says one line of JSON each time it is done: with its imports, with preparing, and with each round; and it waits for
a line on standard input before the next: which kind of step, and for how many seconds.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from bench.executors.local import TENSORFLOW_ENVIRONMENT
from benchmarks.case import Case

MARK = "findings:"  # what else a library prints is passed over
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in one unit of ru_maxrss

Findings = dict[str, Any]

THREADS = re.compile("TF_NUM_.*_THREADS")
ON_CPU = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
}


def environment(onednn: str = "", *, worker: bool = False) -> dict[str, str]:
    """This process's environment on the CPU, TensorFlow with as many threads as it takes itself.

    Args:
        onednn: "on" or "off"; empty for what TensorFlow or the user chooses.
        worker: whether it is for a process like the workers of `bench run`.
    """
    inherited = {name: value for name, value in os.environ.items() if not THREADS.fullmatch(name)}
    asked = {"TF_ENABLE_ONEDNN_OPTS": str(int(onednn == "on"))} if onednn else {}
    return inherited | (TENSORFLOW_ENVIRONMENT if worker else {}) | ON_CPU | asked


@dataclass(frozen=True)
class Prepared:
    """A contestant before its first round.

    Attributes:
        kinds: for each kind of step a function that takes some steps and returns how many.
        first: seconds from building the network until the first step was done.
        loss: the first run's, mean over the first `FIRST_STEPS` steps.
    """

    kinds: Mapping[str, Callable[[], int]]
    first: float
    loss: float


def serve(prepare: Callable[[Case, dict[str, Any]], Prepared]) -> None:
    """The child's side."""
    order = json.loads(sys.argv[1])
    if order["core"] is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[order["core"] % len(cores)]})
    _answer({})
    sys.stdin.readline()
    prepared = prepare(Case(**order["case"]), order["settings"])
    _answer({"kinds": list(prepared.kinds), "first": prepared.first, "loss": prepared.loss})
    for line in sys.stdin:
        kind, seconds = line.split()
        _answer({"seconds": time_steps(prepared.kinds[kind], float(seconds)), "peak": _peak_memory()})


def time_steps(take: Callable[[], int], seconds: float) -> float:
    """Seconds a step, over as many calls as end the given time or pass it."""
    started, steps = time.perf_counter(), 0
    while True:
        steps += take()
        passed = time.perf_counter() - started
        if passed >= seconds:
            return passed / steps


def counted(take: Callable[[], object], steps: int) -> Callable[[], int]:
    """A call that takes so many steps and says so."""

    def call() -> int:
        take()
        return steps

    return call


def _answer(found: Findings) -> None:
    print(MARK, json.dumps(found), flush=True)


def _peak_memory() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT)


class Child:
    """The parent's side of one process."""

    def __init__(self, module: str, order: Mapping[str, Any], surroundings: Mapping[str, str]) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child does)
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=dict(surroundings),
        )

    def ask(self, line: str) -> None:
        """Let it do the next thing; it may have died, which `answer` says."""
        assert self.process.stdin
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def answer(self) -> Findings:
        """What it found.

        Raises:
            RuntimeError: it died; the message holds the end of what it printed.
        """
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(MARK):
                found: Findings = json.loads(line.removeprefix(MARK))
                return found
        self.process.wait()
        self.log.seek(0)
        raise RuntimeError(self.log.read().decode(errors="replace")[-2000:])

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.communicate()
        self.log.close()
