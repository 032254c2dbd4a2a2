"""Where a change helps one network and harms another, on hand-made scores."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis import setbacks

VARIED = ["depth", "activation", "normalization"]
# Of each replicate without and with batch normalization.
SCORES = {
    (4, "relu"): ((0.90, 0.90), (0.91, 0.91)),  # rises, by too little
    (8, "relu"): ((0.50, 0.60), (0.10, 0.20)),  # falls
    (4, "tanh"): ((0.90, 0.90), (0.10, 0.95)),  # falls in one replicate only
    (8, "tanh"): ((0.10, np.nan), (0.90, 0.90)),  # rises; the lost run counts as chance
}


def judged(chance: float = 0.1, **columns: object) -> pd.DataFrame:
    rows = [
        (depth, activation, normalization, replicate, SCORES[depth, activation][side][replicate])
        for (depth, activation), (side, normalization), replicate in product(
            SCORES, enumerate(("none", "batch_normalization")), (0, 1)
        )
    ]
    frame = pd.DataFrame(rows, columns=[*VARIED, "replicate", "final_validation_accuracy"])
    lost = frame["final_validation_accuracy"].isna()
    status = lost.map({True: "diverged", False: "completed"})
    return frame.assign(status=status, chance_accuracy=chance, naive_loss=np.nan, final_validation_loss=np.nan) \
        .assign(**columns)  # fmt: skip


def test_a_network_is_lowered_or_raised_where_every_replicate_agrees_and_the_median_moves() -> None:
    relu, tanh = setbacks(judged(), VARIED).query("factor == 'normalization'").to_dict("records")
    counts = ("at", "reference", "level", "networks", "raised", "lowered")
    assert [relu[name] for name in counts] == ["relu", "none", "batch_normalization", 2, 0, 1]
    assert [tanh[name] for name in counts] == ["tanh", "none", "batch_normalization", 2, 1, 0]
    assert (relu["from"], relu["to"], relu["worst"]) == (
        0.55,
        pytest.approx(0.15),
        {"depth": "8", "activation": "relu"},
    )
    assert np.isnan(tanh["from"]) and tanh["worst"] == {}


def test_of_values_the_score_is_the_share_of_the_naive_loss_that_is_gone() -> None:
    frame = judged()
    loss = 2.0 * (1.0 - frame["final_validation_accuracy"])
    values = frame.assign(chance_accuracy=np.nan, final_validation_accuracy=np.nan, naive_loss=2.0)
    found = setbacks(values.assign(final_validation_loss=loss), VARIED)
    relu = found[(found["factor"] == "normalization") & (found["at"] == "relu")].iloc[0]
    assert (relu["lowered"], relu["from"], relu["to"]) == (1, pytest.approx(0.55), pytest.approx(0.15))


@pytest.mark.parametrize("frame", [judged().query("replicate == 0"), judged(chance=np.nan)])
def test_one_replicate_or_no_score_tells_nothing(frame: pd.DataFrame) -> None:
    found = setbacks(frame, VARIED)
    assert found[(found["lowered"] > 0) | (found["raised"] > 0)].empty
