"""How many single cells so many replicates can decide, and how many replicates would decide most of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import t as student

from bench.analysis.claims.intervals import LEAST_REPLICATES
from bench.analysis.compare.model import Margin, Power
from bench.analysis.compare.pairs import Pairs
from bench.analysis.effects import LEVEL
from bench.analysis.tables import Reals

TRIED = (*range(LEAST_REPLICATES, 11), 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
MOST = 0.9  # of the cells


def power_of(differences: Mapping[str, Reals], pairs: Pairs, margins: Mapping[str, Margin]) -> Power:
    """By the spread of each cell's differences: its interval at a difference of none would lie within the margin."""
    cells = len(pairs.cells)
    count = np.bincount(pairs.cell, minlength=cells)
    needed = np.full(cells, float(LEAST_REPLICATES))
    for name, change in differences.items():
        spread = _spread(change, pairs, cells)
        own = np.full(cells, np.inf)
        for replicates in reversed(TRIED):
            half = student.ppf((1.0 + LEVEL) / 2.0, replicates - 1) * spread / np.sqrt(replicates)
            own = np.where(half <= margins[name].margin, replicates, own)
        needed = np.where(np.isnan(spread), needed, np.maximum(needed, own))
        needed = np.where((count < 2) & np.isnan(spread), np.inf, needed)
    needed = np.where(_unchanged(differences, pairs, cells), np.minimum(needed, count), needed)
    deciding = int((needed <= count).sum())
    enough = [each for each in TRIED if (needed <= each).mean() >= MOST]
    wanted = enough[0] if enough else None
    would = int((needed <= (wanted or TRIED[-1])).sum())
    return Power(cells, deciding, int(count.min()), wanted, would)


def _unchanged(differences: Mapping[str, Reals], pairs: Pairs, cells: int) -> np.ndarray:
    """The cells without any difference, which are the same however few their pairs are."""
    changes = [np.nan_to_num(each) != 0.0 for each in differences.values()]
    moved = np.logical_or.reduce([np.zeros(len(pairs), bool), *changes])
    return np.asarray(np.bincount(pairs.cell, weights=moved, minlength=cells) == 0)


def _spread(change: Reals, pairs: Pairs, cells: int) -> Reals:
    """Standard deviation of each cell's differences; NaN with fewer than two."""
    known = ~np.isnan(change)
    code, found = pairs.cell[known], change[known]
    count = np.bincount(code, minlength=cells).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(code, weights=found, minlength=cells) / count
        square = np.bincount(code, weights=(found - mean[code]) ** 2, minlength=cells)
        return np.asarray(np.where(count > 1, np.sqrt(square / (count - 1.0)), np.nan))
