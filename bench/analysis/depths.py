"""What depth does to networks that are else alike: the loss that training ends with at the best of the rates tried.

Degradation is a loss on the training rows that rises with depth: a deeper network could leave its extra layers out (He
et al. 2015, arXiv:1512.03385). So rates are chosen anew at each depth, and the training sample's loss counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.estimates import with_lost_counted
from bench.analysis.recipes import RATE
from bench.analysis.verdicts import Outcome
from bench.quantities import quantity
from bench.schema import RunStatus
from bench.text import exactly

TUNED = (RATE, "optimizer", "steps")  # chosen anew for each depth


def best_by_depth(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row for each network and depth, for networks that were trained at two depths at least.

    Columns: `by`; depth; median, lower and upper, the median and range over replicates of the final training loss at
    the rate with the lowest median, a lost run counting as infinite; rate, in words; naive, the best constant answer's
    loss; runs, learned, diverged and failed, counted over all rates; tried, how many rates there were.

    Args:
        judged: the runs, as `judge` returned them, with `by` and the tuned factors as labels or numbers.
        by: the factors that vary but depth and `TUNED`.
    """
    if "steps" in judged:  # a run of one step measures the start
        judged = judged[judged["steps"].astype(str).astype(np.float64) > 1.0]
    loss = with_lost_counted(judged, quantity("final_train_loss")).astype(np.float64)
    runs = judged.assign(
        _loss=loss, _depth=judged["depth"].astype(str).astype(np.float64),
        _learned=judged["outcome"] == Outcome.LEARNED,
        _diverged=judged["status"] == RunStatus.DIVERGED, _failed=judged["status"] == RunStatus.FAILED,
        _tuned=[exactly(each) if isinstance(each, float) else str(each) for each in judged[RATE].tolist()],
    )  # fmt: skip
    tuned = [name for name in TUNED if name in runs and name != RATE]
    keys = [*by, "_depth"]
    each = runs[runs["_loss"].notna()].groupby([*keys, *tuned, "_tuned"], observed=True, sort=True)["_loss"]
    rates = each.agg(median="median", lower="min", upper="max").reset_index()
    best = rates.sort_values("median", kind="stable").drop_duplicates(keys)
    grouped = runs.groupby(keys, observed=True, sort=True)
    counted = grouped.agg(
        runs=("_loss", "size"), learned=("_learned", "sum"), diverged=("_diverged", "sum"), failed=("_failed", "sum"),
        naive=("naive_loss", "median"), tried=("_tuned", "nunique"),
    ).reset_index()  # fmt: skip
    found = best.merge(counted, on=keys, how="left").rename(columns={"_depth": "depth", "_tuned": "rate"})
    found = found.sort_values([*by, "depth"], kind="stable", ignore_index=True)
    several = (
        found.groupby(list(by), observed=True)["depth"].transform("size") if by else pd.Series(len(found), found.index)
    )
    names = [
        *by,
        "depth",
        "median",
        "lower",
        "upper",
        "rate",
        "naive",
        "runs",
        "learned",
        "diverged",
        "failed",
        "tried",
    ]
    return found.loc[several > 1, names].reset_index(drop=True)


def degraded(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Of each network its shallowest and deepest median: `by`, shallow, deep, first, last, naive and rise.

    `rise` is the last loss less the first over the best constant answer's, infinite where the deepest was lost.
    """
    grouped = [(key, own) for key, own in rows.groupby(list(by), observed=True, sort=False)] if by else [((), rows)]
    found = []
    for key, own in grouped:
        first, last = own.iloc[0], own.iloc[-1]
        with np.errstate(invalid="ignore"):
            rise = (last["median"] - first["median"]) / max(float(first["naive"]), 1e-12)
        keys = key if isinstance(key, tuple) else (key,)
        found.append(
            dict(zip(by, keys, strict=True))
            | {"shallow": first["depth"], "deep": last["depth"], "first": first["median"], "last": last["median"]}
            | {"naive": first["naive"], "rise": 0.0 if np.isnan(rise) else rise}
        )
    return pd.DataFrame(found)
