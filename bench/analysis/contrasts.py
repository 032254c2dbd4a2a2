"""Main effects: what a level changes against its factor's reference level, on runs that differ in nothing else.

Runs are paired by block: the same other levels, the same replicate. The differences are not independent: those of one
context (the other factors' levels) share how much the change matters there, those of one replicate share its draw. So
the standard error is clustered both ways (Cameron, Gelbach & Miller 2011): the variance by contexts plus that by
replicates less that of single pairs, and no less than either; Student's t has Satterthwaite's degrees of freedom. The
mean is thus that of contexts and replicates like these. In simulations of 12 and 60 contexts with 3 and 10 replicates,
with and without effects that differ by context and by replicate, the 95 % interval held the truth in 93 to 100 % of
4000 data sets. Contexts as units held it in as few as 39 %, replicates as units in 48 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from bench.analysis.effects import LEVEL, empty
from bench.analysis.estimates import with_lost_counted
from bench.analysis.levels import coded_levels
from bench.analysis.responses import Response
from bench.schema import RunStatus

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

ABSENT = "none"
COLUMNS = [
    "factor", "level", "reference", "difference", "lower", "upper", "pairs", "contexts", "replicates", "unmeasured",
    "lost", "p_value", "p_holm",
]  # fmt: skip


def main_effects(judged: pd.DataFrame, varied: Sequence[str], response: Response) -> pd.DataFrame:
    """One row for each varied factor and level but its reference: `none` where there is one, else the first.

    First is the smallest number, or the first category where the column is a categorical in the suite's order; words
    that are none come in the order of the rows. Every run counts, a lost one by the response's rule.

    Returns:
        `difference` is the mean over `pairs` (level less reference, the response's unit) with its 95 % interval, from
        so many `contexts` and `replicates`; of the pairs `lost` have a lost run on either side. `unmeasured` pairs lack
        a value and are left out. `p_value` is two-sided, `p_holm` the same after Holm's correction over all rows. With
        a single pair there is neither interval nor p-value: NaN. Where a response is infinite in any run there is no
        mean: the frame is empty and `attrs["reason"]` says so.

    Raises:
        ValueError: two runs share all varied levels and the replicate: `varied` leaves out a factor.
    """
    values = with_lost_counted(judged, response)
    infinite = int(np.isinf(values).sum())
    if infinite:
        return empty(COLUMNS, f"{response.name} is infinite in {infinite} of {len(values)} runs")
    frame = judged[[*varied, "replicate"]].assign(
        _value=values.to_numpy(np.float64), _lost=(judged["status"] != RunStatus.COMPLETED).to_numpy()
    )
    if frame.duplicated([*varied, "replicate"]).any():
        raise ValueError(f"runs differ in more than {', '.join(varied)} and the replicate")
    rows = [row for factor in varied for row in _effects_of(frame, factor, varied)]
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return table.assign(p_holm=holm(table["p_value"].to_numpy(np.float64)))


def holm(p_values: Reals) -> Reals:
    """Holm's step-down adjusted p-values (Holm 1979); NaN stays NaN and counts as no test."""
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.maximum.accumulate((len(order) - np.arange(len(order))) * p_values[order])
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def _effects_of(frame: pd.DataFrame, factor: str, varied: Sequence[str]) -> list[tuple[object, ...]]:
    others = [name for name in varied if name != factor]
    grouped = frame.groupby(others, sort=False, observed=True, dropna=False) if others else None
    context = grouped.ngroup().to_numpy(np.int64) if grouped is not None else np.zeros(len(frame), np.int64)
    block = pd.factorize(frame["replicate"])[0].astype(np.int64)
    code, levels = coded_levels(frame[factor])
    names = [str(level) for level in levels]
    blocks = int(block.max(initial=0)) + 1
    shape = (len(names), (int(context.max(initial=0)) + 1) * blocks)
    place = (code, context * blocks + block)
    values, lost, present = np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool)
    values[place], lost[place], present[place] = frame["_value"], frame["_lost"], True
    reference = names.index(ABSENT) if ABSENT in names else 0
    rows: list[tuple[object, ...]] = []
    for level in range(len(names)):
        if level == reference:
            continue
        paired = present[level] & present[reference]
        change = values[level] - values[reference]
        used = np.flatnonzero(paired & ~np.isnan(change))
        shares, (mean, low, high, p_value) = (used // blocks, used % blocks), (np.nan,) * 4
        if len(used):
            mean, low, high, p_value = clustered_mean(change[used], *shares)
        counted = (len(used), *(len(np.unique(each)) for each in shares), int(paired.sum()) - len(used))
        gone = int((lost[level] | lost[reference])[used].sum())
        rows.append((factor, names[level], names[reference], mean, low, high, *counted, gone, p_value))
    return rows


def clustered_mean(values: Reals, context: Indices, block: Indices) -> tuple[float, float, float, float]:
    """Mean, lower, upper and two-sided p-value of values that share contexts and blocks, at least one value.

    With a single context only blocks count, with a single block only contexts. Values that are all the same have an
    interval of no width; their p-value is 1 for zero and 0 otherwise.
    """
    mean = float(values.mean())
    parts = [_cluster_variance(values - mean, code) for code in (context, block, np.arange(len(values)))]
    (by_context, of_context), (by_block, of_block), (by_pair, of_pair) = parts
    if not of_context and not of_block:
        return mean, np.nan, np.nan, np.nan
    if of_context and of_block:
        variance = max(by_context + by_block - by_pair, by_context, by_block)
        of_pair = max(of_context * of_block, 1)
    else:
        variance, by_pair = max(by_context, by_block), 0.0
    if variance <= (1e-12 * np.abs(values).max()) ** 2:
        return mean, mean, mean, float(mean == 0.0)
    terms = ((by_context, of_context), (by_block, of_block), (by_pair, of_pair))
    freedom = max(1.0, variance**2 / sum(each**2 / max(of, 1) for each, of in terms))
    error = float(np.sqrt(variance))
    half = float(student.ppf((1.0 + LEVEL) / 2.0, freedom)) * error
    return mean, mean - half, mean + half, float(2.0 * student.sf(abs(mean) / error, freedom))


def _cluster_variance(residuals: Reals, code: Indices) -> tuple[float, int]:
    """Variance of the mean when clusters are the units, and its degrees of freedom; 0 and 0 for a single cluster."""
    clusters = len(np.unique(code))
    if clusters < 2:
        return 0.0, 0
    sums = np.bincount(code, weights=residuals)
    return float((sums**2).sum()) / len(residuals) ** 2 * clusters / (clusters - 1), clusters - 1
