"""Many values along a line become one, and so do their bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from bench.suite.claims import Cells, Reduction

Reals = NDArray[np.float64]
Triple = tuple[float, float, float]  # value, low, high
_FUNCTIONS: dict[str, Callable[[Reals], np.float64]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
}


def matching(frame: pd.DataFrame, cells: Cells) -> pd.Series:
    """Which rows have, of each factor that is named, one of the levels."""
    found = pd.Series(True, index=frame.index)
    for factor, levels in cells.items():
        found &= frame[factor].isin(list(levels))
    return found


def reduced(frame: pd.DataFrame, reduction: Reduction, keys: list[str]) -> pd.DataFrame:
    """One row per combination of `keys`, with value, low and high; runs outside the reduction's rows are left out.

    Runs of a combination that stand at the same place are averaged first.
    """
    placed = pd.concat([frame[matching(frame, cells)].assign(_x=x) for x, cells in reduction.rows], ignore_index=True)
    averaged = averages(placed, [*keys, "_x"])
    x_of = np.log if reduction.log else np.asarray
    rows = []
    for key, group in averaged.groupby(keys, sort=False, observed=True, dropna=False):
        arrays = [group[name].to_numpy(np.float64) for name in ("value", "low", "high")]
        rows.append((*key, *take(reduction.take, x_of(group["_x"].to_numpy(np.float64)), *arrays)))
    return pd.DataFrame(rows, columns=[*keys, "value", "low", "high"])


def averages(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The mean of value, low and high by `keys`. A run without a value is left out of the value, not of the bounds."""
    if not frame.duplicated(keys).any():  # one run each, as most are: nothing to average
        return frame[[*keys, "value", "low", "high"]].reset_index(drop=True)
    grouped = frame.groupby(keys, sort=False, observed=True, dropna=False)[["value", "low", "high"]]
    found = grouped.mean().reset_index()
    return found.assign(low=found["low"].fillna(-np.inf), high=found["high"].fillna(np.inf))


def take(how: str, x: Reals, value: Reals, low: Reals, high: Reals) -> Triple:
    """One reduction of values at x: its value and the bounds of what it may be.

    A slope is a weighted sum, so its bounds take each value's lower or upper bound by the sign of its weight. Ranks
    take censored values where they stand, as ties; with a value that is not known they may be anything from -1 to 1.
    """
    known = ~np.isnan(value)
    if how == "slope":
        return _slope(x, value, low, high)
    if how == "rank_correlation":
        return _rank_correlation(x, value)
    if how in ("largest", "smallest"):
        sign = 1.0 if how == "largest" else -1.0
        found, lowest, highest = _furthest(sign * x, value, low, high)
        ends = sorted((sign * lowest, sign * highest))
        return sign * found, ends[0], ends[1]
    function = _FUNCTIONS[how]
    with np.errstate(invalid="ignore"):
        middle = float(function(value[known])) if known.any() else np.nan
        below, above = float(function(low)), float(function(high))
    return middle, -np.inf if np.isnan(below) else below, np.inf if np.isnan(above) else above


def _slope(x: Reals, value: Reals, low: Reals, high: Reals) -> Triple:
    usable = np.isfinite(value)
    middle = float(_weights(x[usable]) @ value[usable]) if len(np.unique(x[usable])) > 1 else np.nan
    if len(np.unique(x)) < 2:
        return np.nan, -np.inf, np.inf
    weights = _weights(x)
    counts = weights != 0.0
    weights, low, high = weights[counts], low[counts], high[counts]
    below = float(np.sum(weights * np.where(weights > 0.0, low, high)))
    above = float(np.sum(weights * np.where(weights > 0.0, high, low)))
    return middle, -np.inf if np.isnan(below) else below, np.inf if np.isnan(above) else above


def _weights(x: Reals) -> Reals:
    """Of least squares: the slope is their product with the values."""
    centred = x - x.mean()
    return np.asarray(centred / (centred @ centred))


def _rank_correlation(x: Reals, value: Reals) -> Triple:
    known = ~np.isnan(value)
    if not known.all() or len(x) < 2:
        return np.nan, -1.0, 1.0
    if np.ptp(np.nan_to_num(value)) == 0.0:
        return 0.0, 0.0, 0.0
    rho = float(spearmanr(x, value).statistic)
    return rho, rho, rho


def _furthest(x: Reals, value: Reals, low: Reals, high: Reals) -> Triple:
    """The largest x with a value of 1/2 or more: beyond the last x nothing is known, nor is it below the first."""
    if np.isnan(value).any():
        return np.nan, -np.inf, np.inf
    there = x[value >= 0.5]
    if not len(there):
        return float(x.min()), -np.inf, float(x.min())
    found = float(there.max())
    return found, found, np.inf if found == x.max() else found
