"""From one number per run to one per replicate: reduced, paired between two sides, averaged; and so are their bounds.

A censored or lost run has bounds where others have a value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bench.analysis.claims.tuned import at_best, varied
from bench.analysis.quantities import Measurements
from bench.analysis.tables import Reals
from bench.quantities import Quantity
from bench.schema import FACTOR_COLUMNS, RunStatus
from bench.suite.claims import Cells, Part, Reduction

Triple = tuple[float, float, float]  # value, low, high
OF, AGAINST, PAIRED = "of", "against", "of less against"
BOUNDS = ["value", "low", "high"]


@dataclass(frozen=True)
class Units:
    """What a part is judged by.

    Attributes:
        runs: its runs at their best levels, by run_id: side, replicate, the varied factors, value, low, high and what
            became of them (lost, censored, unmeasured).
        units: side, replicate, value, low, high: a row per replicate of each side, and of their differences (of logs
            where the part compares a ratio).
        best: the level that was best, by network.
        found: how many of the planned runs the tables hold.
        lost: of the judged runs, those that diverged or failed.
        excluded: those of them that the part leaves out.
        unpaired: runs' means without a partner on the other side.
        compared: whether there are two sides.
    """

    runs: pd.DataFrame
    units: pd.DataFrame
    best: pd.DataFrame
    found: int
    lost: int
    excluded: int
    unpaired: int
    compared: bool

    @property
    def judged(self) -> pd.DataFrame:
        """The rows on which the verdict rests: the differences, or the one side's."""
        return self.units[self.units["side"] == (PAIRED if self.compared else OF)]


def units_of(measured: Measurements, part: Part) -> Units:
    """Number, best levels, reductions and pairs of a part."""
    frame = _sided(measured, part)
    found = len(frame)
    best = pd.DataFrame(columns=["side", "network", "factor", "level", "tried", "on_edge"])
    if part.best and len(frame):
        frame, best = at_best(measured, part, frame)
    kept = frame[frame["kept"]]
    lost, excluded = int(frame["lost"].sum()), len(frame) - len(kept)
    context = [name for name in varied(kept) if name not in part.best]
    rows, left = _reduce(kept, part, context)
    units, unpaired = _paired(rows, part, left)
    told = frame[["side", "replicate", *varied(frame), *BOUNDS, "lost", "censored", "unmeasured", "kept"]]
    return Units(told, units, best, found, lost, excluded, unpaired, part.against is not None)


def _sided(measured: Measurements, part: Part) -> pd.DataFrame:
    """The part's runs with their side and numbers, by run_id."""
    sides = [(OF, part.of)] + ([(AGAINST, part.against)] if part.against is not None else [])
    all_cells = [cells for _, cells in sides] + [cells for reduction in part.reduce for _, cells in reduction.rows]
    asked = {*measured.varied, *part.best, *(name for cells in all_cells for name in cells)}
    columns = ["replicate", *(name for name in FACTOR_COLUMNS if name in asked)]
    frame = pd.DataFrame({name: measured.run_column(name) for name in columns}).join(run_numbers(measured, part))
    return pd.concat([frame[matching(frame, cells)].assign(side=side) for side, cells in sides])


def _reduce(frame: pd.DataFrame, part: Part, context: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The frame after all reductions, and the factors that are left."""
    rows, left = frame, context
    for place, reduction in enumerate(part.reduce):
        if rows.empty:
            break
        left = [name for name in left if name not in reduction.factors]
        # A list of points may name a factor that has one level here, and so is not in the context.
        later = [name for each in part.reduce[place + 1 :] for name in each.factors if name not in reduction.factors]
        rows = reduced(rows, reduction, list(dict.fromkeys(["side", "replicate", *left, *later])))
    return rows, left


def _paired(rows: pd.DataFrame, part: Part, context: list[str]) -> tuple[pd.DataFrame, int]:
    """A row per replicate and side, and per pair of sides; and how many means had no partner."""
    columns = ["side", "replicate", *BOUNDS]
    if rows.empty:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(BOUNDS, np.float64)), 0
    units = averages(rows, ["side", "replicate"])
    if part.against is None:
        return units[columns], 0
    own = {name for name in {*part.of, *part.against} if part.of.get(name) != part.against.get(name)}
    keys = ["replicate", *(name for name in context if name not in own)]
    means = averages(rows, ["side", *keys])
    if part.compare == "ratio":
        means = means.assign(**{name: ln(means[name]) for name in BOUNDS})
        means = means.assign(low=means["low"].fillna(-np.inf), high=means["high"].fillna(np.inf))
    of, against = (means[means["side"] == side].drop(columns="side") for side in (OF, AGAINST))
    both = of.merge(against, on=keys, suffixes=("", "_against"))
    differences = both[keys].assign(
        side=PAIRED,
        value=both["value"] - both["value_against"],
        low=(both["low"] - both["high_against"]).fillna(-np.inf),
        high=(both["high"] - both["low_against"]).fillna(np.inf),
    )
    unpaired = len(of) + len(against) - 2 * len(both)
    if differences.empty:
        return units[columns], unpaired
    return pd.concat([units, averages(differences, ["side", "replicate"])])[columns], unpaired


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
        arrays = [group[name].to_numpy(np.float64) for name in BOUNDS]
        rows.append((*key, *take(reduction.take, x_of(group["_x"].to_numpy(np.float64)), *arrays)))
    return pd.DataFrame(rows, columns=[*keys, *BOUNDS])


def averages(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The mean of value, low and high by `keys`. A run without a value is left out of the value, not of the bounds."""
    if not frame.duplicated(keys).any():  # one run each, as most are: nothing to average
        return frame[[*keys, *BOUNDS]].reset_index(drop=True)
    grouped = frame.groupby(keys, sort=False, observed=True, dropna=False)[BOUNDS]
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
    function = getattr(np, how)  # mean, median, min or max
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


def run_numbers(measured: Measurements, part: Part) -> pd.DataFrame:
    """The number of each run, by `run_id` in the order of `runs`.

    Columns: `value`, NaN where nothing is known; `low` and `high`, the bounds of what it may be, equal to the value
    where it was measured; `lost`, `censored` and `unmeasured` (bool); `kept`, False for a run that `lost` excludes.
    """
    number = part.number
    lost = measured.run_column("status") != RunStatus.COMPLETED
    found = _measured(measured, number, lost)
    unmeasured = found["value"].isna()
    kept = pd.Series(True, index=found.index)
    if not number.known_at_start:
        # At a step by its number a run may have been measured before it was lost.
        gone = lost & unmeasured if isinstance(number.step, int) else lost
        found, kept = _substitute(found, part.lost, gone, measured)
    unknown = found["value"].isna()
    bounds = (0.0, 1.0) if number.at_least is not None else (-np.inf, np.inf)
    found = found.assign(low=found["low"].mask(unknown, bounds[0]), high=found["high"].mask(unknown, bounds[1]))
    if part.ln:
        found = found.assign(**{name: ln(found[name]) for name in BOUNDS})
        # ln of a number below 0 is not known, nor is it bounded.
        found = found.assign(low=found["low"].fillna(-np.inf), high=found["high"].fillna(np.inf))
    return found.assign(lost=lost, unmeasured=unmeasured & ~lost, kept=kept)


def _measured(measured: Measurements, number: Quantity, lost: pd.Series) -> pd.DataFrame:
    """value, low, high and censored, as far as the tables tell."""
    values = measured.of(number)
    if number.counts_lags:
        first = replace(number, name="", of=(("lag", 1.0),), slice=replace(number.slice, lag="first", horizon=None))
        longest = measured.of(replace(first, take="mean"))
        never = np.isinf(values)
        stands = values.mask(never, longest)
        known = pd.DataFrame({"value": stands, "low": stands, "high": stands.mask(never, np.inf)})
        return known.assign(censored=never)
    if number.counts_steps:
        return _censor(values.replace(np.inf, np.nan), measured.run_column("steps"))
    if number.at_least is not None:
        values = values.mask(lost, 0.0)
    return pd.DataFrame(dict.fromkeys(BOUNDS, values)).assign(censored=False)


def _censor(reached: pd.Series, planned: pd.Series) -> pd.DataFrame:
    """A run that did not get there needs more steps than were planned: one that diverged never would have."""
    never = reached.isna()
    stands = reached.mask(never, planned.astype(np.float64))
    return pd.DataFrame({"value": stands, "low": stands, "high": stands.mask(never, np.inf), "censored": never})


def _substitute(
    found: pd.DataFrame, rule: str | float, lost: pd.Series, measured: Measurements
) -> tuple[pd.DataFrame, pd.Series]:
    """The numbers with what stands for lost runs, and which runs are kept."""
    kept = pd.Series(True, index=found.index)
    if rule == "measured":
        return found, kept
    if rule == "excluded":
        return found, ~lost
    stands = measured.chance_accuracy if rule == "chance" else np.nan if rule == "unknown" else rule
    return found.assign(**{name: found[name].mask(lost, stands) for name in BOUNDS}), kept


def ln(values: pd.Series) -> pd.Series:
    """The natural logarithm; NaN of a number below 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)
