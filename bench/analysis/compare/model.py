"""What a comparison is given and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from bench.analysis.compare.pairs import Pairs

COUNTS = ("count", "base", "candidate", "base_only", "candidate_only", "pairs", "p_worse", "p_better", "verdict")
CHANGES = (
    "unit", "response", "pairs", "cells", "replicates", "base_lost", "candidate_lost", "unmeasured", "base",
    "candidate", "change", "low", "high", "margin", "p_worse", "p_better", "p_changed", "verdict",
)  # fmt: skip


class Verdict(StrEnum):
    """What a comparison says of a cell, of a number, or of all."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Side:
    """One of two results: how messages call it, its runs as `judge` returns them, and its suite's seed.

    `runs` may be those of reference results: a column that is not there is not compared. None is a seed not known.
    `own` are runs of one's own training, which no suite planned.
    """

    name: str
    runs: pd.DataFrame
    seed: int | None = None
    own: bool = False


@dataclass(frozen=True)
class Margin:
    """How small a difference of a response is none.

    Attributes:
        response: its name.
        margin: in the response's unit.
        noise: the standard deviation between replicates within a cell of BASE, median over cells; NaN with a single
            replicate.
        largest: the most that two replicates of one cell of BASE differ, over all cells, and no less than the margin;
            as far apart as runs can be, with a single replicate.
        given: whether the command line named it.
    """

    response: str
    margin: float
    noise: float
    largest: float
    given: bool = False


@dataclass(frozen=True)
class Power:
    """What so many replicates can say of single cells.

    Attributes:
        cells: how many there are.
        deciding: how many have intervals no wider than the margin on each side, so that they can be called the same.
        replicates: the fewest pairs in a cell.
        needed: replicates with which nine cells of ten would; None where none of those tried suffices.
        would: how many cells those are.
    """

    cells: int
    deciding: int
    replicates: int
    needed: int | None
    would: int


@dataclass(frozen=True)
class FirstSteps:
    """How runs with one seed start: with the same draws and arithmetic they do alike, but for rounding.

    Attributes:
        pairs: how many there are, without those of which a run failed.
        equal: of those, how many have every number of the first steps equal to the bit.
        rounded: how many differ by what rounding may come to.
        otherwise: how many differ by more.
        largest: of each number the most by which a pair differs, in decades; infinite where only one side has it.
        rounding: what rounding may come to, in decades, of the median pair.
    """

    pairs: int
    equal: int
    rounded: int
    otherwise: int
    largest: Mapping[str, float]
    rounding: float


@dataclass(frozen=True)
class Comparison:
    """Two results of one suite, compared.

    Attributes:
        verdict: one over all. `why` are its reasons, the most important first, as sentences.
        identical: whether all tables are equal to the bit, but for times.
        same_seed: whether both were drawn from one seed; of reference results, whether all cells have the same keys; of
            one's own training, whether most pairs have the same first loss.
        same_draws: whether pairs are of the same draws: of one seed, and most of them start alike.
        pairs: which run stands beside which.
        margins: of each response.
        counts: `COUNTS`, a row for each thing that is counted of runs.
        moved: the pairs whose outcome differs: cell, replicate, base, candidate.
        suite, levels, cells: `CHANGES`, a row for each response of all pairs, of each level of each factor (`unit` is
            `factor=level`) and of each cell. `p_…` are after Holm's correction within each of the three.
        verdicts: a row for each cell: cell, verdict, why, pairs, base and candidate runs that learned, diverged and
            failed, whether it `starts` otherwise.
        starts: a row for each level, and one of all pairs (`unit` is ""), that says how many pairs start otherwise:
            unit, pairs, otherwise, then by what.
        first: how runs with one seed start; None of other seeds.
        time: the ratio of times per step, candidate over base, as `CHANGES` of all pairs; empty where not recorded.
        unlike: what says that a difference of times may not be the code's, in sentences; empty where nothing does.
        power: what so many replicates can say.
    """

    verdict: Verdict
    why: tuple[str, ...]
    identical: bool
    same_seed: bool
    same_draws: bool
    pairs: Pairs
    margins: Mapping[str, Margin]
    counts: pd.DataFrame
    moved: pd.DataFrame
    suite: pd.DataFrame
    levels: pd.DataFrame
    cells: pd.DataFrame
    verdicts: pd.DataFrame
    starts: pd.DataFrame
    first: FirstSteps | None
    time: pd.DataFrame
    unlike: str
    power: Power
