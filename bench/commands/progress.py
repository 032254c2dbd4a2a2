"""What a suite's run says of itself: a bar on a terminal, plain lines elsewhere, or JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bench.commands.found import Found
from bench.commands.tally import Tally
from bench.executors.driver import Driver, Incident, Outcome
from bench.executors.joining import Tables

SECONDS_BETWEEN_LINES = 5.0


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
        self.emit("found", retried=found.retried, left_out=found.left_out, workers=driver.executor.slots)

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
