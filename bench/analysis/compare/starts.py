"""Whether runs with one seed start alike: what stands in the tables before anything is learned.

The same draw and the same arithmetic give the same first loss, gradients and update, but for rounding. Where they are
others, weights are drawn otherwise, or something is computed otherwise: which levels have such pairs says where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.compare.pairs import Pairs
from bench.analysis.compare.responses import MOST_DECADES


@dataclass(frozen=True)
class Start:
    """A number of a run's first recorded step: its column, what it is, and by how many decades rounding may move it.

    One that is not of the `first` step shows what is computed otherwise, and says nothing of the draws.
    """

    name: str
    column: str
    label: str
    tolerance: float
    log: bool = False
    first: bool = True


# Rounding of float32 is amplified where signals explode; at these it would have to be by 10⁴ and more.
STARTS = (
    Start("loss", "loss_start", "first loss", 1e-3, log=True),
    Start("signal", "signal_ratio_start", "gradient ratio", 0.01),
    Start("time_signal", "time_ratio_start", "gradient ratio along time", 0.01),
    Start("update", "update_ratio_start", "first update", 0.01, log=True),
    Start("early", "loss_early", "loss after 10 steps", 1e-3, log=True, first=False),
)
COLUMNS = ("unit", "pairs", "otherwise", *(each.name for each in STARTS))


def otherwise(pairs: Pairs) -> dict[str, np.ndarray]:
    """Of each number that both sides recorded, which pairs' are further apart than rounding makes them."""
    return {
        each.name: _apart(each, pairs)
        for each in STARTS
        if each.column in pairs.base and each.column in pairs.candidate
    }


def share_of_other_draws(apart: dict[str, np.ndarray]) -> float:
    """The share of pairs that differ in a number of the first step itself."""
    first = [apart[each.name] for each in STARTS if each.first and each.name in apart]
    return float(np.logical_or.reduce(first).mean()) if first else 0.0


def start_table(pairs: Pairs, apart: dict[str, np.ndarray], units: dict[str, np.ndarray]) -> pd.DataFrame:
    """`COLUMNS`: of all pairs (the unit "") and of each level, how many start otherwise, and by what."""
    either = np.logical_or.reduce([np.zeros(len(pairs), bool), *apart.values()])
    rows = []
    for unit, mask in ({"": np.ones(len(pairs), bool)} | units).items():
        by = [int((apart[each.name] & mask).sum()) if each.name in apart else 0 for each in STARTS]
        rows.append((unit, int(mask.sum()), int((either & mask).sum()), *by))
    return pd.DataFrame(rows, columns=COLUMNS)


def _apart(start: Start, pairs: Pairs) -> np.ndarray:
    base, candidate = (side[start.column].to_numpy(np.float64) for side in (pairs.base, pairs.candidate))
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, theirs = (np.log10(each) if start.log else each for each in (base, candidate))
        ours, theirs = (np.clip(each, -MOST_DECADES, MOST_DECADES) for each in (ours, theirs))
        return np.asarray((np.abs(ours - theirs) > start.tolerance) | (np.isnan(ours) != np.isnan(theirs)))
