"""What a suite's run says of itself: a bar on a terminal, plain lines elsewhere, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bench.commands.found import Found
from bench.executors.driver import Driver, Incident, Outcome
from bench.executors.tables import Tables
from bench.plan import estimate_seconds
from bench.schema import RunStatus
from bench.text import duration

SECONDS_BETWEEN_LINES = 5.0


class Tally:
    """Counts what has ended and estimates the rest from what the cohorts cost that have ended.

    Attributes:
        planned: runs of the plan, those left out by `--only` not among them.
        ended: runs that ended under this driver.
    """

    def __init__(self, found: Found, driver: Driver) -> None:
        self.driver = driver
        self.statuses: Counter[str] = Counter(found.statuses)
        self.failed_now = 0
        self.planned = len(found.plan.runs) - found.left_out
        self.ended = 0
        self.cost_left = sum(estimate_seconds(cohort) for cohort in found.left)
        self.cost_ended = self.seconds_ended = 0.0
        self.started = time.monotonic()

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
        cost = estimate_seconds(outcome.cohort)
        self.cost_left -= cost
        self.cost_ended += cost
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
        """What is left at the pace so far, but no less than the longest cohort takes; None before the first ended."""
        if self.done == self.planned:
            return 0.0
        if not self.cost_ended:
            return None
        pace = self.seconds_ended / self.cost_ended  # a worker's measured seconds for an estimated one
        now = time.monotonic()
        costs = [(estimate_seconds(part.cohort), now - (part.started or now)) for part in self.driver.running]
        half_done = sum(min(cost, spent / pace) for cost, spent in costs)
        passed = (now - self.started) / (self.cost_ended + half_done)  # with idle workers and the driver's own work
        alone = [pace * cost - spent for cost, spent in costs]
        if self.driver.longest_waiting:
            alone.append(pace * estimate_seconds(self.driver.longest_waiting))
        return max(0.0, passed * (self.cost_left - half_done), *alone)

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
        return f"{self.done}/{self.planned} runs done: {self.note()}"


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
            MofNCompleteColumn(),
            TextColumn("runs  {task.fields[note]}"),
            console=self.console,
            disable=as_json or not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=self.tally.planned, completed=self.tally.done, note="starting")
        for sentence in found.sentences():
            self.say(sentence)
        self.emit("found", retried=found.count_retried(), left_out=found.left_out, workers=driver.executor.slots)

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
        self.bar.update(self.task, completed=self.tally.done, note=self.tally.note())
        facts = {"cohort": outcome.cohort.key, "runs": len(outcome.cohort.runs)}
        self.emit("cohort", **facts, seconds=round(outcome.answer.seconds, 3))
        if not self.console.is_terminal and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.say(self.tally.sentence())

    def met(self, incident: Incident) -> None:
        """Say that a cohort did not come back, and what is done about it."""
        status, cohort = incident.answer.status.value, incident.cohort
        count = f"{len(cohort.runs)} runs" if len(cohort.runs) > 1 else cohort.runs[0].run_id
        self.say(f"{cohort.key}: {count} {incident.measure} ({status}): {incident.reason}")
        facts = {"cohort": cohort.key, "runs": len(cohort.runs), "status": status}
        self.emit("incident", **facts, measure=incident.measure, reason=incident.reason)
