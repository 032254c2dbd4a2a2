"""How far a suite has come: runs done, running, failed, diverged and left, and the seconds that are left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from bench.commands.found import Found
from bench.executors.driver import Driver, Outcome
from bench.plan import estimate_seconds
from bench.schema import RunStatus
from bench.text import duration


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
