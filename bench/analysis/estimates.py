"""Estimates: a median over runs with its interval, and beside it how many runs there were and how many were lost.

The interval is the distribution-free one between two order statistics: with n values the chance that the median lies
between the k-th smallest and the k-th largest is 1 - 2 * P(Binomial(n, 1/2) < k). It is the narrowest such interval
that holds the median 95 % of the time; below six values none does, and it is the full range, whose
`confidence` 1 - 2^(1-n) says how much it is worth: 75 % with three. It needs no assumption and takes infinities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binom, norm

from bench.quantities import LostRule, Quantity
from bench.schema import RunStatus

LEVEL = 0.95  # the confidence of an interval; of a median's the least, where there are values enough


def interval_rank(count: int) -> tuple[int, float]:
    """k, from 1, such that the median lies between the k-th smallest and k-th largest of `count` values; how surely."""
    k = max(1, int(binom.ppf((1.0 - LEVEL) / 2.0, count, 0.5)))
    return k, max(0.0, 1.0 - 2.0 * float(binom.cdf(k - 1, count, 0.5)))


def median_interval(values: pd.DataFrame, by: Sequence[str], column: str) -> pd.DataFrame:
    """Median, lower, upper, confidence and `measured` count of `column` by group; NaN is not measured, infinities rank.

    `by` names at least one column. Groups come in the order in which they first
    appear; one without any measured value is kept, with NaN.
    """
    keys = list(by)
    groups = values[keys].drop_duplicates().reset_index(drop=True)
    usable = values[values[column].notna()].sort_values(column, kind="stable")
    code = usable.merge(groups.reset_index(names="_group"), on=keys, how="left")["_group"].to_numpy()
    order = np.argsort(code, kind="stable")
    ranked = usable[column].to_numpy(np.float64)[order]
    count = np.bincount(code, minlength=len(groups))
    start = np.cumsum(count) - count
    ranks = {int(n): interval_rank(int(n)) for n in np.unique(count) if n}
    k = np.array([ranks[n][0] if n else 1 for n in count], np.int64)
    padded = np.append(ranked, np.nan)  # an empty group points at the NaN
    some = count > 0

    def at(position: np.ndarray) -> np.ndarray:
        return padded[np.where(some, start + position, len(ranked))]

    low, high = at((count - 1) // 2), at(count // 2)
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, (low + high) / 2.0)
    return groups.assign(
        median=middle,
        lower=at(k - 1),
        upper=at(count - k),
        confidence=[ranks[n][1] if n else np.nan for n in count],
        measured=count,
    )


def with_lost_counted(judged: pd.DataFrame, quantity: Quantity) -> pd.Series:
    """The quantity with each lost run standing for what the quantity's rule says of it."""
    values = judged[quantity.name].astype(np.float64)
    lost = judged["status"] != RunStatus.COMPLETED
    match quantity.lost:
        case LostRule.CHANCE:
            return values.mask(lost, judged["chance_accuracy"])
        case LostRule.WORST:
            return values.mask(lost, np.inf)
        case _:
            return values


def estimate(judged: pd.DataFrame, quantity: Quantity, by: Sequence[str]) -> pd.DataFrame:
    """Median of a quantity by group over every run, lost ones included by the quantity's rule, with its counts.

    Columns: `by`, median, lower, upper, confidence, measured, replicates (distinct), runs, completed, diverged, failed.
    """
    values = judged.assign(_value=with_lost_counted(judged, quantity))
    return median_interval(values, by, "_value").merge(counts(judged, by), on=list(by), how="left")


def counts(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Replicates, runs, and runs by status, by group."""
    flags = judged[[*by, "replicate"]].assign(
        runs=1, **{str(status): (judged["status"] == status).astype(int) for status in RunStatus}
    )
    grouped = flags.groupby(list(by), sort=False, observed=True, dropna=False)
    summed = grouped[["runs", *(str(status) for status in RunStatus)]].sum()
    return summed.assign(replicates=grouped["replicate"].nunique()).reset_index()


def clustered_wilson(hits: int, runs: int, clusters: int) -> tuple[float, float]:
    """Wilson's 95 % interval of hits / runs with as many trials as there are clusters; (nan, nan) without any.

    Replicates of a cell share everything but the draw, so they say little more than one of them does. Counting cells
    takes them as fully alike: the interval is at least as wide as it must be. Formula: Wilson 1927, eq. 7.
    """
    if runs == 0 or clusters == 0:
        return (np.nan, np.nan)
    z = float(norm.ppf(0.5 + LEVEL / 2.0))
    share, n = hits / runs, float(clusters)
    centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * np.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return (max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def matched(judged: pd.DataFrame, factor: str, others: Sequence[str]) -> pd.DataFrame:
    """The runs that compare a factor's levels on equal terms.

    Kept are the combinations of the other factors and the replicate in which every level of `factor` was run: in a
    full product all of them, in a suite with includes and excludes only some, perhaps none.
    """
    context = [*others, "replicate"]
    levels = judged[factor].nunique()
    present = judged.groupby(context, sort=False, observed=True, dropna=False)[factor].transform("nunique")
    return judged[present == levels]
