"""How long runs stay finite, down to which depth networks train, and from which depth on a symptom shows.

The curve is Kaplan and Meier's (1958): a run that completed or failed is known to have been finite up to its last step
and nothing more. Its 95 % interval is Greenwood's on the log-log scale, point by point (scipy.stats.ecdf).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from bench.analysis.tables import Reals
from bench.analysis.verdicts import Outcome
from bench.rules import PATHOLOGIES
from bench.schema import RunStatus

CONFIDENCE = 0.95
_CURVE = ("step", "surviving", "lower", "upper", "at_risk", "diverged", "runs")


def survival(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Share of runs still finite by group and step, one row at step 0 and at each step at which a run left.

    Where none has diverged yet the lower bound is the exact one for n of n runs at risk, 0.025^(1/n); where none is
    left the upper bound stays that of the step before. Columns: `by` (at least one), step, surviving, lower, upper,
    at_risk (runs finite up to this step), diverged (by this step), runs.
    """
    keys = list(by)
    grouped = judged.groupby(keys, sort=False, observed=True, dropna=False)
    code = grouped.ngroup().to_numpy(np.int64)
    order = np.argsort(code, kind="stable")
    gone = (judged["status"] == RunStatus.DIVERGED).to_numpy()
    last = judged["steps_completed"].fillna(0).to_numpy(np.float64)
    ends = np.cumsum(np.bincount(code))[:-1]
    pieces = [_curve(last[part], gone[part]) for part in np.split(order, ends) if len(part)]
    if not pieces:
        return pd.DataFrame(columns=[*keys, *_CURVE])
    groups = judged[keys].iloc[np.unique(code, return_index=True)[1]]
    repeated = groups.loc[np.repeat(groups.index, [len(piece) for piece in pieces])].reset_index(drop=True)
    curves = pd.DataFrame(np.concatenate(pieces), columns=list(_CURVE))
    return repeated.join(curves.astype(dict.fromkeys(("step", "at_risk", "diverged", "runs"), np.int64)))


def deepest_trainable(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The largest depth at which most runs of a group learned; a group that never did has none.

    "Most" is more than half of all its runs at that depth, lost ones included. A run without an outcome is counted as
    not having learned.

    Returns:
        Columns: `by`, deepest (NaN where none), holes (how many shallower depths than `deepest` did not),
        is_deepest_tried (the limit lies beyond the suite), and learned and runs at `deepest`, or at the shallowest
        depth where there is none.
    """
    keys = list(by)
    learned = (judged["outcome"] == Outcome.LEARNED).astype(int)
    cells = judged[keys].assign(depth=judged["depth"].astype(np.float64), _runs=1, _learned=learned)
    cells = cells.groupby([*keys, "depth"], sort=False, observed=True, dropna=False).sum().reset_index()
    group = cells.groupby(keys, sort=False, observed=True, dropna=False).ngroup().to_numpy()
    order = np.lexsort((cells["depth"], group))
    cells, group = cells.iloc[order].reset_index(drop=True), group[order]
    cells = cells.assign(_group=group, _trained=cells["_learned"] > cells["_runs"] / 2)
    depth, by_group = cells["depth"], cells["_group"]
    deepest = depth.where(cells["_trained"]).groupby(by_group).max()
    shown = deepest.fillna(depth.groupby(by_group).min())
    hole = ~cells["_trained"] & (depth < by_group.map(deepest))
    at = cells[depth == by_group.map(shown)].set_index("_group")
    found = at[keys].assign(
        deepest=deepest,
        holes=hole.groupby(by_group).sum(),
        is_deepest_tried=deepest == depth.groupby(by_group).max(),
        learned=at["_learned"],
        runs=at["_runs"],
    )
    return found.reset_index(drop=True)


def onset(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """For each group and pathology, the least depth from which most of its runs show it at initialization.

    "From which": at this depth and at every greater one tried, more than half of all runs, lost ones included. A group
    that shows a pathology at no depth, or not at the greatest, has no row for it.

    Args:
        judged: what `judge` returned, `depth` a number.
        by: the columns that make a group.

    Returns:
        Columns: `by`, pathology, depth, from_first (whether it is the least depth tried), shown and runs (over these
        depths).
    """
    keys = list(by)
    frame = judged[[*keys, "depth", "symptom_start"]]
    parts = []
    for symptom in PATHOLOGIES:
        flags = frame.assign(_shown=(frame["symptom_start"] == symptom).astype(int), _runs=1)
        cells = flags.groupby([*keys, "depth"], sort=False, observed=True, dropna=False)[["_shown", "_runs"]].sum()
        cells = cells.reset_index().sort_values("depth", ascending=False, kind="stable")
        most = (cells["_shown"] > cells["_runs"] / 2).astype(int)
        group = cells.groupby(keys, sort=False, observed=True, dropna=False).ngroup()
        kept = cells[most.groupby(group).cummin() == 1]
        least = cells.groupby(keys, sort=False, observed=True, dropna=False)["depth"].min().rename("_least")
        found = kept.groupby(keys, sort=False, observed=True, dropna=False).agg(
            depth=("depth", "min"), shown=("_shown", "sum"), runs=("_runs", "sum")
        )
        part = found.join(least).reset_index()
        parts.append(part.assign(pathology=str(symptom), from_first=part["depth"] == part["_least"]))
    columns = [*keys, "pathology", "depth", "from_first", "shown", "runs"]
    order = judged[keys].drop_duplicates().reset_index(drop=True)
    joined = pd.concat(parts, ignore_index=True)[columns]
    ranked = joined.merge(order.reset_index(names="_order"), on=keys, how="left")
    rank = ranked["pathology"].map({str(each): k for k, each in enumerate(PATHOLOGIES)}).astype(np.int64)
    return ranked.assign(_rank=rank).sort_values(["_order", "_rank"], kind="stable", ignore_index=True)[columns]


def symptom_by_depth(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """What most runs of each group show at initialization, depth by depth.

    Args:
        judged: what `judge` returned, `depth` a number.
        by: the columns that make a group.

    Returns:
        Columns: `by`, depth, symptom (the one that more than half of all runs show, lost ones included; null where
        there is none), part (how many show it, 0 where there is none) and runs; depths ascending within a group.
    """
    keys = [*by, "depth"]
    frame = judged[[*keys, "symptom_start"]].astype({"symptom_start": object})
    runs = frame.groupby(keys, sort=False, observed=True, dropna=False).size().rename("runs")
    shown = frame.groupby([*keys, "symptom_start"], sort=False, observed=True, dropna=False).size().rename("part")
    joined = shown.reset_index().merge(runs.reset_index(), on=keys)
    most = joined[(joined["part"] > joined["runs"] / 2) & joined["symptom_start"].notna()]
    found = runs.reset_index().merge(
        most.drop(columns="runs").rename(columns={"symptom_start": "symptom"}), on=keys, how="left"
    )
    order = found.groupby(list(by), sort=False, observed=True, dropna=False).ngroup()
    found = found.assign(part=found["part"].fillna(0).astype(int), _order=order)
    return found.sort_values(["_order", "depth"], kind="stable", ignore_index=True)[[*keys, "symptom", "part", "runs"]]


def _curve(last: Reals, gone: NDArray[np.bool_]) -> Reals:
    """One group's rows, columns as in `_CURVE`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the bounds are undefined at 1 and 0: given below
        curve = ecdf(CensoredData(uncensored=last[gone], right=last[~gone])).sf
        interval = curve.confidence_interval(CONFIDENCE, method="log-log")
    step, surviving = curve.quantiles, curve.probabilities
    lower, upper = interval.low.probabilities.copy(), interval.high.probabilities.copy()
    if step[0] > 0.0:
        step, surviving = np.append(0.0, step), np.append(1.0, surviving)
        lower, upper = np.append(np.nan, lower), np.append(np.nan, upper)
    at_risk = len(last) - np.searchsorted(np.sort(last), step, side="left")
    diverged = np.searchsorted(np.sort(last[gone]), step, side="right")
    outside = (1.0 - CONFIDENCE) / 2.0
    lower = np.where(surviving == 1.0, outside ** (1.0 / at_risk), np.where(surviving == 0.0, 0.0, lower))
    upper = np.where(surviving == 1.0, 1.0, np.where(surviving == 0.0, np.nan, upper))
    if surviving[-1] == 0.0:  # no bound of its own: an earlier one holds later, as the curve only falls
        upper[-1] = upper[-2] if len(upper) > 2 else 1.0 - outside ** (1.0 / len(last))
    return np.stack([step, surviving, lower, upper, at_risk, diverged, np.full(len(step), len(last))], axis=1)
