"""Where a suite's cohorts run: on this machine, or on the nodes of a Ray cluster."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bench.environment import free_memory
from bench.errors import ExecutorError, nearest
from bench.executors.driver import ContextExecutor
from bench.executors.local import LocalExecutor, default_workers
from bench.plan import Cohort, estimate_memory

EXECUTORS = ("local", "ray")
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class Where:
    """What the command line says of where cohorts run; None: not said."""

    executor: str = "local"
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    memory: str | None = None
    workers: int = 0  # cohorts at a time; 0: as many as there is room for

    @property
    def threads(self) -> int:
        """Threads in which TensorFlow computes in each worker: a whole CPU's each."""
        return max(1, int(self.cpus or 1))

    def check(self) -> None:
        """Refuse an executor that is unknown, and what another one would need.

        Raises:
            ExecutorError: the message names the option, what it got and what is allowed.
        """
        if self.executor not in EXECUTORS:
            raise ExecutorError(f'--executor "{self.executor}" is not known. {nearest(self.executor, EXECUTORS)}')
        if self.executor == "local":
            for option in ("address", "cpus", "gpus", "memory"):
                if getattr(self, option) is not None:
                    raise ExecutorError(f"--{option} is for --executor ray; workers on this machine have one CPU each.")
        if self.memory is not None:
            memory_bytes(self.memory)


HERE = Where()  # on this machine, as many at a time as it has cores


def open_executor(where: Where, cohorts: Iterable[Cohort]) -> ContextExecutor:
    """The executor that was asked for, for these cohorts.

    Raises:
        ExecutorError: it is not installed, does not answer, or has no room for a cohort.
    """
    cohorts = list(cohorts)
    if where.executor == "local":
        return LocalExecutor(min(where.workers or fitting_workers(cohorts), max(1, len(cohorts))))
    from bench.executors.ray import RayExecutor, Share  # says so where Ray is not installed

    memory = None if where.memory is None else memory_bytes(where.memory)
    share = Share(1.0 if where.cpus is None else where.cpus, where.gpus or 0.0, memory)
    return RayExecutor(where.address or "", share, where.workers, plugin_files(cohorts))


def fitting_workers(cohorts: Iterable[Cohort]) -> int:
    """One worker a core, but no more than the free memory holds while each trains one of the largest cohorts.

    How many there are changes no number.
    """
    free, most = free_memory(), default_workers()
    needs = sorted(map(estimate_memory, cohorts), reverse=True)[:most]
    if free is None or sum(needs) <= free:
        return most
    return max(1, sum(taken <= free for taken in accumulate(needs)))


def memory_bytes(text: str) -> int:
    """Bytes of a size such as 2GB or 1.5GiB.

    Raises:
        ExecutorError: it is no such size.
    """
    found = re.fullmatch(r"([0-9.]+) *([A-Za-z]+)", text.strip())
    try:
        assert found
        return int(float(found[1]) * UNITS[found[2].upper()])
    except (AssertionError, KeyError, ValueError, OverflowError):
        raise ExecutorError(f'--memory "{text}" is not a size such as 2GB, 1.5GiB or 800MiB.') from None


def plugin_files(cohorts: Iterable[Cohort]) -> list[Path]:
    """The files or folders of the modules that a suite names as `module:name`, those of installed packages left out."""
    choices = {choice for cohort in cohorts for run in cohort.runs for choice in run.choices.values()}
    modules = {choice.name.partition(":")[0].partition(".")[0] for choice in choices if ":" in choice.name}
    specs = [importlib.util.find_spec(module) for module in sorted(modules)]
    files = [Path(spec.origin) for spec in specs if spec is not None and spec.origin]
    installed = Path(sysconfig.get_path("purelib"))
    return [file.parent if file.name == "__init__.py" else file for file in files if installed not in file.parents]
