"""Which steps are recorded: every nth, or as many as a share of the training time pays for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

FIRST = 10  # steps that `auto` records whatever they cost
KEPT = 32  # latest durations of a kind of step
BUDGET = 0.02  # of the training time
LEAST = 0.1  # of a plain step, that `auto` takes a recorded one to cost at least: so there are always plain ones beside


class Kind(StrEnum):
    """How a step was made: without a look, with one, or with one and once more by Keras's own function."""

    PLAIN = "plain"
    RECORDED = "recorded"
    COMPARED = "compared"


@dataclass
class Schedule:
    """Decides from what steps took so far.

    Attributes:
        every: a number of steps, or "auto".
        last: the last step that is planned; None where nobody knows.
        final: how many steps to the last are recorded whatever they cost.
        spent: seconds by which recording has made training longer, without the calls that trace.
        started: seconds of the calls that traced.
        trained: seconds of all others.
        charged: what recording counts as in the budget: `spent`, or a step's `LEAST` where it seems to cost less.
        due: seconds of training that pay for what was charged and for one recorded step more.
        took_each: the latest durations of a step, by how it was made.
        unpaid: steps of which nobody knows yet by how much they were longer.
    """

    every: int | str = "auto"
    last: int | None = None
    final: int = 1
    spent: float = 0.0
    started: float = 0.0
    trained: float = 0.0
    charged: float = 0.0
    due: float = math.inf
    took_each: dict[Kind, list[float]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    unpaid: dict[Kind, int] = field(default_factory=dict)
    since: int = 0  # plain calls since all this was weighed

    def wants(self, step: int) -> bool:
        """Whether this step is recorded."""
        if self.last is not None and self.last - self.final < step <= self.last:
            return True
        if self.every != "auto":
            return step % int(self.every) == 0
        return step < FIRST or self.trained >= self.due

    def extra(self, kind: Kind) -> float:
        """Seconds by which a step of that kind is longer than a plain one; 0 where nobody knows."""
        of_kind, plain = self.took_each[kind], self.took_each[Kind.PLAIN]
        return max(0.0, undisturbed(of_kind) - undisturbed(plain)) if of_kind and plain else 0.0

    @property
    def share(self) -> float:
        """By which share of the other training time recording made it longer, the calls that trace apart."""
        others = self.trained - self.spent
        return self.spent / others if others > 0.0 else 0.0

    def took(self, seconds: float, steps: int, kind: Kind, *, traced: bool) -> None:
        """Note what a call of the train function took, of so many steps."""
        if traced:
            self.started += seconds
            return
        self.trained += seconds
        durations = self.took_each[kind]
        durations.append(seconds / steps)
        del durations[:-KEPT]
        if kind is not Kind.PLAIN:
            self.unpaid[kind] = self.unpaid.get(kind, 0) + steps
        self.since += 1
        # To weigh it at each step would cost a small network a hundredth of its time.
        if kind is not Kind.PLAIN or self.unpaid or self.since >= KEPT or len(durations) <= FIRST:
            self._weigh()

    def _weigh(self) -> None:
        self.since = 0
        plain = self.took_each[Kind.PLAIN]
        if not plain:
            return
        least = LEAST * undisturbed(plain)
        for kind, steps in self.unpaid.items():
            self.spent += self.extra(kind) * steps
            self.charged += max(least, self.extra(kind)) * steps
        self.unpaid = {}
        if len(plain) >= FIRST:  # else nobody knows yet what a step takes without
            next_kind = Kind.RECORDED if self.took_each[Kind.RECORDED] else Kind.COMPARED
            self.due = (self.charged + max(least, self.extra(next_kind))) / BUDGET


def undisturbed(durations: list[float]) -> float:
    """The lower quartile: what else a machine does makes steps longer and never shorter."""
    return sorted(durations)[len(durations) // 4]
