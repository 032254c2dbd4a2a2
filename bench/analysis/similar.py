"""Runs that differ from one by a single change: which of them trained says what would have to be changed first.

Optimizer and learning rate count as one change, as in `recipes`. Only the same replicate counts: it has the same order
of data and, as far as levels allow, the same draw of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from bench.analysis.quantities import seconds_per_step
from bench.analysis.recipes import RATE
from bench.analysis.verdicts import Outcome

COLUMNS = ("run_id", "factors", "levels", "became", "score", "cost")


class Became(StrEnum):
    """What became of a run, the best first."""

    TRAINED = "trained"
    LEARNED = "learned"
    NOT_LEARNED = "did not learn"
    UNMEASURED = "not measured"
    DIVERGED = "diverged"
    FAILED = "failed"


WORDS = {
    Outcome.LEARNED: Became.LEARNED,
    Outcome.NOT_LEARNED: Became.NOT_LEARNED,
    Outcome.DIVERGED: Became.DIVERGED,
    Outcome.FAILED: Became.FAILED,
    Outcome.UNMEASURED: Became.UNMEASURED,
}


def became(runs: pd.DataFrame) -> pd.Series:
    """What became of each run: its outcome, or that it trained; `runs` are `Recipes.runs`."""
    words = runs["outcome"].map(WORDS)
    return words.mask(runs["trained"].to_numpy(bool), Became.TRAINED)


def similar(runs: pd.DataFrame, varied: Sequence[str], run_id: str, timings: pd.DataFrame) -> pd.DataFrame:
    """Runs that differ from one by a change, what became of each, and its time per step over the run's own.

    Args:
        runs: `Recipes.runs`, with every factor of `varied` as labels.
        varied: the factors that vary.
        run_id: the run.
        timings: the table of that name.

    Returns:
        One row a run: `COLUMNS`, of which `factors` and `levels` are tuples; those that came furthest first, then by
        score, equal ones in the table's order.
    """
    own = runs[runs["run_id"].astype(str) == run_id].iloc[0]
    others = runs[(runs["replicate"] == own["replicate"]) & (runs["run_id"].astype(str) != run_id)]
    differs = pd.DataFrame({name: others[name].astype(str) != str(own[name]) for name in varied}, index=others.index)
    update = [name for name in ("optimizer", RATE) if name in differs]
    changes = differs.drop(columns=update).sum(axis=1) + (differs[update].any(axis=1) if update else 0)
    near = others[changes.to_numpy() == 1]
    changed = [[name for name in varied if differs.at[index, name]] for index in near.index]
    seconds = seconds_per_step(timings)
    mine = float(seconds.get(own["cohort"], np.nan))
    found = pd.DataFrame(
        {
            "run_id": near["run_id"].astype(str),
            "factors": [tuple(names) for names in changed],
            "levels": [tuple(str(near.at[i, n]) for n in names) for i, names in zip(near.index, changed, strict=True)],
            "became": became(near),
            "score": near["score"],
            "cost": near["cohort"].map(seconds).astype(np.float64) / (mine if mine > 0 else np.nan),
        }
    )
    rank = found["became"].map({each: place for place, each in enumerate(Became)})
    worse = found["score"] if bool(own["values"]) else -found["score"]
    return found.iloc[np.lexsort((worse.fillna(np.inf), rank))].reset_index(drop=True)
