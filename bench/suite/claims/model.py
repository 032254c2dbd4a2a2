"""A claim as read: every name resolved against the suite's cells, so that tables alone can judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.quantities import Quantity

# For some factors, the levels a run may have, as the `runs` table holds them.
Cells = Mapping[str, tuple[str | int | float | bool, ...]]


@dataclass(frozen=True)
class Reduction:
    """One step from many runs to one number: each of `rows` is where some cells stand on a line, and which they are.

    `factors` are those that the rows tell apart. `take`: mean, median, min, max, slope, rank_correlation, largest or
    smallest; `log` takes ln of where they stand.
    """

    factors: tuple[str, ...]
    rows: tuple[tuple[float, Cells], ...]
    take: str
    log: bool = False


@dataclass(frozen=True)
class Part:
    """One test: a number per run, the cells, how it becomes one number per replicate, and the claimed region.

    Attributes:
        name: the part's, or "" where the rule is one part.
        number: of each run.
        ln: whether the number's natural logarithm is meant.
        of: the cells it is about.
        against: those that they are compared with, if any.
        best: factors of which each network has its best level; by `best_by`.
        statistic: over replicates: mean, median or each.
        compare: difference or ratio, of two sides.
        least: lower edge of the region; None if open.
        most: upper edge.
        level: the interval's confidence.
        lost: unknown, measured, excluded, chance or a number.
        planned: the runs of the suite that it is about.
    """

    name: str
    number: Quantity
    ln: bool
    of: Cells
    against: Cells | None
    best: tuple[str, ...]
    best_by: str
    reduce: tuple[Reduction, ...]
    statistic: str
    compare: str
    least: float | None
    most: float | None
    level: float
    lost: str | float
    planned: int


@dataclass(frozen=True)
class Statement:
    """What is claimed, and where it is from: `needs` says whether all parts of its test must hold or any.

    `paper`, the source's own numbers, and `differs`, what is not as there, may be empty.
    """

    id: str
    statement: str
    source: str
    paper: str
    differs: str
    needs: str


@dataclass(frozen=True)
class Claim(Statement):
    """A statement and its test."""

    parts: tuple[Part, ...]
