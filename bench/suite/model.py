"""The `Suite`: what a suite file says, checked, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.factors import Choice
from bench.rules import RulesChoice
from bench.suite.claims.model import Claim
from bench.suite.record import Record

Cell = Mapping[str, Choice]  # every factor, in the order of FACTORS
PartialCell = Mapping[str, tuple[Choice, ...]]  # for some factors, the levels that it names


@dataclass(frozen=True)
class Suite:
    """A question, its factors, fixed settings, replicates and seed.

    `factors` holds each factor that varies, with all its levels in the suite's order: those of `[factors]` first,
    then those that only an `[[include]]` names. `fixed` holds every other factor, defaults filled in.
    `cells` are the combinations to run: the product of `[factors]`, less each `exclude`, with each `include` added.
    """

    name: str
    title: str | None
    question: str
    replicates: int
    seed: int
    factors: Mapping[str, tuple[Choice, ...]]
    fixed: Mapping[str, Choice]
    include: tuple[PartialCell, ...]
    exclude: tuple[PartialCell, ...]
    cells: tuple[Cell, ...]
    record: Record
    verdicts: RulesChoice
    claims: tuple[Claim, ...]
    text: str
    path: Path

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each local dataset's content, by its path; those that cannot be read are left out."""
        choices = self.factors.get("dataset") or (self.fixed["dataset"],)
        return {str(choice.setting("path")): choice.digest for choice in choices if choice.digest}

    def schedules(self, steps: int) -> dict[str, tuple[int, ...]]:
        """For each recorded table, its steps in a run of `steps` updates, ascending."""
        return self.record.schedules(steps)
