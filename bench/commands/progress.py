"""What a person sees while a suite runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Self

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bench.plan import Cohort, Plan, estimate_seconds
from bench.schema import RunStatus

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts cohorts and runs as they end, and says how long the rest will take.

    The estimate scales the plan's estimated costs of the cohorts that are left by how this machine has done so far.
    """

    def __init__(self, plan: Plan, done: set[str], workers: int) -> None:
        self.total = len(plan.cohorts)
        self.left = sum(estimate_seconds(cohort) for cohort in plan.cohorts if cohort.key not in done)
        self.ended_cost = 0.0
        self.cohorts = len(done)
        self.runs = sum(len(cohort.runs) for cohort in plan.cohorts if cohort.key in done)
        self.planned_runs = len(plan.runs)
        self.counts: Counter[str] = Counter()
        self.console = Console(stderr=True)
        self.started = self.last_line = time.monotonic()
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs  {task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=self.planned_runs, completed=self.runs, note="starting")
        found = f", {self.cohorts} of them finished earlier" if self.cohorts else ""
        self.say(f"{self.planned_runs} runs in {self.total} cohorts{found}; {workers} workers")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        if not self.console.is_terminal and self.ended_cost:
            self.say(self._line())

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self.console.is_terminal:
            self.bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def ended(self, cohort: Cohort, runs: pa.Table) -> None:
        """Count a cohort whose tables are written."""
        self.cohorts += 1
        self.runs += len(cohort.runs)
        self.counts.update(runs["status"].to_pylist())
        cost = estimate_seconds(cohort)
        self.ended_cost += cost
        self.left -= cost
        self.bar.update(self.task, completed=self.runs, note=self._note())
        if not self.console.is_terminal and time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        return f"{self.runs}/{self.planned_runs} runs, {self.cohorts}/{self.total} cohorts, {self._note()}"

    def _note(self) -> str:
        parts = [f"{self.counts[RunStatus.DIVERGED]} diverged"]
        if self.counts[RunStatus.FAILED]:
            parts.append(f"{self.counts[RunStatus.FAILED]} failed")
        elapsed = time.monotonic() - self.started
        left = max(0.0, self.left) * elapsed / self.ended_cost
        parts.append(f"{duration(left)} left" if self.cohorts < self.total else f"took {duration(elapsed)}")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
