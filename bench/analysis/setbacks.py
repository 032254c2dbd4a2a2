"""Where a change helps one network and harms another: the same change, network by network, in every replicate.

A mean over networks hides that batch normalization may save sigmoid and cost relu. A network here is what stays the
same, the other levels; it is *raised* by a change if its score rises in every replicate and by the margin in the
median, and *lowered* if it falls so. By chance alone three replicates all fall in one of eight networks: the margin and
the counts beside it say whether it is more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.estimates import with_lost_counted
from bench.analysis.learned import loss_decides
from bench.analysis.remedies import TREATMENTS
from bench.analysis.tables import coded_levels
from bench.factors import absent_of
from bench.quantities import quantity

MARGIN = 0.05  # of accuracy; of values it is twice that part of the naive loss
FEWEST = 2  # replicates: one alone cannot agree with another
COLUMNS = ["factor", "level", "reference", "at", "networks", "raised", "lowered", "from", "to", "worst"]


def setbacks(judged: pd.DataFrame, varied: Sequence[str], at: str = "activation") -> pd.DataFrame:
    """One row for each change from a factor's reference level, by the level of `at`; the most lowered first.

    The reference is `none` where there is one, else the first level. The score is the final validation accuracy, a
    lost run counting as chance; of values it is the part of the naive loss that is gone, a lost run having none.

    Returns:
        `networks` that were run with both levels, in how many the change `raised` and `lowered` the score, and of the
        one lowered most the median score without and with it (`from`, `to`; NaN where none was) and which it is
        (`worst`: its other varied factors and levels).
    """
    scored = _scored(judged)
    if scored is None:
        return pd.DataFrame(columns=COLUMNS)
    frame = judged[[*varied, "replicate"]].assign(_score=scored, _twice=loss_decides(judged))
    rows = [row for factor in varied if factor in TREATMENTS for row in _of(frame, factor, varied, at)]
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.sort_values("lowered", ascending=False, kind="stable", ignore_index=True)


def _scored(judged: pd.DataFrame) -> pd.Series | None:
    """Accuracy, or the part of the naive loss that is gone; None where nothing was measured."""
    accuracy = with_lost_counted(judged, quantity("final_validation_accuracy"))
    gone = 1.0 - judged["final_validation_loss"].astype(np.float64) / judged["naive_loss"].astype(np.float64)
    gone = gone.mask(judged["status"] != "completed", 0.0).clip(lower=0.0)
    score = accuracy.where(judged["chance_accuracy"].notna() & ~loss_decides(judged), gone)
    return score if score.notna().any() else None


def _of(frame: pd.DataFrame, factor: str, varied: Sequence[str], at: str) -> list[tuple[object, ...]]:
    levels = [str(level) for level in coded_levels(frame[factor])[1]]
    reference = absent_of(levels)
    others = [name for name in varied if name != factor]
    named = frame.assign(**{factor: frame[factor].astype(str)})
    before = named[named[factor] == reference].drop(columns=factor)
    rows: list[tuple[object, ...]] = []
    for level in levels:
        if level == reference:
            continue
        pairs = before.merge(named[named[factor] == level], on=[*others, "replicate"], suffixes=("", "_new"))
        pairs = pairs.dropna(subset=["_score", "_score_new"])
        change = pairs["_score_new"] - pairs["_score"]
        margin = MARGIN * (1.0 + pairs["_twice"])
        pairs = pairs.assign(_up=change > 0.0, _down=change < 0.0, _change=change, _margin=margin)
        by = others or ["_twice"]
        grouped = pairs.groupby(by, sort=False, observed=True)
        cells = grouped.agg(
            n=("_change", "size"), up=("_up", "all"), down=("_down", "all"), change=("_change", "median"),
            margin=("_margin", "first"), old=("_score", "median"), new=("_score_new", "median"),
        )  # fmt: skip
        cells = cells[cells["n"] >= FEWEST].reset_index()
        key = cells[at].astype(str) if at in others else pd.Series("", index=cells.index)
        for name, own in cells.groupby(key, sort=False):
            raised = own[own["up"] & (own["change"] >= own["margin"])]
            lowered = own[own["down"] & (own["change"] <= -own["margin"])]
            worst = lowered.loc[lowered["change"].idxmin()] if len(lowered) else None
            which = {each: str(worst[each]) for each in others} if worst is not None else {}
            ends = (float(worst["old"]), float(worst["new"])) if worst is not None else (np.nan, np.nan)
            rows.append((factor, level, reference, str(name), len(own), len(raised), len(lowered), *ends, which))
    return rows
