"""What becomes of a request to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

STARTED = "started"  # what a worker sends when it has imported a target: from here on its time counts


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
    """What became of one request: the target's value, or text on what went wrong; the seconds that it took."""

    status: Status
    value: Any
    seconds: float = 0.0
