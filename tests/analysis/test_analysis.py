"""Quantities, verdicts, estimates, counts and curves of hand-made tables with known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import comb, inf, nan

import numpy as np
import pandas as pd
import pytest

from bench.analysis import (
    Moment,
    Outcome,
    Symptom,
    counts,
    estimate,
    gradient_profile,
    judge,
    loss_bands,
    matched,
    measure,
    median_interval,
)
from bench.analysis.curves import thinned
from bench.analysis.estimates import interval_rank
from bench.quantities import OF_RULES, OF_RUNS, QUANTITIES, LostRule, quantity
from bench.schema import TABLES, conform

Rows = Sequence[Mapping[str, object]]


def tables(**rows: Rows) -> dict[str, pd.DataFrame]:
    """Every table, with these rows and with the schema's types; a column that a row leaves out is null."""
    return {
        name: conform(name, {c: [row.get(c) for row in rows.get(name, ())] for c in spec.columns}).to_pandas()
        for name, spec in TABLES.items()
    }


def run(name: str, status: str = "completed", **others: object) -> dict[str, object]:
    row = {"run_id": name, "cell_key": name[:-1], "replicate": int(name[-1]), "cohort": "c", "dataset": "digits"}
    return row | {"status": status, "steps_completed": 10} | others


def norms(name: str, values: Sequence[float], step: int = 0, head: float = 1.0) -> Rows:
    """Pre-activation gradient norms of one run and step, the hidden layers' and the head's."""
    names = [*(f"hidden_{layer}" for layer in range(len(values))), "head"]
    return [
        {"run_id": name, "step": step, "layer_index": layer, "layer_name": names[layer],
         "preactivation_grad_norm": norm, "weight_grad_norm": 2.0 * norm}
        for layer, norm in enumerate([*values, head])
    ]  # fmt: skip


def evaluations(name: str, accuracies: Mapping[int, float]) -> Rows:
    """Validation accuracies by step, a loss that they make 1 with, and training rows that are better than all."""
    rows = [{"run_id": name, "step": step, "split": "validation", "loss": 1.0 - value, "accuracy": value}
            for step, value in accuracies.items()]  # fmt: skip
    return [*rows, *({**row, "split": "train", "accuracy": 0.999, "loss": 0.001} for row in rows)]


def losses(name: str, curve: Mapping[int, float]) -> Rows:
    return [{"run_id": name, "step": step, "loss": loss, "clipped": False} for step, loss in curve.items()]


def measured(values: Sequence[float], head: float = 1.0) -> pd.Series:
    """A run with these norms; the order of rows does not matter."""
    rows = list(reversed(norms("a0", values, head=head)))
    return measure(tables(runs=[run("a0")], gradient_norms=rows)).loc["a0"]


# Responses


@pytest.mark.parametrize(
    ("quantity_of_signal", "values", "head", "decades"),
    [
        # A slope in decades per layer; of what is not a line: 0, 3, 0, 1 against 0, 1, 2, 3 have covariance 0.
        ("decay_rate_start", [1e-6, 1e-4, 1e-2, 1.0], 1.0, 2.0),
        ("decay_rate_start", [1e3, 1e2, 1e1], 1.0, -1.0),
        ("decay_rate_start", [1.0, 1e3, 1.0, 1e1], 1.0, 0.0),
        # Layers without a logarithm are left out of it, one layer has none.
        ("decay_rate_start", [0.0, 1e-2, inf, 1.0], 1.0, 1.0),
        ("decay_rate_start", [0.0, nan, 1.0], 1.0, nan),
        ("decay_rate_start", [1.0], 1.0, nan),
        # First to last, with zeros and infinities.
        ("signal_ratio_start", [1e-3, 7.0, 10.0], 1.0, -4.0),
        ("signal_ratio_start", [1e5, 1.0], 1.0, 5.0),
        ("signal_ratio_start", [3.0], 1.0, 0.0),
        ("signal_ratio_start", [0.0, 1.0], 1.0, -inf),
        ("signal_ratio_start", [0.0, 0.0], 1.0, -inf),
        ("signal_ratio_start", [inf, 1.0], 1.0, inf),
        ("signal_ratio_start", [inf, inf], 1.0, inf),
        ("signal_ratio_start", [1.0, 0.0], 1.0, inf),
        # The head has no part in either.
        ("decay_rate_start", [1e-2, 1e-1, 1.0], 1e9, 1.0),
        ("signal_ratio_start", [1e-2, 1e-1, 1.0], 1e9, -2.0),
    ],
)
def test_signals_of_the_hidden_layers(
    quantity_of_signal: str, values: Sequence[float], head: float, decades: float
) -> None:
    assert measured(values, head)[quantity_of_signal] == pytest.approx(decades, nan_ok=True)


def test_start_and_end_are_each_runs_own_first_and_last_recorded_step() -> None:
    rows = [*norms("a0", [0.1, 1.0], 2), *norms("a0", [1.0, 1.0], 5), *norms("a0", [100.0, 1.0], 9)]
    rows += [*norms("b0", [10.0, 1.0], 2), *norms("b0", [1e-5, 1.0], 3)]
    found = measure(tables(runs=[run("a0"), run("b0", "diverged")], gradient_norms=rows))
    assert found["signal_ratio_start"].to_list() == pytest.approx([-1.0, 1.0])
    assert found["signal_ratio_end"].to_list() == pytest.approx([2.0, -5.0])


def test_the_gradient_correlation_is_that_of_the_first_hidden_layer() -> None:
    cosines = {0: [0.1, 0.4, 0.9], 5: [0.3, 0.2, 0.8]}
    rows = [
        row | {"preactivation_grad_pair_correlation": cosine}
        for step, values in cosines.items()
        for row, cosine in zip(norms("a0", [1.0, 1.0], step), values, strict=True)
    ]
    found = measure(tables(runs=[run("a0")], gradient_norms=rows[::-1])).loc["a0"]
    assert found["gradient_correlation_start"] == pytest.approx(0.1)
    assert found["gradient_correlation_end"] == pytest.approx(0.3)
    assert np.isnan(measured([1.0, 1.0])["gradient_correlation_start"])


def test_activation_quantities_by_hand() -> None:
    def layer(step: int, index: int, saturated: float, cosine: float) -> dict[str, object]:
        return {"run_id": "a0", "step": step, "layer_index": index, "saturated_fraction": saturated,
                "dead_fraction": saturated / 2, "pair_correlation": cosine}  # fmt: skip

    rows = [layer(0, 1, 0.4, 0.75), layer(0, 0, 0.2, 0.1), layer(9, 0, 0.2, 0.2), layer(9, 1, 0.6, 0.9995)]
    found = measure(tables(runs=[run("a0")], activations=rows)).loc["a0"]
    assert found["collapse_gap_start"] == pytest.approx(0.25)
    assert found["collapse_gap_end"] == pytest.approx(0.0005)
    assert found[["saturated_fraction_start", "saturated_fraction_end"]].tolist() == pytest.approx([0.3, 0.4])
    assert found[["dead_fraction_start", "dead_fraction_end"]].tolist() == pytest.approx([0.15, 0.2])


def test_evaluation_and_loss_quantities_by_hand() -> None:
    curve = [{"run_id": "a0", "step": step, "loss": 1.0, "clipped": step < 3} for step in range(4)]
    rows = evaluations("a0", {0: 0.1, 10: 0.8})
    found = measure(tables(runs=[run("a0")], evaluations=rows, loss_curves=curve)).loc["a0"]
    assert found["final_validation_accuracy"] == 0.8
    assert found["final_validation_loss"] == pytest.approx(0.2)
    assert found["final_train_loss"] == pytest.approx(0.001)
    assert found["clipped_share"] == 0.75
    assert found["steps_completed"] == 10


def test_what_was_not_measured_is_nan_and_every_run_has_a_row() -> None:
    found = measure(tables(runs=[run("a0"), run("b0", "failed")], evaluations=evaluations("a0", {0: 0.1, 10: 0.8})))
    assert found.index.tolist() == ["a0", "b0"]
    assert found.loc["b0"].drop(["steps_completed", "chance_accuracy"]).isna().all()
    assert measure(tables()).empty


def test_chance_is_the_best_constant_answers_accuracy_of_each_dataset() -> None:
    known = {"naive_accuracy": 0.99, "naive_loss": 0.06}
    values = {"dataset": "m:price", "naive_loss": 2.0}
    runs = [run("a0", **known), run("a1", "failed"), run("b0", **known | {"dataset": "wine", "naive_accuracy": 0.4})]
    found = measure(tables(runs=[*runs, run("c0", **values)], evaluations=evaluations("a0", {0: 0.05, 10: 1.0})))
    assert found["chance_accuracy"].to_list() == pytest.approx([0.99, 0.99, 0.4, nan], nan_ok=True)


def test_of_results_without_it_chance_is_the_median_untrained_accuracy_and_0_without_step_0() -> None:
    runs = [run("a0"), run("a1"), run("a2"), run("b0", dataset="wine"), run("c0", dataset="mnist1d")]
    rows = [
        *evaluations("a0", {0: 0.05, 10: 1.0}), *evaluations("a1", {0: 0.1, 10: 1.0}),
        *evaluations("a2", {0: 0.9, 10: 1.0}), *evaluations("b0", {0: 0.4, 10: 1.0}), *evaluations("c0", {10: 1.0}),
    ]  # fmt: skip
    found = measure(tables(runs=runs, evaluations=rows))["chance_accuracy"]
    assert found.to_list() == [0.1, 0.1, 0.1, 0.4, 0.0]


def test_quantities_have_names_of_their_own_and_an_unknown_name_is_an_error() -> None:
    assert len(QUANTITIES) == len(OF_RUNS) + len(OF_RULES)
    with pytest.raises(KeyError):
        quantity("nothing")


# Verdicts


def judged_with(ratio: float, gap: float = 0.5) -> pd.Series:
    """A run whose first-to-last ratio at the start is `ratio` decades and whose collapse gap is `gap`."""
    first = 0.0 if ratio == -inf else 10.0**ratio
    activation = {"run_id": "a0", "step": 0, "layer_index": 1, "pair_correlation": 1.0 - gap}
    made = tables(runs=[run("a0")], gradient_norms=norms("a0", [first, 1.0]), activations=[activation])
    return judge(made).iloc[0]


@pytest.mark.parametrize(
    ("ratio", "gap", "symptom", "severe"),
    [
        (-1.49, 0.5, Symptom.HEALTHY, False),
        (-1.51, 0.5, Symptom.VANISHING, False),
        (-2.99, 0.5, Symptom.VANISHING, False),
        (-3.01, 0.5, Symptom.VANISHING, True),
        (-inf, 0.5, Symptom.VANISHING, True),
        (1.74, 0.5, Symptom.HEALTHY, False),
        (1.76, 0.5, Symptom.EXPLODING, False),
        (2.99, 0.5, Symptom.EXPLODING, False),
        (3.01, 0.5, Symptom.EXPLODING, True),
        (inf, 0.5, Symptom.EXPLODING, True),
        (0.0, 1.1e-3, Symptom.HEALTHY, False),
        (0.0, 0.9e-3, Symptom.COLLAPSED, False),
        (-2.0, 0.0, Symptom.VANISHING, False),
        (nan, 0.0, Symptom.COLLAPSED, False),
        (nan, 0.5, Symptom.UNMEASURED, False),
        (nan, nan, Symptom.UNMEASURED, False),
    ],
)
def test_symptoms_on_both_sides_of_each_threshold(ratio: float, gap: float, symptom: Symptom, severe: bool) -> None:
    found = judged_with(ratio, gap)
    assert (found["symptom_start"], bool(found["severe_start"])) == (symptom, severe)


COPIED = {"naive_accuracy": 0.8, "naive_loss": 0.416, "dataset": "copy_memory", "targets": "classes_each"}
WRITTEN = {
    "naive_accuracy": 0.19,
    "naive_loss": 3.25,
    "learned_loss": 2.458,
    "dataset": "text",
    "targets": "classes_each",
}


@pytest.mark.parametrize(
    ("accuracy", "loss", "naive", "status", "outcome"),
    [
        # Results that do not hold the best constant answer: halfway from the untrained networks' 0.1 to 1.
        (0.549, 0.5, {}, "completed", Outcome.NOT_LEARNED),
        (0.551, 0.5, {}, "completed", Outcome.LEARNED),
        (0.99, 0.01, {}, "diverged", Outcome.DIVERGED),
        (0.99, 0.01, {}, "failed", Outcome.FAILED),
        # 99 of 100 rows of one class: always to answer it is not to have learned.
        (0.99, 0.06, {"naive_accuracy": 0.99, "naive_loss": 0.06}, "completed", Outcome.NOT_LEARNED),
        (0.994, 0.01, {"naive_accuracy": 0.99, "naive_loss": 0.06}, "completed", Outcome.NOT_LEARNED),
        (0.996, 0.01, {"naive_accuracy": 0.99, "naive_loss": 0.06}, "completed", Outcome.LEARNED),
        (1.0, 0.0, {"naive_accuracy": 1.0, "naive_loss": 0.0}, "completed", Outcome.NOT_LEARNED),
        # Values have a loss alone.
        (None, 0.99, {"naive_loss": 2.0}, "completed", Outcome.LEARNED),
        (None, 1.01, {"naive_loss": 2.0}, "completed", Outcome.NOT_LEARNED),
        (None, 0.99, {"naive_loss": 2.0}, "diverged", Outcome.DIVERGED),
        (None, 0.0, {"naive_loss": 0.0}, "completed", Outcome.NOT_LEARNED),
        (None, 0.99, {}, "completed", Outcome.UNMEASURED),
        # To remember the later of two numbers alone leaves half of the variance of their sum.
        (None, 0.08, {"naive_loss": 1 / 6, "dataset": "adding(length=10)"}, "completed", Outcome.NOT_LEARNED),
        (None, 0.0166, {"naive_loss": 1 / 6, "dataset": "adding(length=10)"}, "completed", Outcome.LEARNED),
        # With a class at each step the loss decides: blanks alone, and half of the symbols, are not to have learned.
        (0.8, 0.415, COPIED, "completed", Outcome.NOT_LEARNED),
        (0.97, 0.05, COPIED, "completed", Outcome.NOT_LEARNED),
        (0.99, 0.041, COPIED, "completed", Outcome.LEARNED),
        (0.97, 0.05, COPIED | {"targets": None}, "completed", Outcome.NOT_LEARNED),
        (0.99, 0.3, COPIED | {"dataset": "own.npz"}, "completed", Outcome.NOT_LEARNED),
        (0.7, 0.2, COPIED | {"dataset": "own.npz"}, "completed", Outcome.LEARNED),
        # Text names a loss itself, what the character before tells.
        (0.3, 2.46, WRITTEN, "completed", Outcome.NOT_LEARNED),
        (0.3, 2.45, WRITTEN, "completed", Outcome.LEARNED),
    ],
)
def test_a_run_learned_that_makes_at_most_half_of_the_error_of_the_best_constant_answer(
    accuracy: float | None, loss: float, naive: dict[str, object], status: str, outcome: Outcome
) -> None:
    rows = [row | {"loss": loss, "accuracy": accuracy if row["step"] else accuracy and 0.1}
            for row in evaluations("a0", {0: 0.1, 10: 0.0}) if row["split"] == "validation"]  # fmt: skip
    assert judge(tables(runs=[run("a0", status, **naive)], evaluations=rows))["outcome"].tolist() == [outcome]


def test_without_evaluations_an_outcome_is_unmeasured_but_a_lost_run_stays_lost() -> None:
    found = judge(tables(runs=[run("a0"), run("b0", "diverged")]))
    assert found["outcome"].tolist() == [Outcome.UNMEASURED, Outcome.DIVERGED]


# Estimates


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (3, 1), (5, 1), (6, 1), (8, 1), (9, 2), (20, 6), (100, 40)])
def test_the_interval_is_the_narrowest_between_order_statistics_that_holds_95_percent(count: int, rank: int) -> None:
    def confidence(k: int) -> float:
        return 1.0 - 2.0 * sum(comb(count, below) for below in range(k)) / 2**count

    found, sure = interval_rank(count)
    assert (found, sure) == (rank, pytest.approx({3: 0.75, 6: 0.96875, 20: 0.9586105}.get(count, sure), abs=1e-6))
    assert sure == pytest.approx(confidence(rank))
    assert confidence(rank + 1) < 0.95  # the next narrower one no longer holds
    assert (sure >= 0.95) == (count >= 6)


def row_of(values: Sequence[float]) -> pd.Series:
    return median_interval(pd.DataFrame({"g": "a", "v": values}), ["g"], "v").iloc[0]


def test_median_and_interval_of_twenty_values_by_hand() -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1.0, 21.0))
    row = row_of(list(shuffled))
    assert (row["median"], row["lower"], row["upper"], row["measured"]) == (10.5, 6.0, 15.0, 20)


def test_infinities_rank_and_nan_is_not_measured() -> None:
    assert row_of([1.0, inf, 2.0])[["median", "upper", "measured"]].tolist() == [2.0, inf, 3]
    assert row_of([inf, inf, 2.0])["median"] == inf
    assert row_of([-inf, 5.0, inf, inf])["median"] == inf
    assert row_of([1.0, nan, 3.0])[["median", "measured"]].tolist() == [2.0, 2]
    empty = row_of([nan, nan])
    assert empty["measured"] == 0
    assert empty[["median", "lower", "upper", "confidence"]].isna().all()


def test_groups_keep_the_order_in_which_they_appear() -> None:
    frame = pd.DataFrame({"g": ["b", "a", "b", "c"], "v": [1.0, 5.0, 3.0, nan]})
    found = median_interval(frame, ["g"], "v")
    assert found["g"].tolist() == ["b", "a", "c"]
    assert found["median"].tolist()[:2] == [2.0, 5.0]
    assert found["measured"].tolist() == [2, 1, 0]


def mixed() -> pd.DataFrame:
    """Cell `a`: two runs that ended and three that were lost, one of them before anything was measured."""
    runs = [run("a0"), run("a1"), run("a2", "diverged"), run("a3", "diverged"), run("a4", "failed")]
    rows = [
        *evaluations("a0", {0: 0.1, 10: 0.9}), *evaluations("a1", {0: 0.1, 10: 0.8}),
        *evaluations("a2", {0: 0.1, 3: 0.95}), *evaluations("a3", {0: 0.1, 10: 0.2}),
    ]  # fmt: skip
    signals = [*norms("a0", [0.1, 1.0]), *norms("a1", [0.01, 1.0]), *norms("a2", [0.001, 1.0])]
    curves = [row for name in ("a0", "a1", "a2") for row in losses(name, {0: 1.0, 3: 1.0})]
    return judge(tables(runs=runs, evaluations=rows, gradient_norms=signals, loss_curves=curves))


def test_a_lost_run_counts_as_chance_an_infinite_loss_or_with_what_was_measured_of_its_signal() -> None:
    names = ("final_validation_accuracy", "final_validation_loss", "signal_ratio_start")
    accuracy, loss, signal = (estimate(mixed(), quantity(name), ["cell_key"]).iloc[0] for name in names)
    assert accuracy[["median", "lower", "upper", "measured"]].tolist() == [0.1, 0.1, 0.9, 5]
    assert loss[["median", "lower", "upper", "measured"]].tolist() == [inf, pytest.approx(0.1), inf, 5]
    assert signal[["median", "measured", "runs"]].tolist() == [pytest.approx(-2.0), 3, 5]


def test_every_estimate_says_how_many_runs_it_lost() -> None:
    judged = mixed()
    for each in OF_RUNS:
        found = estimate(judged, each, ["cell_key"]).iloc[0]
        assert found[["replicates", "runs", "completed", "diverged", "failed"]].tolist() == [5, 5, 2, 2, 1], each.name
        assert found["measured"] == 5 or each.lost is LostRule.MEASURED
    assert counts(judged, ["cell_key"])["diverged"].tolist() == [2]


def test_levels_are_compared_only_where_all_of_them_were_run() -> None:
    grid = pd.DataFrame(product(("relu", "tanh"), (2, 8), (0, 1)), columns=["activation", "depth", "replicate"])
    assert len(matched(grid, "activation", ["depth"])) == 8
    lacking = grid.drop(index=grid.query("activation == 'tanh' and depth == 8 and replicate == 1").index)
    kept = matched(lacking, "activation", ["depth"])
    assert len(kept) == 6
    assert kept.query("depth == 8 and replicate == 1").empty
    apart = grid.query("(activation == 'relu') == (depth == 2)")
    assert matched(apart, "activation", ["depth"]).empty


# Curves


def test_a_profile_is_the_median_by_layer_of_the_runs_that_were_asked_for() -> None:
    rows = [*norms("a0", [1.0, 5.0]), *norms("a1", [3.0, 5.0]), *norms("a2", [2.0, 7.0]), *norms("b0", [9.0, 9.0])]
    made = tables(
        runs=[run(name) for name in ("a0", "a1", "a2", "b0")], gradient_norms=[*rows, *norms("a0", [8, 8], 4)]
    )
    judged = judge(made).query("cell_key == 'a'")
    found = gradient_profile(made, judged, ["cell_key"], Moment.START)
    assert found["layer_index"].tolist() == [0, 1]
    assert found["median"].tolist() == [2.0, 5.0]
    assert (found["lower"].tolist(), found["upper"].tolist()) == ([1.0, 5.0], [3.0, 7.0])
    assert gradient_profile(made, judged, ["cell_key"], Moment.END)["median"].tolist() == [3.0, 7.0]


def bands(runs: Rows, curves: Sequence[Rows]) -> dict[str, list[float]]:
    made = tables(runs=runs, loss_curves=[row for rows in curves for row in rows])
    found = loss_bands(made, judge(made), ["cell_key"])
    return {name: found[name].tolist() for name in ("median", "lower", "lost", "measured")}


def test_a_run_that_was_lost_counts_as_infinite_from_then_on() -> None:
    runs = [run("a0"), run("a1", "diverged"), run("a2", "diverged")]
    falling = losses("a0", {0: 3.0, 1: 2.0, 2: 1.0})
    found = bands(runs, [falling, losses("a1", {0: 4.0, 1: 9.0}), losses("a2", {0: 5.0})])
    assert found == {"median": [4.0, 9.0, inf], "lower": [3.0, 2.0, 1.0], "lost": [0, 1, 2], "measured": [3, 3, 3]}
    # A loss that is not a number is already lost, and a run that left no rows is lost at every step.
    found = bands([run("a0", "diverged")], [losses("a0", {0: 3.0, 1: nan})])
    assert (found["median"], found["lost"]) == ([3.0, inf], [0, 1])
    found = bands([run("a0"), run("a1", "failed"), run("a2", "failed")], [losses("a0", {0: 3.0, 1: 2.0})])
    assert (found["median"], found["lost"]) == ([inf, inf], [2, 2])


def test_a_step_that_a_run_did_not_record_does_not_make_it_lost() -> None:
    found = bands([run("a0"), run("a1")], [losses("a0", {0: 3.0, 2: 1.0}), losses("a1", {0: 5.0, 1: 4.0, 2: 3.0})])
    assert (found["median"], found["measured"], found["lost"]) == ([4.0, 4.0, 2.0], [2, 1, 2], [0, 0, 0])


def test_no_losses_make_no_bands() -> None:
    made = tables(runs=[run("a0")])
    assert loss_bands(made, judge(made), ["cell_key"]).empty
    assert gradient_profile(made, judge(made), ["cell_key"], Moment.START).empty


def test_thinning_keeps_both_ends_and_at_most_so_many() -> None:
    assert thinned([5, 1, 3, 3], 10) == [1, 3, 5]
    kept = thinned(range(1000), 11)
    assert (kept[0], kept[-1], len(kept)) == (0, 999, 11)
    assert max(np.diff(kept)) - min(np.diff(kept)) <= 1
