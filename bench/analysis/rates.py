"""Which learning rate is best for each network, and from which one on it no longer learns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.comparison import at_best, factor_columns
from bench.analysis.recipes import RATE
from bench.analysis.verdicts import Outcome

COLUMNS = ["best", "best_learned", "best_runs", "kills", "kills_learned", "kills_runs"]


def rates(judged: pd.DataFrame) -> pd.DataFrame:
    """One row for each network (a combination of all other factors) that was run at two rates or more.

    The best rate is that of `at_best`. A rate kills if it is greater, if most runs learned at the best and at every
    rate below it from there on, and if at it and at every greater one tried most did not; failed runs count as such.

    Args:
        judged: what `judge` returned, `learning_rate` a number.

    Returns:
        The varied factors but the rate, then `best` with how many of its runs learned, and `kills` with the same (NaN
        and 0 where no rate tried kills).
    """
    others = [name for name in factor_columns(judged) if name != RATE]
    keys = others or ["_all"]
    frame = judged.assign(_all="", _learned=(judged["outcome"] == Outcome.LEARNED).astype(int), _runs=1)
    cells = frame.groupby([*keys, RATE], sort=False, observed=True, dropna=False)[["_learned", "_runs"]].sum()
    cells = cells.reset_index().sort_values(RATE, kind="stable")
    best = at_best(judged).assign(_all="").groupby(keys, sort=False, observed=True, dropna=False)[RATE].first()
    rows = []
    for key, own in cells.groupby(keys, sort=False, observed=True, dropna=False):
        if len(own) < 2:
            continue
        tried, learned, runs = (own[name].to_numpy() for name in (RATE, "_learned", "_runs"))
        at = int(np.flatnonzero(tried == best[key if len(keys) > 1 else key[0]])[0])
        most = learned > runs / 2
        dead = _first_dead(most, at)
        kills = (tried[dead], learned[dead], runs[dead]) if dead is not None else (np.nan, 0, 0)
        rows.append((*key, tried[at], learned[at], runs[at], *kills))
    found = pd.DataFrame(rows, columns=[*keys, *COLUMNS])
    return found[[*others, *COLUMNS]]


def _first_dead(most: np.ndarray, best: int) -> int | None:
    """The place from which on nothing learns, where all from the best up to it did."""
    dead = best + 1
    while dead < len(most) and most[dead]:
        dead += 1
    return dead if most[best] and dead < len(most) and not most[dead:].any() else None
