"""The largest part of a suite's runs in which every combination of levels was run: there a variance can be shared out.

A suite of useful cells is seldom a full product: nobody asks for every optimizer at every rate. A part is the runs with
some levels of each factor; it is full when every combination of them was run, with every replicate of the suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.analysis.tables import coded_levels
from bench.text import UNKNOWN

MOST_STEPS = 20_000  # choices of levels that are looked at; suites of a dozen factors need a few hundred
MOST_LEVELS = 10  # of one factor, for all choices of them; of more those with most cells

Cell = tuple[int, ...]


@dataclass(frozen=True)
class FullPart:
    """Runs that are a full product of levels.

    Attributes:
        runs: their rows, in their order.
        levels: of each factor the levels they have, those of a factor that does not vary in it too.
        of: how many runs there are in all.
        ties: how many other full parts hold as many runs.
    """

    runs: pd.DataFrame
    levels: Mapping[str, tuple[str, ...]]
    of: int
    ties: int

    @property
    def varied(self) -> list[str]:
        """The factors with more than one level in it."""
        return [name for name, levels in self.levels.items() if len(levels) > 1]

    @property
    def whole(self) -> bool:
        """Whether it is all runs."""
        return len(self.runs) == self.of


def largest_full_part(judged: pd.DataFrame, varied: Sequence[str]) -> FullPart | None:
    """The full part with most runs; None where no factor varies in it.

    Of parts with as many runs it is the one in which most factors vary, then the one whose levels come first, by
    `coded_levels`. Two runs with the same levels and replicate make no part.
    """
    if judged.empty or not varied:
        return None
    coded = [coded_levels(judged[name]) for name in varied]
    codes = np.stack([code for code, _ in coded], axis=1)
    found = _largest(_complete(codes, judged["replicate"]))
    if not found:
        return None
    best = min(found, key=lambda box: (-sum(len(chosen) > 1 for chosen in box), box))
    kept = np.all([np.isin(codes[:, k], chosen) for k, chosen in enumerate(best)], axis=0)
    levels = {
        name: tuple(str(levels[k]) if k >= 0 else UNKNOWN for k in chosen)
        for name, (_, levels), chosen in zip(varied, coded, best, strict=True)
    }
    part = FullPart(judged[kept], levels, len(judged), len(found) - 1)
    return part if part.varied else None


def _complete(codes: np.ndarray, replicates: pd.Series) -> list[Cell]:
    """The cells that have each replicate once."""
    cells = pd.MultiIndex.from_arrays(codes.T).to_frame(index=False).assign(replicate=replicates.to_numpy())
    names = list(cells.columns[:-1])
    counted = cells.groupby(names)["replicate"].agg(["size", "nunique"])
    whole = counted[(counted["size"] == counted["nunique"]) & (counted["size"] == replicates.nunique())]
    return [key if isinstance(key, tuple) else (key,) for key in whole.index]


def _largest(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """The products of levels with most cells: of each factor the levels chosen.

    Factor by factor: with some levels chosen go on those combinations of the others that were run with each of them.
    Their number times that of the levels bounds what the choice can come to.
    """
    best: list[tuple[Cell, ...]] = []
    most = steps = 0

    def extend(chosen: tuple[Cell, ...], left: set[Cell], size: int) -> None:
        nonlocal most, steps, best
        if left == {()}:
            if size > most:
                best, most = [], size
            if size == most and chosen not in best:
                best.append(chosen)
            return
        by_level: dict[int, set[Cell]] = {}
        for level, *rest in left:
            by_level.setdefault(level, set()).add(tuple(rest))
        for levels in _choices(by_level):
            common = set.intersection(*(by_level[level] for level in levels))
            steps += 1
            if common and size * len(levels) * len(common) >= most and steps < MOST_STEPS:
                extend((*chosen, levels), common, size * len(levels))

    extend((), set(cells), 1)
    return best


def _choices(by_level: Mapping[int, set[Cell]]) -> list[Cell]:
    """Sets of levels, those first that could hold most."""
    kept = sorted(sorted(by_level, key=lambda level: -len(by_level[level]))[:MOST_LEVELS])
    chosen = [levels for size in range(len(kept), 0, -1) for levels in combinations(kept, size)]
    return sorted(chosen, key=lambda levels: -len(levels) * min(len(by_level[level]) for level in levels))
