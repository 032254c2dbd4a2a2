"""A private child process that imports TensorFlow, trains cohorts one after the other, and may die alone.

Started as `python -m bench.executors.child`. It reads pickled requests `(target, argument)` from standard input and
answers each with a pickled `(status, value)` on its private output: ("ok", value), ("refused", text) or
("error", text). What the target prints goes to standard error, of which the driver keeps the end.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.errors import BenchError

LOG_TAIL = 2000  # bytes
RECYCLE_AFTER = 100  # requests: TensorFlow keeps a few MiB of every graph for as long as the process lives


class Status(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"  # the target raised a BenchError: something for the user to mend
    ERROR = "error"  # the target raised anything else
    CRASHED = "crashed"  # the process died


@dataclass(frozen=True)
class Answer:
    """What became of one request: the target's value, or text on what went wrong."""

    status: Status
    value: Any


class Child:
    """One child process; it is started at the first request and again after it died."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.answered = 0
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child does)

    def call(self, target: str, argument: object) -> Answer:
        """Run `module:function` on one argument in the child and wait for its answer."""
        process = self._alive()
        assert process.stdin and process.stdout
        try:
            pickle.dump((target, argument), process.stdin)
            process.stdin.flush()
            status, value = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return Answer(Status.CRASHED, self._obituary(process))
        self.answered += 1
        if self.answered == RECYCLE_AFTER:
            self._end()
        return Answer(Status(status), value)

    def close(self) -> None:
        """End the child at once, for good."""
        self._end()
        self.log.close()

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process, self.answered = None, 0

    def _alive(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            environment = os.environ | self.environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.executors.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=environment,
                process_group=0,  # an interrupt at the terminal reaches the driver alone
            )
        return self.process

    def _obituary(self, process: subprocess.Popen[bytes]) -> str:
        self.process, self.answered = None, 0
        code = process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return "\n".join([f"the worker process died ({how})", *self._last_lines()])

    def _last_lines(self) -> list[str]:
        """The end of what the child printed, which often tells why it died."""
        start = max(0, self.log.seek(0, os.SEEK_END) - LOG_TAIL)
        self.log.seek(start)
        lines = self.log.read().decode(errors="replace").splitlines()
        return lines[1:] if start else lines


def serve() -> None:
    """Answer requests until the driver closes its end."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a print in a plugin must not end up among the answers
    while True:
        try:
            target, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            module, _, name = target.partition(":")
            answer = (Status.OK.value, getattr(importlib.import_module(module), name)(argument))
        except BenchError as error:
            answer = (Status.REFUSED.value, str(error))
        except Exception:  # the boundary: the driver decides what a failure means
            answer = (Status.ERROR.value, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve()
