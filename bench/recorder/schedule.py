"""Which steps are recorded: every nth, or as many as a share of the training time pays for."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

FIRST = 10  # steps that `auto` records whatever they cost
KEPT = 32  # latest durations of a kind of step
BUDGET = 0.02  # of the training time


@dataclass
class Schedule:
    """Decides from what steps took so far.

    Attributes:
        every: a number of steps, or "auto".
        last: the last step that is planned, which is recorded; None where nobody knows.
        spent: seconds by which recording has made training longer, without the first call, which traces.
        started: seconds of the calls that traced.
    """

    every: int | str = "auto"
    last: int | None = None
    spent: float = 0.0
    started: float = 0.0
    trained: float = 0.0
    plain: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    unpaid: int = 0  # recorded steps of which nobody knows yet by how much they were longer

    def wants(self, step: int) -> bool:
        """Whether this step is recorded."""
        if step == self.last:
            return True
        if self.every != "auto":
            return step % int(self.every) == 0
        if step < FIRST:
            return True
        if len(self.plain) < FIRST:  # nobody knows yet what a step takes without
            return False
        return self.spent + self.extra <= BUDGET * self.trained

    @property
    def extra(self) -> float:
        """Seconds by which one recorded step is longer than another."""
        if not self.plain or not self.recorded:
            return 0.0
        return max(0.0, median(self.recorded) - median(self.plain))

    @property
    def spacing(self) -> int:
        """Every how many steps `auto` can record, by what they took so far; 1 where it costs nothing."""
        if not self.plain:
            return 1
        return max(1, round(self.extra / (BUDGET * median(self.plain)))) if median(self.plain) else 1

    @property
    def share(self) -> float:
        """By which share of the other training time recording made it longer, the first calls apart."""
        others = self.trained - self.spent
        return self.spent / others if others > 0.0 else 0.0

    def took(self, seconds: float, steps: int, *, recorded: bool, traced: bool) -> None:
        """Note what a call of the train function took, of so many steps."""
        if traced:
            self.started += seconds
            return
        self.trained += seconds
        durations = self.recorded if recorded else self.plain
        durations.append(seconds / steps)
        del durations[:-KEPT]
        self.unpaid += steps if recorded else 0
        if self.plain:
            self.spent += self.extra * self.unpaid
            self.unpaid = 0
