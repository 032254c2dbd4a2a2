"""How much of a response's variance each factor explains, alone and in pairs, in a full factorial design.

In a balanced product of factors the variance of a response splits exactly: a factor's main effect is the variance of
its levels' means, an interaction of two is the variance of the means over both less the two main effects, and what is
left is higher interactions and the draw (Montgomery, Design and Analysis of Experiments, ch. 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from bench.analysis.estimates import with_lost_counted
from bench.analysis.responses import Response

COLUMNS = ["factors", "share", "lower", "upper"]
REST = "everything else"


def is_full_factorial(judged: pd.DataFrame, varied: Sequence[str]) -> bool:
    """Whether every combination of the varied factors' levels was run, each with the same replicates."""
    if judged.empty or not varied:
        return False
    combinations_ = judged.groupby([*varied, "replicate"], observed=True).size()
    expected = judged["replicate"].nunique()
    for factor in varied:
        expected *= judged[factor].nunique()
    return bool(len(combinations_) == len(judged) == expected)


def variance_shares(judged: pd.DataFrame, varied: Sequence[str], response: Response) -> pd.DataFrame:
    """Shares of a response's variance, the largest first, `everything else` last; empty without a full factorial.

    Every run counts, a lost one by the response's rule. `lower` and `upper` are the smallest and largest share when
    one replicate is left out; with fewer than two replicates they are the share itself. Columns: factors (one or two
    names joined by " × "), share, lower, upper.
    """
    if not is_full_factorial(judged, varied):
        return pd.DataFrame(columns=COLUMNS)
    frame = judged[[*varied, "replicate"]].assign(value=with_lost_counted(judged, response))
    if frame["value"].isna().any() or not frame["value"].abs().max() < float("inf"):
        return pd.DataFrame(columns=COLUMNS)
    whole = _shares(frame, varied)
    replicates = frame["replicate"].unique()
    leaving = [_shares(frame[frame["replicate"] != r], varied) for r in replicates] if len(replicates) > 1 else [whole]
    spread = pd.concat(leaving, axis=1)
    table = pd.DataFrame({"share": whole, "lower": spread.min(axis=1), "upper": spread.max(axis=1)})
    named = table.rename_axis("factors").reset_index()
    rest = named["factors"] == REST
    return pd.concat(
        [named[~rest].sort_values("share", ascending=False, kind="stable"), named[rest]], ignore_index=True
    )


def _shares(frame: pd.DataFrame, varied: Sequence[str]) -> pd.Series:
    total = float(frame["value"].var(ddof=0))
    if total == 0.0:
        return pd.Series(dtype=float)
    main = {factor: _variance_of_means(frame, [factor]) for factor in varied}
    parts = dict(main)
    for one, other in combinations(varied, 2):
        parts[f"{one} × {other}"] = _variance_of_means(frame, [one, other]) - main[one] - main[other]
    parts[REST] = total - sum(parts.values())
    return pd.Series({name: max(0.0, part) / total for name, part in parts.items()})


def _variance_of_means(frame: pd.DataFrame, by: list[str]) -> float:
    return float(frame.groupby(by, observed=True)["value"].mean().var(ddof=0))
