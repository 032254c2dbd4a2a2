"""Interactions that an average over contexts hides: at one level of a factor nearly all runs end one way or none does.

Where two activations differ at one learning rate alone, their mean difference over all rates may be too small to tell.
What is looked for needs no model: at a level of one factor nearly all runs with some levels of another have an outcome
and nearly none with others, while elsewhere these levels differ by less than half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.tables import Indices, coded_levels
from bench.analysis.verdicts import Outcome

NEARLY = 0.9  # a share of runs that is nearly all; 1 less it is nearly none
SMALLER = 0.5  # the difference of shares that is less than this elsewhere
FEWEST = 4  # runs on each side: 4 of 4 against 0 of 4 has p = 0.03 by Fisher's exact test
LOOKED_FOR = (Outcome.DIVERGED, Outcome.LEARNED)


@dataclass(frozen=True)
class Counted:
    """Levels of a factor, and how many of so many runs with them had the outcome."""

    levels: tuple[str, ...]
    hits: int
    runs: int


@dataclass(frozen=True)
class Opposites:
    """At `where`'s level `at`, the runs with some levels of `factor` had an outcome and those with others had not.

    `elsewhere` is what the levels of `most` did at `other`, another level of `where`.
    """

    outcome: Outcome
    factor: str
    where: str
    at: str
    most: Counted
    least: Counted
    other: str
    elsewhere: Counted


def opposites(judged: pd.DataFrame, varied: Sequence[str]) -> list[Opposites]:
    """Such interactions, the one with most runs first, one for each outcome and two factors.

    Runs are compared on equal terms: of two factors those count whose other levels and replicate were run with every
    combination of the two.

    Args:
        judged: what `judge` returned, the varied factors as categories or numbers.
        varied: the factors that vary.
    """
    found: dict[tuple[Outcome, frozenset[str]], Opposites] = {}
    for pair in combinations(varied, 2):
        kept = judged[_matched(judged, pair, [name for name in varied if name not in pair])]
        for factor, where in (pair, pair[::-1]) if len(kept) else ():
            for each in _among(kept, factor, where):
                key = each.outcome, frozenset(pair)
                if key not in found or _size(each) > _size(found[key]):
                    found[key] = each
    return sorted(found.values(), key=_size, reverse=True)


def _matched(judged: pd.DataFrame, pair: tuple[str, str], others: Sequence[str]) -> NDArray[np.bool_]:
    sizes = judged.groupby([*others, "replicate"], sort=False, observed=True, dropna=False)["run_id"].transform("size")
    return np.asarray(sizes == judged[pair[0]].nunique() * judged[pair[1]].nunique())


def _among(judged: pd.DataFrame, factor: str, where: str) -> Iterator[Opposites]:
    (row, rows), (column, columns) = (coded_levels(judged[name]) for name in (factor, where))
    shape = (len(rows), len(columns))
    cell = row * shape[1] + column
    for outcome in LOOKED_FOR:
        had = (judged["outcome"] == outcome).to_numpy()
        runs, hits = (np.bincount(each, minlength=cell.max() + 1).reshape(shape) for each in (cell, cell[had]))
        for at in range(shape[1]):
            (high, low), other = _at(hits, runs, at)
            if other is None:
                continue
            most, least, elsewhere = (
                Counted(tuple(str(rows[k]) for k in levels), int(hits[levels, b].sum()), int(runs[levels, b].sum()))
                for levels, b in ((high, at), (low, at), (high, other))
            )
            yield Opposites(outcome, factor, where, str(columns[at]), most, least, str(columns[other]), elsewhere)


def _size(each: Opposites) -> int:
    return min(each.most.runs, each.least.runs)


def _at(hits: Indices, runs: Indices, at: int) -> tuple[tuple[Indices, Indices], int | None]:
    """The levels with nearly all and with nearly none at a column, and the column where they differ little, if any."""
    share = hits / runs
    high, low = np.flatnonzero(share[:, at] >= NEARLY), np.flatnonzero(share[:, at] <= 1.0 - NEARLY)
    if not len(high) or not len(low) or min(runs[high, at].sum(), runs[low, at].sum()) < FEWEST:
        return (high, low), None
    gap = np.abs(share[high].mean(axis=0) - share[low].mean(axis=0))
    return (high, low), int(gap.argmin()) if gap.min() < SMALLER else None
