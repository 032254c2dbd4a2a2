"""Survival curves and trainable depths of hand-made runs with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis.survival import deepest_trainable, survival
from bench.analysis.verdicts import Outcome


def ended(group: str, diverged: Sequence[int], completed: Sequence[int] = (), failed: Sequence[int] = ()) -> list:
    """Rows of runs that ended so at these steps."""
    each = [*product(["diverged"], diverged), *product(["completed"], completed), *product(["failed"], failed)]
    return [
        {"group": group, "status": status, "steps_completed": step, "replicate": r}
        for r, (status, step) in enumerate(each)
    ]


def test_the_curve_is_kaplan_and_meiers() -> None:
    """By hand: 5/6, then of 4 at risk (one censored at 4) 2 leave: 5/6 x 2/4."""
    found = survival(pd.DataFrame(ended("a", [3, 5, 5], [10, 10], failed=[4])), ["group"])
    assert found["step"].tolist() == [0, 3, 4, 5, 10]
    assert found["surviving"].tolist() == pytest.approx([1.0, 5 / 6, 5 / 6, 5 / 12, 5 / 12])
    assert found["at_risk"].tolist() == [6, 6, 5, 4, 2]
    assert found["diverged"].tolist() == [0, 1, 1, 3, 3]
    assert set(found["runs"]) == {6}
    assert (found["lower"] <= found["surviving"]).all()
    assert (found["surviving"] <= found["upper"]).all()


def test_without_censoring_the_curve_is_the_share_that_is_left_and_its_bounds_are_greenwoods() -> None:
    found = survival(pd.DataFrame(ended("a", [1, 2, 3, 4])), ["group"]).set_index("step")
    assert found["surviving"].tolist() == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])
    share, error = 0.5, np.sqrt(1 / (4 * 3) + 1 / (3 * 2))  # of the logarithm, by Greenwood
    turn = np.exp(1.959964 * error / abs(np.log(share)))
    assert found.loc[2, ["lower", "upper"]].tolist() == pytest.approx([share**turn, share ** (1 / turn)])
    assert found.loc[4, "lower"] == 0.0
    assert found.loc[4, "upper"] == found.loc[3, "upper"]


def test_runs_that_all_completed_or_all_diverged_at_once_leave_room_for_doubt() -> None:
    found = survival(pd.DataFrame(ended("a", [], [10, 10, 10])), ["group"])
    assert found[["surviving", "upper"]].to_numpy().tolist() == [[1.0, 1.0]] * 2
    assert found["lower"].tolist() == pytest.approx([0.025 ** (1 / 3)] * 2)
    for step in (0, 7):
        last = survival(pd.DataFrame(ended("a", [step] * 4)), ["group"]).iloc[-1]
        assert last[["surviving", "lower", "upper"]].tolist() == [0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 4))]


def test_groups_keep_their_order_and_one_run_is_enough() -> None:
    frame = pd.DataFrame([*ended("b", [2]), *ended("a", [], [9])])
    for given in (frame, frame.astype({"group": "category"})):
        found = survival(given, ["group"])
        assert found["group"].astype(str).tolist() == ["b", "b", "a", "a"]
        assert found["surviving"].tolist() == [1.0, 0.0, 1.0, 1.0]
    assert survival(frame.iloc[:0], ["group"]).empty


def test_intervals_of_survival_cover_at_their_rate() -> None:
    """300 groups of 20 runs whose steps are exponential and censored at 100: 90 to 99 % hold the truth at 30."""
    draw = np.random.default_rng(0)
    steps = np.ceil(draw.exponential(50.0, (300, 20)))
    frame = pd.DataFrame(
        {"group": np.repeat(np.arange(300), 20), "status": np.where(steps > 100, "completed", "diverged").ravel(),
         "steps_completed": np.minimum(steps, 100).ravel()}
    )  # fmt: skip
    found = survival(frame, ["group"])
    then = found[found["step"] <= 30].groupby("group").tail(1)
    truth = np.exp(-30 / 50)
    assert 270 <= ((then["lower"] <= truth) & (truth <= then["upper"])).sum() <= 297


def learned(group: str, shares: dict[int, int], runs: int = 3) -> list[dict[str, object]]:
    """Of `runs` runs at each depth so many learned; the others diverged."""
    return [
        {"group": group, "depth": depth, "outcome": str(Outcome.LEARNED if r < many else Outcome.DIVERGED)}
        for depth, many in shares.items()
        for r in range(runs)
    ]


def test_the_deepest_trainable_depth_with_its_holes() -> None:
    frame = pd.DataFrame(
        [
            *learned("straight", {32: 1, 4: 3, 16: 2, 8: 3}),
            *learned("holes", {4: 3, 8: 1, 16: 0, 32: 3}),
            *learned("never", {4: 0, 8: 1}),
            *learned("half", {4: 1, 8: 1}, runs=2),
        ]
    )
    found = deepest_trainable(frame, ["group"]).set_index("group")
    assert found.index.tolist() == ["straight", "holes", "never", "half"]
    assert found["deepest"].tolist() == pytest.approx([16, 32, np.nan, np.nan], nan_ok=True)
    assert found["holes"].tolist() == [0, 2, 0, 0]
    assert found["is_deepest_tried"].tolist() == [False, True, False, False]
    assert found.loc[["straight", "never"], ["learned", "runs"]].to_numpy().tolist() == [[2, 3], [0, 3]]


def test_depths_by_several_columns_and_without_runs() -> None:
    frame = pd.DataFrame(learned("a", {4: 3, 8: 3})).assign(activation="relu").astype({"group": "category"})
    found = deepest_trainable(frame, ["group", "activation"])
    assert found[["group", "activation", "deepest"]].iloc[0].tolist() == ["a", "relu", 8.0]
    assert deepest_trainable(frame.iloc[:0], ["group", "activation"]).empty
