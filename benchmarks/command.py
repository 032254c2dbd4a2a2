"""What one command takes, from its start to its end: time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.process import RSS_UNIT, environment

BENCH = (sys.executable, "-m", "bench")


@dataclass(frozen=True)
class Spent:
    """What a command took.

    Attributes:
        wall: seconds by the clock.
        cpu: seconds of all its threads and of the children it waited for.
        memory: the most that its process held at once, in bytes.
    """

    wall: float
    cpu: float
    memory: float


def spent(command: Sequence[str], folder: Path | None = None, onednn: str = "") -> Spent:
    """Run a command, in a folder if one is given, and wait for its end; `onednn` as `environment` has it.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        surroundings = environment(onednn)
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=surroundings, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT)


def middle(several: Sequence[Spent]) -> Spent:
    """The median of each number."""
    return Spent(
        median(one.wall for one in several),
        median(one.cpu for one in several),
        median(one.memory for one in several),
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
