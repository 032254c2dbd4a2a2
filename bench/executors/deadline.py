"""Stop a process that takes too long, harder each time: interrupt, terminate, kill."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from threading import Event, Thread

GRACE_SECONDS = 5.0  # between one signal and the next


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
