"""Runs, and the cohorts in which they train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.factors import FACTORS, Choice, Costs, Place

GRAPH_FACTORS = tuple(name for name, factor in FACTORS.items() if factor.place is Place.GRAPH)


@dataclass(frozen=True)
class Run:
    """One cell at one replicate. `choices` holds every factor, varied or fixed or default."""

    run_id: str
    cell_key: str
    replicate: int
    seed: int  # the same for a replicate index in every cell: cells compare in pairs
    choices: Mapping[str, Choice]


@dataclass(frozen=True)
class Cohort:
    """Runs with one network structure: they train together in one graph.

    `schedules` maps a table to the steps at which it is recorded, ascending. `graph_runs` are the runs whose rules are
    in the graph, where substitutes hold the slots of some (bench.executors.tables); empty: `runs`. `costs` are those of
    a run as an architecture from outside says them; None: as its level does.
    """

    key: str
    suite: str
    runs: tuple[Run, ...]
    schedules: Mapping[str, tuple[int, ...]]
    graph_runs: tuple[Run, ...] = ()
    costs: Costs | None = None

    @property
    def structure(self) -> Mapping[str, Choice]:
        """The choices that all its runs share: those of the factors that live in the graph."""
        return {name: self.runs[0].choices[name] for name in GRAPH_FACTORS}

    @property
    def steps(self) -> int:
        """Updates of each run."""
        return int(self.runs[0].choices["steps"].value or 0)

    def each_alone(self) -> tuple[Cohort, ...]:
        """Its runs one by one where they train so; else itself."""
        if self.costs is None or not self.costs.alone:
            return (self,)
        return tuple(replace(self, runs=(run,), graph_runs=()) for run in self.runs)


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, in order, and their cohorts, longest first."""

    runs: tuple[Run, ...]
    cohorts: tuple[Cohort, ...]
