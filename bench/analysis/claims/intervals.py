"""From one number per replicate to an effect with its interval and a one-sided test.

Every replicate may be known only within bounds. The interval's lower end is that of the lower bounds and its upper end
that of the upper bounds, so it covers whatever the numbers are: E min(X, c) <= E X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, fisher_exact
from scipy.stats import t as student

Reals = NDArray[np.float64]

LEAST_REPLICATES = 3
LEAST_ALIKE = 5  # of replicates with one value: by a sign test fewer say nothing at 0.05


@dataclass(frozen=True)
class Region:
    """Where the effect lies if the claim is true; an open edge is infinite."""

    least: float
    most: float

    @property
    def sign(self) -> int:
        """1 if it holds increases alone, -1 if decreases alone, else 0."""
        return int(self.least >= 0.0) - int(self.most <= 0.0)


@dataclass(frozen=True)
class Estimate:
    """An effect, the bounds of its interval (NaN where there are too few replicates), and a one-sided p-value.

    `short` says what there is too little of, `passes` whether a test that the verdict needs beside the interval does,
    `refuted` whether a single replicate refutes what is claimed of each.
    """

    effect: float
    low: float
    high: float
    p_value: float = np.nan
    short: str = ""
    passes: bool = True
    refuted: bool = False


def mean_estimate(value: Reals, low: Reals, high: Reals, level: float, region: Region) -> Estimate:
    """Mean with Student's t interval; p is the larger of the tests against the region's edges.

    Needs 3 replicates, and 5 where all have the same value: their spread is not known to be none.
    """
    known = value[~np.isnan(value)]
    effect = float(known.mean()) if len(known) else np.nan
    short = _too_few(value, low, high)
    if short:
        return Estimate(effect, np.nan, np.nan, short=short)
    below, lower_p = _student(low, level, region.least)
    above, upper_p = _student(-high, level, -region.most)
    p_values = [p for p, edge in ((lower_p, region.least), (upper_p, region.most)) if np.isfinite(edge)]
    return Estimate(effect, below, -above, max(p_values))


def _too_few(value: Reals, low: Reals, high: Reals) -> str:
    if len(value) < LEAST_REPLICATES:
        return f"{len(value)} of at least {LEAST_REPLICATES} replicates"
    alike = len({*value, *low[np.isfinite(low)], *high[np.isfinite(high)]}) == 1
    if alike and len(value) < LEAST_ALIKE:
        return f"{len(value)} replicates have the same value, which says too little below {LEAST_ALIKE}"
    return ""


def _student(values: Reals, level: float, edge: float) -> tuple[float, float]:
    """Lower end of the two-sided interval, and p of a mean at the edge or below."""
    if not np.isfinite(values).all():
        return -np.inf, 1.0
    count, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) / np.sqrt(count)
    if error <= 1e-12 * float(np.abs(values).max(initial=0.0)):
        return mean, 0.5**count if mean > edge else 1.0
    below = mean - float(student.ppf((1.0 + level) / 2.0, count - 1)) * error
    return below, float(student.sf((mean - edge) / error, count - 1))


def median_estimate(value: Reals, low: Reals, high: Reals, level: float, region: Region) -> Estimate:
    """Median with the interval between two order statistics, which takes infinities; p is a sign test's.

    Raises no level: where even the full range holds the median less often, there are too few replicates.
    """
    count = len(value)
    known = value[~np.isnan(value)]
    effect = float(np.median(known)) if len(known) else np.nan
    rank = int(binom.ppf((1.0 - level) / 2.0, count, 0.5)) if count else 0
    if rank < 1 or binom.cdf(rank - 1, count, 0.5) > (1.0 - level) / 2.0:
        needed = int(np.ceil(1.0 - np.log2(1.0 - level)))
        return Estimate(effect, np.nan, np.nan, short=f"{count} of at least {needed} replicates")
    tests = [(low > region.least, region.least), (high < region.most, region.most)]
    p_values = [float(binom.sf(beyond.sum() - 1, count, 0.5)) for beyond, edge in tests if np.isfinite(edge)]
    return Estimate(effect, float(np.sort(low)[rank - 1]), float(np.sort(high)[count - rank]), max(p_values))


def each_estimate(value: Reals, low: Reals, high: Reals, region: Region) -> Estimate:
    """The range over replicates, of which every one is claimed to lie in the region; the effect is their median."""
    known = value[~np.isnan(value)]
    effect = float(np.median(known)) if len(known) else np.nan
    if len(value) < LEAST_REPLICATES:
        return Estimate(effect, np.nan, np.nan, short=f"{len(value)} of at least {LEAST_REPLICATES} replicates")
    refuted = bool(((high < region.least) | (low > region.most)).any())
    return Estimate(effect, float(low.min()), float(high.max()), refuted=refuted)


def share_estimate(low: Reals, high: Reals, level: float, region: Region) -> Estimate:
    """A share of runs, 0 or 1 each, with Wilson's interval (1927); p is the exact binomial test's.

    A run that was not measured counts as 0 for the lower end and as 1 for the upper one.
    """
    count = len(low)
    if count < LEAST_REPLICATES:
        return Estimate(
            float(low.mean()) if count else np.nan, np.nan, np.nan, short=f"{count} of at least 3 replicates"
        )
    hits, most = int(low.sum()), int(high.sum())
    p_values = []
    if 0.0 < region.least < 1.0:
        p_values.append(float(binomtest(hits, count, region.least, "greater").pvalue))
    if 0.0 < region.most < 1.0:
        p_values.append(float(binomtest(most, count, region.most, "less").pvalue))
    p_value = max(p_values) if p_values else np.nan
    return Estimate(hits / count, wilson(hits, count, level)[0], wilson(most, count, level)[1], p_value)


def share_difference(of: tuple[Reals, Reals], against: tuple[Reals, Reals], level: float, region: Region) -> Estimate:
    """A difference of shares with Newcombe's interval (1998, method 10); p is Fisher's exact test's.

    Each side is the lower and upper bounds of its runs. The runs of both sides of a replicate share their draw; taking
    them as independent makes the interval wider than it needs to be where that helps both or neither. Where the region
    holds increases alone, or decreases alone, Fisher's test must agree at the level.
    """
    counts = len(of[0]), len(against[0])
    if min(counts) < LEAST_REPLICATES:
        few = f"{min(counts)} of at least {LEAST_REPLICATES} replicates"
        both = float(of[0].mean() - against[0].mean()) if min(counts) else np.nan
        return Estimate(both, np.nan, np.nan, short=few)
    least, most = (int(of[0].sum()), int(against[1].sum())), (int(of[1].sum()), int(against[0].sum()))
    below, above = newcombe(least, counts, level)[0], newcombe(most, counts, level)[1]
    effect = float(of[0].mean() - against[0].mean())
    if not region.sign:
        return Estimate(effect, below, above)
    hits = least if region.sign > 0 else most
    table = [[hits[0], counts[0] - hits[0]], [hits[1], counts[1] - hits[1]]]
    p_value = float(fisher_exact(table, "greater" if region.sign > 0 else "less").pvalue)
    return Estimate(effect, below, above, p_value, passes=p_value <= 1.0 - level)


def wilson(hits: int, count: int, level: float) -> tuple[float, float]:
    """Wilson's interval of hits / count (1927, eq. 7)."""
    found = binomtest(hits, count).proportion_ci(level, "wilson")
    return float(found.low), float(found.high)


def newcombe(hits: tuple[int, int], counts: tuple[int, int], level: float) -> tuple[float, float]:
    """Newcombe's interval of the difference of two independent shares: 1998, method 10, from Wilson's intervals."""
    (p, q), ((p_low, p_high), (q_low, q_high)) = (
        [hits[side] / counts[side] for side in (0, 1)],
        [wilson(hits[side], counts[side], level) for side in (0, 1)],
    )
    return p - q - float(np.hypot(p - p_low, q_high - q)), p - q + float(np.hypot(p_high - p, q - q_low))
