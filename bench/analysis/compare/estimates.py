"""Means of paired differences with intervals, and tests of whether they lie beyond a margin.

A suite's cells are fixed, draws are chance: a mean over cells varies as the differences within cells do, and not as
cells differ. Pairs of the same draws differ by what draws do not share, and each is a unit. Of other draws those of a
replicate are shared, so that replicates are the units: Student's t on as many degrees of freedom, less one.

A t test believes that what varies, varies as it did. Networks learn or do not, so that a few runs that ended alike say
little of one that might not. So a second test stands beside it: a part of the units as large as could have been missed
may differ by as much as two replicates of one cell do in BASE. Its p is (1 - (|mean| - margin) / largest)^units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from bench.analysis.claims.intervals import LEAST_REPLICATES
from bench.analysis.effects import LEVEL, clustered_mean
from bench.analysis.tables import Indices, Reals

ALIKE = 1e-9  # of the mean: a spread of less is rounding


@dataclass(frozen=True)
class Means:
    """Means over the pairs of several units (cells, or levels), as arrays of one number a unit.

    Attributes:
        mean: of the differences; NaN without any.
        error: its standard error; NaN where too few pairs tell, 0 where all are the same.
        freedom: Student's degrees of freedom.
        count: how many units of chance there are.
    """

    mean: Reals
    error: Reals
    freedom: Reals
    count: Reals

    def interval(self) -> tuple[Reals, Reals]:
        """Lower and upper end at 95 %; NaN where too few pairs tell."""
        half = np.where(self.error > 0.0, self._half(), self.error)
        return self.mean - half, self.mean + half

    def _half(self) -> Reals:
        with np.errstate(invalid="ignore"):
            return np.asarray(student.ppf((1.0 + LEVEL) / 2.0, self.freedom) * self.error)

    def beyond(self, margin: float, largest: float) -> Reals:
        """One-sided p of a mean of `margin` or less; NaN where too few pairs tell."""
        over = self.mean - margin
        with np.errstate(divide="ignore", invalid="ignore"):
            by_t = student.sf(over / self.error, self.freedom)
            by_t = np.where(self.error > 0.0, by_t, np.where(over > 0.0, 0.5**self.count, 1.0))
            unseen = (1.0 - np.clip(over / largest, 0.0, 1.0)) ** self.count
        return np.where(np.isnan(self.error), np.nan, np.maximum(by_t, unseen))

    def __neg__(self) -> Means:
        return Means(-self.mean, self.error, self.freedom, self.count)


def cell_means(values: Reals, cell: Indices, cells: int) -> Means:
    """The mean of each cell's differences. Fewer than 3 tell nothing, but where every one of them is 0."""
    known = ~np.isnan(values)
    code, found = cell[known], values[known]
    count = np.bincount(code, minlength=cells).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(code, weights=found, minlength=cells) / count
        square = np.bincount(code, weights=(found - mean[code]) ** 2, minlength=cells)
        error = np.sqrt(square / (count - 1.0) / count)
        largest = np.zeros(cells)
        np.maximum.at(largest, code, np.abs(found))
        error = np.where(np.sqrt(square) <= ALIKE * largest, 0.0, error)
    untold = (count < LEAST_REPLICATES) & ((largest > 0.0) | (count == 0))
    return Means(mean, np.where(untold, np.nan, error), np.maximum(count - 1.0, 1.0), count)


def pooled_means(
    values: Reals, cell: Indices, replicate: Indices, chosen: Sequence[np.ndarray], *, same_draws: bool
) -> Means:
    """The mean over each choice of pairs (masks) of several cells. Fewer than 3 tell nothing, but where all are 0."""
    found = []
    for mask in chosen:
        kept = mask & ~np.isnan(values)
        if not kept.any():
            found.append((np.nan, np.nan, 1.0, 0.0))
            continue
        own, code, block = values[kept], cell[kept], replicate[kept]
        error, freedom, count = fixed_error(own, code, block, same_draws=same_draws)
        if not np.abs(own).max():
            error = 0.0
        elif kept.sum() < LEAST_REPLICATES:
            error = np.nan
        found.append((float(own.mean()), error, freedom, count))
    columns = np.array(found, np.float64).reshape(-1, 4).T
    return Means(columns[0], columns[1], columns[2], columns[3])


def fixed_error(values: Reals, cell: Indices, replicate: Indices, *, same_draws: bool) -> tuple[float, float, float]:
    """Standard error of a mean over fixed cells, degrees of freedom (Satterthwaite 1946), and units of chance.

    With a single replicate nothing tells what varies within a cell; then the cells are taken for a sample of such.
    """
    code, block = (np.unique(each, return_inverse=True)[1] for each in (cell, replicate))
    size, total = np.bincount(code).astype(np.float64), float(len(values))
    blocks = int(block.max()) + 1
    several = size > 1
    if not several.any() or blocks == 1:
        _, low, high, _ = clustered_mean(values, code, np.zeros(len(code), np.int64))
        freedom = max(len(size) - 1.0, 1.0)
        half = (high - low) / 2.0
        return half / float(student.ppf((1.0 + LEVEL) / 2.0, freedom)), freedom, float(len(size))
    left = values - (np.bincount(code, weights=values) / size)[code]
    square = np.bincount(code, weights=left**2) / np.where(several, size - 1.0, 1.0)
    square[~several] = square[several].mean()
    if np.sqrt(square.max()) <= ALIKE * np.abs(values).max():
        return 0.0, np.inf, total if same_draws else float(max(len(size), blocks))
    by_pair = float((size * square).sum()) / total**2
    if same_draws:
        spread = float(((size * square) ** 2 / np.maximum(size - 1.0, 1.0)).sum()) / total**4
        return float(np.sqrt(by_pair)), by_pair**2 / spread, total
    by_block = float((np.bincount(block, weights=left) ** 2).sum()) / total**2 * blocks / (blocks - 1.0)
    return float(np.sqrt(max(by_pair, by_block))), blocks - 1.0, float(max(len(size), blocks))
