"""What the executor's tests have children do; what takes long to import, each imports when it is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import SuiteError

if TYPE_CHECKING:
    from bench.executors.tables import Tables
    from bench.plan import Cohort

KEPT: list[bytearray] = []


def double(number: int) -> int:
    return 2 * number


def fail(_: object) -> None:
    raise RuntimeError("planted")


def refuse(_: object) -> None:
    raise SuiteError("mend your suite")


def die(_: object) -> None:
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def leave(_: object) -> None:
    print("last words", file=sys.stderr, flush=True)
    os._exit(3)


def exit_early(_: object) -> None:
    sys.exit(4)


def segfault(_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hoard(_: object) -> None:
    raise MemoryError("planted")


def grow(size: int) -> None:
    KEPT.append(bytearray(b"x") * size)


def walk(steps: int, reached: Callable[[int], None]) -> int:
    """Take steps, one each half second."""
    for step in range(steps):
        time.sleep(0.5)
        reached(step + 1)
    return steps


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def sleep_deaf(seconds: float) -> None:
    """Hang with the signals that can be ignored ignored, beside a process of one's own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
    time.sleep(seconds)


def by_formula(cohort: Cohort) -> Tables:
    from bench.engine.dry import train_cohort

    return train_cohort(cohort)


def is_poisoned(cohort: Cohort) -> bool:
    return any(run.choices["clipping"].name == "value" and run.replicate == 1 for run in cohort.runs)


def if_poisoned(act: Callable[[object], object]) -> Callable[[Cohort], Tables]:
    """Do this where the cohort holds the poisoned run, and train any other by formula."""

    def target(cohort: Cohort) -> Tables:
        if is_poisoned(cohort):
            act(cohort)
        return by_formula(cohort)

    return target


crash_if_poisoned = if_poisoned(leave)
raise_if_poisoned = if_poisoned(fail)
hang_if_poisoned = if_poisoned(lambda _: time.sleep(600))


def raise_in_training_if_poisoned(cohort: Cohort) -> Tables:
    from bench.engine import train

    if is_poisoned(cohort):
        fail(cohort)
    return train.train_cohort(cohort)


def hoard_if_large(cohort: Cohort) -> Tables:
    if len(cohort.runs) > 2:
        raise MemoryError("planted")
    return by_formula(cohort)


def take_a_while(cohort: Cohort) -> Tables:
    time.sleep(0.4)
    return by_formula(cohort)


def freeze_node_once(cohort: Cohort) -> Tables:
    """Where the environment names a file that is not there yet: make it, and stop this node's processes."""
    marker = os.environ.get("FREEZE_NODE")
    if marker and not Path(marker).exists():
        Path(marker).touch()
        worker = os.getppid()
        raylet = int(Path(f"/proc/{worker}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        for process in (raylet, worker, os.getpid()):
            os.kill(process, signal.SIGSTOP)
    return by_formula(cohort)


def chatter(number: int) -> int:
    print("noise on standard output")
    return number


def tensorflow_is_loaded(_: object) -> bool:
    return "tensorflow" in sys.modules


def process(_: object) -> int:
    time.sleep(0.2)
    return os.getpid()


def threads(_: object) -> str:
    return os.environ["TF_NUM_INTRAOP_THREADS"]
