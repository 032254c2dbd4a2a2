"""`bench run`: train what the suite plans and the results folder does not hold yet."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from bench.commands.check import try_levels
from bench.commands.executor import HERE, Where, open_executor
from bench.commands.found import Found, Keeper, continued, look
from bench.commands.only import cells_that_fit
from bench.commands.planned import planned
from bench.commands.progress import Progress
from bench.commands.rates import machine_rates
from bench.errors import ExecutorError, RunsFailed, SuiteError
from bench.executors.child import Status
from bench.executors.driver import Driver, Incident, Outcome
from bench.executors.local import default_workers
from bench.executors.tables import failed_tables
from bench.plan import REFERENCE, Rates
from bench.results import Manifest, Results, now
from bench.schema import RunStatus
from bench.suite import Suite

TRAIN = "bench.engine.train:train_cohort"
DRY = "bench.engine.dry:train_cohort"
HEARD = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Options:
    """How a suite is run."""

    out: Path
    where: Where = HERE
    dry: bool = False
    fresh: bool = False
    only: str = ""  # an expression on factors; empty: every cell
    retry_failed: bool = False
    timeout: float | None = None  # seconds a cohort; None: by its estimated cost
    json_progress: bool = False
    command: str = ""


def run_suite(suite: Suite, options: Options) -> Path:
    """Run a suite into its results folder, which it returns.

    Raises:
        BenchError: a plugin, the data, the folder or an option is not as it must be.
        RunsFailed: everything ended, but some runs failed, now or earlier.
        KeyboardInterrupt: stopped; what has ended is kept, and the same command goes on from there.
    """
    if options.fresh and options.only:
        raise SuiteError("--fresh trains everything again, --only a part: give one of them, or another --out.")
    options.where.check()
    fits = cells_that_fit(suite, options.only) if options.only else None
    plan = planned(suite)
    results = Results(options.out)
    manifest = Manifest.of(suite, plan, dry=options.dry, command=options.command, threads=options.where.threads)
    with results.locked():
        if options.fresh:
            found = Found(plan, discards=True, left=list(plan.cohorts))
        else:
            manifest = continued(results, manifest, plan)
            found = look(results, plan, fits, retry_failed=options.retry_failed)
        failed = _train(suite, options, found, Keeper(results, found, manifest))
    if failed:
        raise RunsFailed(
            f"{failed} runs failed: `bench show {options.out} RUN` tells why; --retry-failed tries them again."
        )
    return options.out


def _train(suite: Suite, options: Options, found: Found, keeper: Keeper) -> int:
    """Train what is left. Returns how many runs of the plan have failed, now or earlier.

    Data, plugins and workers are tried first: `keeper` discards nothing before something has come back.
    """
    with open_executor(options.where, found.left) as executor:
        driver = Driver(executor, DRY if options.dry else TRAIN, options.timeout)
        with Progress(found, driver, as_json=options.json_progress) as progress:
            if options.where == HERE and driver.executor.slots < min(default_workers(), len(found.left)):
                progress.say("fewer workers than cores: the free memory holds no more of the largest cohorts")
            progress.begin(_rates(options, found, progress), suite, dry=options.dry)
            if not options.dry:
                for remark in try_levels(executor, found.left):
                    progress.say(remark)
            with Interrupts() as interrupts:
                for event in driver.events(found.left, keeper.planned, lambda: interrupts.asked, progress.look):
                    if isinstance(event, Incident):
                        keeper.note(incidents=[*keeper.manifest.incidents, _record(event)])
                        progress.met(event)
                    else:
                        tables = _tables(event)
                        keeper.keep(event.cohort, tables)
                        progress.wrote(event, tables)
                if interrupts.asked and progress.tally.done < progress.tally.planned:
                    raise KeyboardInterrupt
            keeper.note(ended=now())
    return progress.tally.statuses[RunStatus.FAILED]


def _rates(options: Options, found: Found, progress: Progress) -> Rates:
    """Those of this machine, where they say how long the rest takes."""
    if options.dry or options.where.executor != "local" or not found.left:
        return REFERENCE
    return machine_rates(progress.say) or REFERENCE


def _tables(outcome: Outcome) -> dict[str, Any]:
    answer = outcome.answer
    if answer.status is Status.UNFIT:
        raise ExecutorError(str(answer.value))
    return dict(answer.value) if answer.status is Status.OK else failed_tables(outcome.cohort, str(answer.value))


def _record(incident: Incident) -> dict[str, Any]:
    """An incident as the manifest keeps it."""
    return {
        "at": now(),
        "cohort": incident.cohort.key,
        "runs": [run.run_id for run in incident.cohort.runs],
        "status": incident.answer.status.value,
        "measure": incident.measure,
        "reason": incident.reason,
    }


class Interrupts:
    """Ctrl-C: once to stop when what has ended is written, twice to stop at once; heard in the main thread alone.

    Attributes:
        asked: whether to stop.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        """Ask to stop; whoever asks again is not kept waiting.

        Raises:
            KeyboardInterrupt: the second time.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("Stopping when what has ended is written; interrupt again to stop at once.", file=sys.stderr, flush=True)
