"""Recipes and what to avoid: the rules of docs/rules.md over runs whose right answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.analysis.avoided import ways_to_fail
from bench.analysis.recipes import Reached, baseline_of
from tests.analysis.trials import BATCH, CLOSE, GOOD, LEVELS, POOR, RATE, SKIP, cell, found


@pytest.mark.parametrize(
    ("cells", "reached", "changed", "ties"),
    [
        ([cell(GOOD), cell([0.99] * 3, **SKIP)], Reached.TRAINS, {}, 0),
        ([cell(CLOSE), cell([0.99] * 3, **SKIP)], Reached.TRAINS, SKIP, 0),  # 0.93 is below 0.94
        ([cell([0.97, 0.97, 0.1]), cell(GOOD, **SKIP)], Reached.TRAINS, SKIP, 0),  # every replicate
        ([cell([0.97, 0.97, np.nan]), cell(GOOD, **SKIP)], Reached.TRAINS, SKIP, 0),
        ([cell(POOR), cell(GOOD, 0.2, **SKIP), cell(GOOD, 0.1, **BATCH)], Reached.TRAINS, BATCH, 1),  # by loss
        ([cell(POOR), cell(GOOD, cohort="b", **BATCH), cell(GOOD, **SKIP)], Reached.TRAINS, SKIP, 1),  # then by time
        ([cell(POOR), cell([0.98] * 3, 0.01, **SKIP, **BATCH), cell(GOOD, **SKIP)], Reached.TRAINS, SKIP, 0),
        # an update rule and its rate are one change
        ([cell(POOR), cell(GOOD, optimizer="momentum", **RATE)], Reached.TRAINS, {"optimizer": "momentum", **RATE}, 0),
        ([cell(POOR), cell([0.8] * 3, **SKIP), cell([0.97, 0.97, 0.2], **BATCH)], Reached.LEARNED, SKIP, 0),
        ([cell(POOR), cell([0.97, 0.2, 0.2], **BATCH)], Reached.NONE, BATCH, 0),  # the best tried
        ([cell(POOR), cell([0.09] * 3, 0.2, **SKIP)], Reached.NONE, {}, 0),  # near the best, which did not learn
    ],
)  # fmt: skip
def test_the_fewest_changes_in_which_every_replicate_trains(
    cells: list[list[dict]], reached: Reached, changed: dict[str, str], ties: int
) -> None:
    (row,) = found(*cells).rows
    assert (row.reached, dict(row.best.changes), len(row.ties)) == (reached, changed, ties)


def test_cost_and_intervals_stand_beside_a_change_and_the_untouched_network() -> None:
    (row,) = found(cell(POOR), cell(GOOD, cohort="b", **BATCH)).rows
    assert row.best.cost == pytest.approx(1.5)
    assert row.best.interval == pytest.approx((0.438, 1.0), abs=0.001)  # Wilson's of 3 of 3
    assert row.untouched is not None
    assert (row.untouched.median, row.untouched.trained) == (0.1, 0)


def test_values_train_within_a_tenth_of_the_naive_loss() -> None:
    made = found(cell([0.31] * 3, values=True), cell([0.2] * 3, values=True, **SKIP))
    assert made.of_values
    assert made.bar == {"digits": pytest.approx(0.3)}
    assert dict(made.rows[0].best.changes) == SKIP


@pytest.mark.parametrize(
    ("varied", "named", "baseline"),
    [
        (("optimizer", "learning_rate"), {}, {"optimizer": "adam", "learning_rate": "0.001"}),
        (("optimizer", "learning_rate"), {"optimizer": "momentum"},
         {"optimizer": "momentum", "learning_rate": "0.01"}),
        (("normalization",), {"normalization": "batch_normalization"}, {"normalization": "batch_normalization"}),
    ],
)  # fmt: skip
def test_the_baseline_is_keras_s_default_or_what_the_suite_says(
    varied: tuple[str, ...], named: dict[str, str], baseline: dict[str, str]
) -> None:
    runs = pd.DataFrame([*cell(GOOD), *cell(GOOD, optimizer="momentum", **RATE)])
    assert baseline_of({name: LEVELS[name] for name in varied}, runs, named) == baseline


def test_the_suite_says_what_is_asked_and_depths_keep_their_order() -> None:
    cells = [cell(GOOD, depth=depth, **skip) for depth in ("32", "4") for skip in ({}, SKIP)]
    made = found(*cells, report={"ask": "skip"})
    assert (made.ask, made.levels, made.depths) == ("skip", ("none", "residual"), ("4", "32"))


def test_the_commonest_ways_to_fail_are_said_in_as_few_levels_as_will_do() -> None:
    cells = [
        cell(POOR if activation == "relu" and depth == "32" and skip == "none" else GOOD,
             activation=activation, depth=depth, skip=skip, normalization=norm)
        for activation in LEVELS["activation"] for depth in LEVELS["depth"]
        for skip in LEVELS["skip"] for norm in LEVELS["normalization"]
    ]  # fmt: skip
    made = found(*cells)
    causes = made.runs[["run_id"]].assign(cause="vanishing gradient", layer=3, step=0)
    (way,) = ways_to_fail(made.runs, {k: LEVELS[k] for k in ("depth", "activation", "normalization", "skip")}, causes)
    assert (way.terms, way.depths) == ((("activation", ("relu",)), ("skip", ("none",))), ("32",))
    assert (way.trained, way.runs, way.mechanism, way.layer) == (0, 6, "vanishing gradient", "layer 3")


def test_a_single_update_is_no_way_to_fail() -> None:
    made = found(*(cell(GOOD if skip else POOR, skip=skip or "none") for skip in ("", "residual")))
    causes = made.runs[["run_id"]].assign(cause="too few steps", layer=3, step=0)
    levels = {"skip": LEVELS["skip"], "steps": ("1", "60")}
    for steps, ways in ((60, 1), (1, 0)):
        runs = made.runs.assign(steps=(made.runs["skip"] == "none").map({True: steps, False: 60}))
        assert len(ways_to_fail(runs, levels, causes)) == ways
