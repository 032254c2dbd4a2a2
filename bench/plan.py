"""A suite's runs, in order, and the cohorts in which they train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.factors import Choice


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

    `schedules` maps a table to the steps at which it is recorded, ascending.
    """

    key: str
    suite: str
    runs: tuple[Run, ...]
    schedules: Mapping[str, tuple[int, ...]]

    @property
    def structure(self) -> Mapping[str, Choice]:
        """The choices that all its runs share: those of the factors that live in the graph."""
        raise NotImplementedError


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, in order, and their cohorts, longest first."""

    runs: tuple[Run, ...]
    cohorts: tuple[Cohort, ...]
