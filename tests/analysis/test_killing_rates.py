"""The best rate and the one that kills, on hand-made outcomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.analysis import Outcome, rates

TRIED = (0.001, 0.01, 0.1)


def judged(learned: tuple[int, ...], best: int) -> pd.DataFrame:
    """Of three replicates so many learned at each rate; the loss is lowest at the best."""
    rows = [
        (depth, rate, Outcome.LEARNED if replicate < learned[place] else Outcome.DIVERGED, 1.0 + (place != best))
        for depth in (2, 4)
        for place, rate in enumerate(TRIED if depth == 4 else TRIED[:1])
        for replicate in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["depth", "learning_rate", "outcome", "best_validation_loss"])
    return frame.assign(status="completed", chance_accuracy=0.1)


@pytest.mark.parametrize(
    ("learned", "best", "kills"),
    [((3, 3, 0), 0, 0.1), ((3, 1, 0), 0, 0.01), ((3, 1, 3), 0, np.nan), ((0, 0, 0), 1, np.nan), ((0, 0, 3), 2, np.nan)],
)
def test_a_rate_kills_where_it_and_all_greater_ones_fail_what_learned_below(
    learned: tuple[int, ...], best: int, kills: float
) -> None:
    (row,) = rates(judged(learned, best)).to_dict("records")  # depth 2 has one rate: nothing to compare
    assert (row["depth"], row["best"], row["best_learned"], row["best_runs"]) == (4, TRIED[best], learned[best], 3)
    assert row["kills"] == pytest.approx(kills, nan_ok=True)
