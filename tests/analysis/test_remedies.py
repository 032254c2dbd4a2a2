"""Remedies on a hand-made grid with known answers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis import Outcome, Symptom, remedies, remedies_by
from bench.analysis.estimates import clustered_wilson

VARIED = ["depth", "activation", "clipping"]


def judged() -> pd.DataFrame:
    """Depth 8 sigmoid vanishes and never learns; relu always learns, but one of its runs diverges."""
    rows = []
    for depth, activation, clipping, r in product((2, 8), ("sigmoid", "relu"), ("none", "value"), range(4)):
        vanish = depth == 8 and activation == "sigmoid"
        lost = (depth, activation, clipping, r) == (8, "relu", "value", 3)
        cell, cohort = f"{depth}{activation}{clipping}", f"{depth}{activation}"
        rows.append(
            {"run_id": f"{cell}{r}", "cell_key": cell, "cohort": cohort, "replicate": r, "depth": depth,
             "activation": activation, "clipping": clipping, "status": "diverged" if lost else "completed",
             "symptom_start": Symptom.VANISHING if vanish else Symptom.HEALTHY,
             "outcome": Outcome.DIVERGED if lost else Outcome.NOT_LEARNED if vanish else Outcome.LEARNED,
             "final_validation_accuracy": np.nan if lost else 0.1 if vanish else 0.9, "chance_accuracy": 0.1}
        )  # fmt: skip
    return pd.DataFrame(rows)


COHORTS = ["2sigmoid", "2relu", "8sigmoid", "8relu"]
TIMINGS = pd.DataFrame({"cohort": COHORTS, "runs": 8, "steps": 11, "train_seconds": [1.0, 1.0, 4.0, 6.0]})


def found(frame: pd.DataFrame) -> pd.DataFrame:
    return remedies(frame, VARIED, TIMINGS).set_index(["pathology", "factor", "level"])


def test_a_change_of_activation_rescues_all_but_the_run_that_diverged() -> None:
    row = found(judged()).loc[("vanishing", "activation", "relu")]
    assert row[["pairs", "rescued", "diverged"]].tolist() == [8, 7, 1]
    assert row["rate"] == pytest.approx(7 / 8)
    assert (row["rate_lower"], row["rate_upper"]) == clustered_wilson(7, 8, 8)
    assert row["gain"] == pytest.approx(0.8)
    assert row["gain_lower"] == pytest.approx(0.0)  # the diverged partner counts as chance; it does not drop out
    assert row["cost"] == pytest.approx(1.5)


def test_a_change_within_a_cohort_costs_nothing_and_rescues_nobody() -> None:
    row = found(judged()).loc[("vanishing", "clipping", "value")]
    assert row[["pairs", "rescued", "cost"]].tolist() == [4, 0, 1.0]


def test_only_pathological_baselines_count_depth_is_no_remedy_and_the_best_comes_first() -> None:
    index = found(judged()).index
    assert set(index.get_level_values("factor")) == {"activation", "clipping"}
    assert set(index.get_level_values("pathology")) == {"vanishing"}
    assert ("vanishing", "activation", "sigmoid") not in index
    assert index[0] == ("vanishing", "activation", "relu")  # the best comes first


def test_a_cell_that_learns_in_spite_of_its_symptom_is_no_baseline() -> None:
    frame = judged()
    frame["outcome"] = Outcome.LEARNED
    assert remedies(frame, VARIED, TIMINGS).empty


def test_remedies_by_depth_are_those_of_each_depths_runs_alone() -> None:
    frame = judged()
    shallow = frame["depth"] == 2
    frame.loc[shallow & (frame["activation"] == "sigmoid"), ["symptom_start", "outcome"]] = [
        Symptom.EXPLODING, Outcome.NOT_LEARNED,
    ]  # fmt: skip
    ranked = remedies_by(frame.iloc[::-1], VARIED, TIMINGS)
    assert ranked["depth"].drop_duplicates().tolist() == [2, 8]
    for depth in (2, 8):
        alone = remedies(frame[frame["depth"] == depth], VARIED, TIMINGS)
        found = ranked[ranked["depth"] == depth].drop(columns="depth").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, alone)
    assert ranked.groupby("depth")["level"].first().tolist() == ["relu", "relu"]


def test_by_the_factor_that_changes_the_baselines_level_counts() -> None:
    frame = judged().astype({"activation": "category"})
    found = remedies_by(frame, VARIED, TIMINGS, "activation")
    assert set(found["activation"]) == {"sigmoid"}
    assert found["level"].tolist() == remedies(judged(), VARIED, TIMINGS)["level"].tolist()


def test_healthy_suites_have_no_remedy_at_any_depth_and_a_fixed_factor_is_an_error() -> None:
    found = remedies_by(judged().assign(outcome=Outcome.LEARNED), VARIED, TIMINGS)
    assert found.empty
    assert found.columns[0] == "depth"
    with pytest.raises(ValueError, match="width"):
        remedies_by(judged(), VARIED, TIMINGS, "width")
