"""Contestants in processes of their own, which import once and then follow orders, one line of JSON each.

A module run as `python -m MODULE` answers when it has imported, and then every order: to prepare a case, to
take one kind of its steps for some seconds, or to forget what it holds.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
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
    """The child's side; what an order raises is its answer."""
    held: dict[str, Prepared] = {}
    _answer({})
    for line in sys.stdin:
        try:
            _answer(_follow(json.loads(line), prepare, held))
        except Exception as error:  # the parent says it, and asks for other cases
            _answer({"error": f"{type(error).__name__}: {error}"})


def _follow(order: dict[str, Any], prepare: Callable[..., Prepared], held: dict[str, Prepared]) -> Findings:
    if "case" in order:
        prepared = held[order["name"]] = prepare(Case(**order["case"]), order["settings"])
        return {"kinds": list(prepared.kinds), "first": prepared.first, "loss": prepared.loss}
    if "kind" in order:
        seconds = time_steps(held[order["name"]].kinds[order["kind"]], order["seconds"])
        return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT}
    held.clear()
    gc.collect()
    return {}


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


class Processes:
    """The parent's side of equal processes that follow every order at once."""

    def __init__(self, module: str, surroundings: Mapping[str, str], copies: int = 1, *, pinned: bool = False) -> None:
        self.children = [_Child(module, surroundings, core if pinned else None) for core in range(copies)]

    def ask(self, **order: Any) -> list[Findings]:
        """Every process's answer; the first time, to no order: that they have imported.

        Raises:
            RuntimeError: one died, or the order raised something; the message holds what it said.
        """
        for child in self.children if order else []:
            child.tell(order)
        found = [child.answer() for child in self.children]
        if errors := [each["error"] for each in found if "error" in each]:
            raise RuntimeError(errors[0])
        return found

    def close(self) -> None:
        """End them at once."""
        for child in self.children:
            child.close()


class _Child:
    """One process."""

    def __init__(self, module: str, surroundings: Mapping[str, str], core: int | None) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child does)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=dict(surroundings),
        )
        if core is not None and hasattr(os, "sched_setaffinity"):  # before it counts its cores
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(self.process.pid, {cores[core % len(cores)]})

    def tell(self, order: Mapping[str, Any]) -> None:
        """Give it an order; that it has died `answer` says."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def answer(self) -> Findings:
        """What it found, or the error: if it died, the end of what it printed."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(MARK):
                found: Findings = json.loads(line.removeprefix(MARK))
                return found
        self.process.wait()
        self.log.seek(0)
        return {"error": self.log.read().decode(errors="replace")[-2000:]}

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        with suppress(BrokenPipeError):
            self.process.communicate()
        self.log.close()
