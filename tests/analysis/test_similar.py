"""Runs that differ by one change, and what became of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.analysis.similar import similar
from tests.analysis.trials import BATCH, GOOD, LEVELS, POOR, RATE, SKIP, cell, found

TIMINGS = pd.DataFrame({"cohort": ["a", "b"], "train_seconds": [1.0, 1.5], "runs": [1, 1], "steps": [11, 11]})


def test_one_change_of_the_same_replicate_the_best_first_an_update_rule_and_its_rate_as_one() -> None:
    made = found(
        cell(POOR), cell([0.97, 0.1, 0.97], **BATCH), cell([np.nan] * 3, **SKIP), cell(GOOD, depth="32", cohort="b"),
        cell(GOOD, **SKIP, **BATCH), cell([0.8] * 3, optimizer="momentum", **RATE),
    )  # fmt: skip
    one = similar(made.runs, list(LEVELS), made.runs["run_id"].iloc[1], TIMINGS)
    assert list(zip(one["factors"], one["levels"], one["became"], strict=True)) == [
        (("depth",), ("32",), "trained"),
        (("optimizer", "learning_rate"), ("momentum", "0.01"), "learned"),
        (("normalization",), ("batch_normalization",), "did not learn"),  # this replicate did not, others did
        (("skip",), ("residual",), "diverged"),
    ]
    assert all(each.endswith("-r1") for each in one["run_id"])
    assert one["cost"].to_numpy() == pytest.approx([1.5, 1.0, 1.0, 1.0])


def test_a_suite_of_one_cell_has_none() -> None:
    made = found(cell(GOOD))
    assert similar(made.runs, [], made.runs["run_id"].iloc[0], TIMINGS).empty
