"""Quantities from whole curves, of hand-made tables with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

import numpy as np
import pandas as pd
import pytest

from bench.analysis import judge, measure
from bench.rules import choose_rules
from tests.analysis.test_analysis import Rows, evaluations, losses, run, tables


def test_the_best_evaluation_is_the_best_recorded_on_validation_data() -> None:
    found = measure(tables(runs=[run("a0")], evaluations=evaluations("a0", {0: 0.1, 5: 0.8, 10: 0.6}))).loc["a0"]
    assert found["best_validation_accuracy"] == pytest.approx(0.8)
    assert found["best_validation_loss"] == pytest.approx(0.2)
    assert found["final_validation_accuracy"] == pytest.approx(0.6)


def test_steps_to_accuracy_is_the_first_recorded_step_halfway_to_1_and_infinite_if_never() -> None:
    rows = [
        *evaluations("a0", {9: 0.9, 0: 0.2, 3: 0.59, 6: 0.61}),
        *evaluations("b0", {0: 0.2, 9: 0.59}),
        *evaluations("c0", {0: 0.2, 4: 0.9, 9: 0.2}),
    ]
    found = measure(tables(runs=[run("d0"), run("c0"), run("b0"), run("a0")], evaluations=rows))["steps_to_accuracy"]
    assert found[["a0", "b0", "c0"]].tolist() == [6.0, inf, 4.0]
    assert np.isnan(found["d0"])


def test_steps_to_accuracy_uses_the_line_that_the_suite_moved() -> None:
    made = tables(runs=[run("a0")], evaluations=evaluations("a0", {0: 0.2, 3: 0.35, 6: 0.61, 9: 0.9}))
    for share, step in ((0.1, 3.0), (0.5, 6.0), (0.8, 9.0), (0.95, inf)):
        choice = choose_rules({"thresholds": {"outcome.learned_share": share}})
        assert judge(made, choice)["steps_to_accuracy"].tolist() == [step]


def test_steps_to_divergence_ignores_a_loss_limit_and_is_infinite_for_a_run_that_ended() -> None:
    events = [
        {"run_id": "a0", "step": 2, "kind": "loss_limit"},
        {"run_id": "a0", "step": 7, "kind": "nan"},
        {"run_id": "a0", "step": 5, "kind": "infinity"},
        {"run_id": "b0", "step": 1, "kind": "loss_limit"},
    ]
    runs = [run("a0", "diverged"), run("b0"), run("c0", "failed")]
    found = measure(tables(runs=runs, divergence_events=events))["steps_to_divergence"]
    assert found[["a0", "b0"]].tolist() == [5.0, inf]
    assert np.isnan(found["c0"])


def test_loss_area_is_the_trapezoid_over_the_span_whatever_the_order_of_rows() -> None:
    rows = [
        *losses("b0", {4: 5.0}),
        *losses("a0", {10: 0.0, 0: 4.0, 2: 2.0}),  # (2 x 3 + 8 x 1) / 10
        *losses("c0", {0: 1.0, 1: np.nan, 2: 3.0}),
        *losses("d0", {0: 1.0, 1: inf}),
    ]
    runs = [run(name) for name in ("a0", "b0", "c0", "d0", "e0")]
    found = measure(tables(runs=runs, loss_curves=rows))["loss_area"]
    assert found[["a0", "b0", "c0", "d0"]].tolist() == pytest.approx([1.4, 5.0, 2.0, inf])
    assert np.isnan(found["e0"])


def test_milliseconds_per_step_are_the_cohorts_over_its_runs_and_later_steps() -> None:
    timings = [{"cohort": "c", "runs": 4, "steps": 11, "train_seconds": 2.0}]
    found = measure(tables(runs=[run("a0"), run("b0")], timings=timings))["milliseconds_per_step"]
    assert found.tolist() == pytest.approx([50.0, 50.0])


def layers(step: int, rows: Sequence[tuple[float, float, int]]) -> Rows:
    """One row per layer from (norm of update and gradient, norm of weights, weight count); the last is the head."""
    return [
        {"run_id": "a0", "step": step, "layer_index": index, "layer_name": f"hidden_{index}",
         "weight_grad_norm": norm, "update_norm": norm, "weight_norm": weights, "weight_count": count}
        for index, (norm, weights, count) in enumerate(rows[:-1])
    ] + [
        {"run_id": "a0", "step": step, "layer_index": len(rows) - 1, "layer_name": "head",
         "weight_grad_norm": 1e6, "update_norm": 1e6, "weight_norm": 1.0, "weight_count": 1}
    ]  # fmt: skip


def test_the_update_ratio_is_the_median_over_hidden_layers() -> None:
    rows = [*layers(0, [(1.0, 2.0, 1), (3.0, 10.0, 1), (8.0, 10.0, 1), (9, 9, 9)]),
            *layers(5, [(1.0, 1.0, 1), (1.0, 0.0, 1), (0.0, 0.0, 1), (9, 9, 9)])]  # fmt: skip
    found = measure(tables(runs=[run("a0")], gradient_norms=rows)).loc["a0"]
    assert found["update_ratio_start"] == pytest.approx(0.5)
    assert found["update_ratio_end"] == inf  # 1, infinity, and a layer of zeros that has no ratio


def test_a_gradient_per_weight_compares_layers_of_unequal_size() -> None:
    rows = [*layers(0, [(10.0, 1.0, 400), (10.0, 1.0, 4), (0, 0, 0)]), *layers(5, [(1.0, 1.0, 9), (1.0, 1.0, 9), (0, 0, 0)])]  # fmt: skip # noqa: E501
    found = measure(tables(runs=[run("a0")], gradient_norms=rows)).loc["a0"]
    assert found["weight_ratio_start"] == pytest.approx(0.0)
    assert found["weight_rms_ratio_start"] == pytest.approx(np.log10(1 / sqrt(100)))
    assert found["weight_rms_ratio_end"] == pytest.approx(0.0)


def test_run_ids_may_be_categories_with_more_than_the_runs_at_hand() -> None:
    made = tables(
        runs=[run("a0"), run("b0", "diverged")],
        evaluations=[*evaluations("a0", {0: 0.1, 9: 0.9}), *evaluations("b0", {0: 0.1})],
        loss_curves=[*losses("a0", {0: 1.0, 1: 2.0}), *losses("b0", {0: 1.0})],
        divergence_events=[{"run_id": "b0", "step": 3, "kind": "nan"}],
        gradient_norms=layers(0, [(1.0, 2.0, 1), (1.0, 2.0, 1), (0, 0, 0)]),
        timings=[{"cohort": "c", "runs": 2, "steps": 11, "train_seconds": 1.0}],
    )
    ids = pd.CategoricalDtype(["z9", "b0", "a0"])
    coded = {name: frame.astype({"run_id": ids}) if "run_id" in frame else frame for name, frame in made.items()}
    expected, found = judge(made), judge(coded)
    pd.testing.assert_frame_equal(found.astype({"run_id": "str"}), expected)
