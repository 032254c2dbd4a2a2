"""What a suite's run says of itself: a bar on a terminal, plain lines elsewhere, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from bench.commands.found import Found
from bench.commands.shrink import long_plan
from bench.executors.child import Status
from bench.executors.driver import Driver, Incident, Outcome, Part
from bench.executors.tables import Tables
from bench.plan import Cohort, Estimate, Rates, makespan
from bench.schema import RunStatus
from bench.suite import Suite
from bench.text import duration, listed, plural

SECONDS_BETWEEN_LINES = 5.0  # at least, and
SHARE_BETWEEN_LINES = 0.05  # of the time since the start
TRUSTED_SECONDS = 10.0  # of one worker: what was measured in them counts as much as the estimate


class Tally:
    """Counts what has ended and estimates how long the rest takes: first by the plan, then more and more by the run.

    Attributes:
        planned: runs of the plan, those left out by `--only` not among them.
        ended: runs that ended under this driver.
        rates: the machine's; None until they are known, and with them how long anything takes.
    """

    def __init__(self, found: Found, driver: Driver) -> None:
        self.driver = driver
        self.left = found.left
        self.statuses: Counter[str] = Counter(found.statuses)
        self.failed_now = 0
        self.planned = len(found.plan.runs) - found.left_out
        self.ended = 0
        self.rates: Rates | None = None
        self.seconds_ended = self.expected_ended = 0.0
        self.started = time.monotonic()
        self._estimates: dict[tuple[str, int], Estimate] = {}

    @property
    def done(self) -> int:
        """Runs that have their row: completed, diverged or failed."""
        return self.statuses.total()

    def add(self, outcome: Outcome, statuses: Iterable[str]) -> None:
        """Count runs that ended, each with its status."""
        new = Counter(statuses)
        self.statuses += new
        self.failed_now += new[RunStatus.FAILED]
        self.ended += new.total()
        if self.rates is not None and outcome.answer.status is Status.OK:
            self.expected_ended += self._estimate(outcome.shape or outcome.cohort).seconds()
            self.seconds_ended += outcome.answer.seconds

    def counts(self) -> dict[str, int | float | None]:
        """Runs by what has become of them; `left` have not been started, failed and diverged are among the done."""
        running = sum(len(part.cohort.runs) for part in self.driver.running)
        seconds = self.seconds_left()
        return {
            "planned": self.planned,
            "done": self.done,
            "running": running,
            "failed": self.statuses[RunStatus.FAILED],
            "diverged": self.statuses[RunStatus.DIVERGED],
            "left": self.planned - self.done - running,
            "elapsed": round(time.monotonic() - self.started, 3),
            "seconds_left": None if seconds is None else round(seconds, 3),
        }

    def seconds_left(self) -> float | None:
        """When the last worker ends if the cohorts that wait are taken in their order; None without the rates."""
        if self.done == self.planned:
            return 0.0
        if self.rates is None:
            return None
        pace, running, waiting = self._pace(), self.driver.running, self.driver.waiting
        if not (running or waiting or self.ended):
            return makespan(
                [self._estimate(cohort).seconds() for cohort in self.left],
                [self.rates.import_seconds] * self.driver.executor.slots,
            )
        free = [self._still(part, pace) for part in running]
        free += [0.0] * (self.driver.executor.slots - len(free))
        return makespan([pace * self._estimate(part.shape).seconds() for part in waiting], free)

    def share(self) -> float:
        """Runs done, and of those in hand the part that is."""
        shares = [(part, self._estimate(part.shape)) for part in self.driver.running] if self.rates else []
        return self.done + sum(
            len(part.cohort.runs) * estimate.seconds(part.step) / estimate.seconds() for part, estimate in shares
        )

    def _pace(self) -> float:
        """Measured seconds for an estimated one: 1 at first, and the longer was measured, the more that counts."""
        measured, expected = self.seconds_ended, self.expected_ended
        for part in self.driver.running:
            if part.step and part.began and part.heard:
                measured += part.heard - part.began
                expected += self._estimate(part.shape).seconds(part.step)
        if not expected:
            return 1.0
        weight = measured / (measured + TRUSTED_SECONDS)
        return weight * measured / expected + 1.0 - weight

    def _still(self, part: Part, pace: float) -> float:
        """Seconds until a worker has done what it has in hand."""
        assert self.rates
        estimate, now = self._estimate(part.shape), time.monotonic()
        if part.began is None or part.heard is None:
            whole = self.rates.import_seconds + pace * estimate.seconds()
            return max(0.0, whole - (now - (part.taken or now)))
        left = pace * (estimate.seconds() - estimate.seconds(part.step))
        return max(0.0, left - (now - part.heard))

    def _estimate(self, cohort: Cohort) -> Estimate:
        assert self.rates
        key = (cohort.key, len(cohort.runs))
        if key not in self._estimates:
            self._estimates[key] = Estimate.of(cohort, self.rates)
        return self._estimates[key]

    def note(self) -> str:
        """The counts beside the bar."""
        counts = self.counts()
        parts = [f"{counts[name]} {name}" for name in ("running", "failed", "diverged", "left")]
        left = self.seconds_left()
        if self.done == self.planned:
            parts.append(f"took {duration(time.monotonic() - self.started)}")
        elif left is not None:
            parts.append(f"{duration(left)} to go")
        return ", ".join(parts)

    def sentence(self) -> str:
        """A line for a log."""
        running = self.driver.running
        said = f"; {listed([_place(part) for part in running], 4)}" if any(part.began for part in running) else ""
        return f"{self.done}/{self.planned} runs done: {self.note()}{said}"


def _place(part: Part) -> str:
    """Where a cohort in hand is, as far as it says so."""
    if part.step:
        return f"step {part.step} of {part.cohort.steps}"
    return "starting" if part.began is None else "tracing"


class Progress:
    """Counts runs as they end, and says how long the rest will take. A context: leaving it says how it ended."""

    def __init__(self, found: Found, driver: Driver, *, as_json: bool = False) -> None:
        self.tally = Tally(found, driver)
        self.as_json = as_json
        self.console = Console(stderr=True)
        self.last_line = time.monotonic()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=as_json or not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=self.tally.planned, completed=self.tally.done, note="starting")
        for sentence in found.sentences():
            self.say(sentence)
        self.emit("found", retried=found.count_retried(), left_out=found.left_out, workers=driver.executor.slots)

    def begin(self, rates: Rates, suite: Suite, *, dry: bool = False) -> None:
        """Say what is being done until the first step is heard of, how long all takes, and if that is long."""
        self.tally.rates = rates
        workers, seconds = plural(self.tally.driver.executor.slots, "worker"), self.tally.seconds_left()
        long = "" if dry or not seconds else long_plan(suite, seconds)
        if not dry and seconds:
            self.say(f"starting {workers}, TensorFlow first; about {duration(seconds)} to train")
        if long:
            self.say(long)
        self.emit("starting", **({"long": long} if long else {}))

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.bar.stop()
        if not self.console.is_terminal and self.tally.ended:
            self.say(self.tally.sentence())
        self.emit("ended" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed")

    def say(self, text: str) -> None:
        """Print a line for people, above the bar."""
        if self.as_json:
            return
        if self.console.is_terminal:
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def emit(self, event: str, **facts: object) -> None:
        """Print a line for machines on standard output."""
        if self.as_json:
            print(json.dumps({"event": event, **self.tally.counts(), **facts}), flush=True)

    def wrote(self, outcome: Outcome, tables: Tables) -> None:
        """Count runs whose tables are written."""
        self.tally.add(outcome, tables["runs"]["status"].to_pylist())
        facts = {"cohort": outcome.cohort.key, "runs": len(outcome.cohort.runs)}
        self.emit("cohort", **facts, seconds=round(outcome.answer.seconds, 3))
        self.look()

    def look(self) -> None:
        """Move the bar; elsewhere, say how far it is if enough time has passed since the last line."""
        now = time.monotonic()
        if self.console.is_terminal and not self.as_json:
            self.bar.update(self.task, completed=self.tally.share(), note=self.tally.sentence())
        elif now - self.last_line > max(SECONDS_BETWEEN_LINES, SHARE_BETWEEN_LINES * (now - self.tally.started)):
            self.last_line = now
            self.say(self.tally.sentence())
            hand = [(part.cohort, part.step) for part in self.tally.driver.running]
            steps = [{"cohort": each.key, "runs": len(each.runs), "step": at, "steps": each.steps} for each, at in hand]
            self.emit("progress", cohorts=steps)

    def met(self, incident: Incident) -> None:
        """Say that a cohort did not come back, and what is done about it."""
        status, cohort = incident.answer.status.value, incident.cohort
        count = f"{len(cohort.runs)} runs" if len(cohort.runs) > 1 else cohort.runs[0].run_id
        self.say(f"{cohort.key}: {count} {incident.measure} ({status}): {incident.reason}")
        facts = {"cohort": cohort.key, "runs": len(cohort.runs), "status": status}
        self.emit("incident", **facts, measure=incident.measure, reason=incident.reason)
