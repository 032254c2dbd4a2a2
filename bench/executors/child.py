"""The driver's side of one worker process: ask it, stop it in time, tell how it died, start it anew.

A worker is recycled after many requests, or when it has grown: TensorFlow keeps a few MiB of every graph for as long
as the process lives (docs/reliability.md).
"""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Event, Thread
from typing import IO, Any

LOG_TAIL = 2000  # bytes
MOST_SAID = 500  # characters of what a plugin, Keras or TensorFlow raised, in a line
RECYCLE_AFTER = 100  # requests
RECYCLE_GROWTH = 2**30  # bytes of resident memory more than after the first request
SECONDS_TO_START = 600.0  # TensorFlow and a target's module are imported by then, even on a busy network disk
GRACE_SECONDS = 5.0  # between one signal and the next, harder one to a process that takes too long
SECONDS_TO_EXIT = 5.0  # for a process that closed its output
STARTED = 0  # the step that a worker sends when it has imported a target: from here on its time counts


class Status(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"  # the target raised a BenchError: something for the user to mend
    UNFIT = "unfit"  # the machine cannot run any target, or not with the driver's versions
    ERROR = "error"  # the target raised anything else
    CRASHED = "crashed"  # the process died
    KILLED = "killed"  # the process was killed from outside, as the system does when memory runs out
    MEMORY = "out of memory"  # the target or TensorFlow said so
    LOST = "lost"  # the machine that had it went away; the target is not to blame
    TIMEOUT = "timeout"  # it took longer than it was given, and was stopped


@dataclass(frozen=True)
class Answer:
    """What became of one request: the target's value, or text on what went wrong.

    `seconds` are what it took, the import of its module not among them.
    """

    status: Status
    value: Any
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """What went wrong, in a line: a sentence for the user, or what a traceback ends with."""
        text = str(self.value).strip()
        if self.status is Status.ERROR:
            ends = [found.start() for found in re.finditer(r"(?m)^[A-Za-z_][\w.]*(: |$)", text)]
            text = re.sub(r"\x1b\[\d*m", "", text[ends[-1] if ends else 0 :]).partition("Arguments received by")[0]
        return " ".join(text.split())[:MOST_SAID]


class Child:
    """One worker process; it is started at the first request and again after it died."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.log: IO[bytes] | None = None
        self.answered = 0
        self.first_bytes = 0

    def call(
        self,
        target: str,
        argument: object,
        timeout: float | None = None,
        reached: Callable[[int], None] = lambda step: None,
    ) -> Answer:
        """Run `module:function` on one argument in the worker and wait for its answer.

        Args:
            timeout: seconds after which it is stopped, the import of the module not among them; None: never.
            reached: called with STARTED, then now and then with the step that the target says it has reached.
        """
        began = time.monotonic()
        limit: float | None = SECONDS_TO_START
        process = self._alive()
        with Deadline(process, limit) as deadline:
            message = _exchange(process, (target, argument))
        if message == STARTED:
            began, limit = time.monotonic(), timeout
            with Deadline(process, limit) as deadline:
                while isinstance(message, int):
                    reached(message)
                    message = _exchange(process)
        seconds, passed = time.monotonic() - began, limit if deadline.passed else None
        if message is None:
            return Answer(*self._obituary(process, passed), seconds)
        status, value, resident = Status(message[0]), message[1], message[2]
        if passed or status is Status.MEMORY or self._worn(resident):
            self.close()
        return Answer(status, value, seconds)

    def _worn(self, resident: int) -> bool:
        self.answered += 1
        if self.answered == 1:
            self.first_bytes = resident
        return self.answered >= RECYCLE_AFTER or resident - self.first_bytes > RECYCLE_GROWTH

    def close(self) -> None:
        """End the worker at once."""
        process, self.process = self.process, None
        if process is not None:
            signal_group(process, signal.SIGKILL)
            process.wait()

    def _alive(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            environment = os.environ | self.environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self.log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process does)
            self.answered = 0
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.executors.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=environment,
                process_group=0,  # an interrupt at the terminal reaches the driver alone
            )
        return self.process

    def _obituary(self, process: subprocess.Popen[bytes], timeout: float | None) -> tuple[Status, str]:
        """How the process died, and the end of what it printed."""
        try:
            code = process.wait(SECONDS_TO_EXIT)
        except subprocess.TimeoutExpired:
            code = 0
        self.process = None
        signal_group(process, signal.SIGKILL)  # what it started, and itself if it still lives
        process.wait()
        lines = self._last_lines()
        if timeout is not None:
            return Status.TIMEOUT, "\n".join([f"it took longer than {timeout:g} s and was stopped", *lines])
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        status = Status.KILLED if code == -signal.SIGKILL else Status.CRASHED
        if any("bad_alloc" in line for line in lines):
            status = Status.MEMORY
        said = f"the worker process died ({how}{', as when memory runs out' if status is Status.KILLED else ''})"
        return status, "\n".join([said, *lines])

    def _last_lines(self) -> list[str]:
        """The end of what the process printed, which often tells why it died."""
        assert self.log
        start = max(0, self.log.seek(0, os.SEEK_END) - LOG_TAIL)
        self.log.seek(start)
        lines = self.log.read().decode(errors="replace").splitlines()
        return lines[1:] if start else lines


def _exchange(process: subprocess.Popen[bytes], request: object = None) -> Any:
    """Send a request, if there is one, and wait for a message; None where the process died first."""
    assert process.stdin and process.stdout
    try:
        if request is not None:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
        return pickle.load(process.stdout)
    except (EOFError, OSError, pickle.UnpicklingError, ValueError):
        return None


class Deadline:
    """Watches one request to a process that leads its own process group, as a context; `passed` says if it struck."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float | None) -> None:
        self.process = process
        self.seconds = seconds
        self.passed = False
        self._over = Event()
        self._watch = Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Deadline:
        if self.seconds is not None:
            self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._watch.ident is not None:
            self._watch.join()

    def _wait(self) -> None:
        if self._over.wait(self.seconds):
            return
        self.passed = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            signal_group(self.process, number)
            if self._over.wait(GRACE_SECONDS):
                return


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process that leads its group, and to all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
