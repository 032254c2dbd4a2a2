"""Alarms against each other and against the outcome, on planted verdicts with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from bench.analysis import Measurements, Outcome, agreement, alarms, areas, detection, equal_rates, judge, sweep
from bench.analysis.estimates import clustered_wilson
from bench.quantities import QUANTITIES
from bench.rules import NAMES, RulesChoice, choose_rules, rule_set
from tests.dry_results import SMALL, dry_results


def raised(**columns: list[float]) -> pd.DataFrame:
    """Alarms of whole sets for runs r0, r1, ..."""
    size = len(next(iter(columns.values())))
    index = pd.Index([f"r{k}" for k in range(size)], name="run_id")
    return pd.DataFrame({(name, ""): values for name, values in columns.items()}, index=index)


def runs(outcomes: list[Outcome], cells: list[str] | None = None) -> pd.DataFrame:
    names = [f"r{k}" for k in range(len(outcomes))]
    return pd.DataFrame({"run_id": names, "outcome": outcomes, "cell_key": cells or names})


def small() -> tuple[Measurements, pd.DataFrame, RulesChoice]:
    """Dry results as every rule set judges them."""
    choice, measured = choose_rules(), Measurements(dry_results(SMALL).tables)
    return measured, judge(dry_results(SMALL).tables, choice, measured), choice


def test_kappa_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    one = draw.integers(0, 2, 200).astype(float)
    other = np.where(draw.random(200) < 0.8, one, 1 - one)
    found = agreement(raised(one=list(one), other=list(other))).iloc[0]
    assert found["kappa"] == pytest.approx(cohen_kappa_score(one, other))
    assert found["agreed"] == (one == other).sum()
    assert found["only_one"] + found["only_other"] + found["agreed"] == found["runs"] == 200


def test_runs_that_a_set_cannot_judge_are_left_out_and_sets_that_always_say_one_thing_have_no_kappa() -> None:
    found = agreement(raised(one=[1, 0, np.nan], other=[1, 1, 1])).iloc[0]
    assert (found["runs"], found["agreed"]) == (2, 1)
    assert np.isnan(agreement(raised(one=[0, 0], other=[0, 0])).iloc[0]["kappa"])


def test_recall_and_false_positives_are_counted_against_the_outcome() -> None:
    learned, not_learned = Outcome.LEARNED, Outcome.NOT_LEARNED
    found = detection(
        raised(perfect=[0, 0, 1, 1, 1], blind=[0, 0, 0, 0, 0], nervous=[1, 1, 1, 1, 1], half=[0, 0, 1, np.nan, 1]),
        runs([learned, learned, not_learned, Outcome.DIVERGED, Outcome.FAILED]),
    ).set_index("set")
    assert found[["true_positives", "untrained", "false_positives", "trained", "unmeasured"]].to_numpy().tolist() == [
        [2, 2, 0, 2, 0], [0, 2, 0, 2, 0], [2, 2, 2, 2, 0], [1, 1, 0, 2, 1],
    ]  # fmt: skip
    assert found.loc["perfect", "recall"] == 1.0
    assert found.loc["perfect", "recall_lower"] < 1.0 < found.loc["perfect", "recall_upper"] + 1e-9


def test_intervals_count_cells_and_not_replicates() -> None:
    alone = clustered_wilson(50, 100, 100)
    replicated = clustered_wilson(50, 100, 20)
    assert replicated[0] < alone[0] < 0.5 < alone[1] < replicated[1]
    interval = binomtest(50, 100).proportion_ci(method="wilson")
    assert alone == pytest.approx((interval.low, interval.high))
    assert np.isnan(clustered_wilson(0, 0, 0)).all()


def test_the_interval_covers_the_truth_when_replicates_are_alike() -> None:
    draw = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        hits = 3 * int((draw.random(40) < 0.3).sum())  # 40 cells, three replicates that always agree
        low, high = clustered_wilson(hits, 120, 40)
        inside += low <= 0.3 <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_the_planted_rule_of_the_dry_engine_is_found_out_of_the_tables() -> None:
    # By formula a network learns where its signal keeps within the project's own severe band: our rule must see most.
    measured, judged, choice = small()
    found = detection(alarms(measured, judged, choice), judged).set_index(["set", "rule"])
    own = found.loc[("gradtrial", "")]
    assert own["recall"] == 1.0
    assert set(found.index.get_level_values("set")) == set(NAMES)
    assert ("autotrainer", "without its gate") in found.index


def test_at_equal_false_positives_the_gate_is_moved_as_far_as_the_other_set_went() -> None:
    tables = dry_results(SMALL).tables
    judged = judge(tables).head(8)
    outcomes = [Outcome.LEARNED] * 3 + [Outcome.NOT_LEARNED] * 4 + [Outcome.FAILED]
    at = judged.assign(outcome=outcomes)
    measured = Measurements(tables | {"runs": tables["runs"].head(8)})
    rules = rule_set("gradtrial_watching")
    error, bad = (0.1, 0.3, 0.7, 0.2, 0.6, 0.8, 0.9, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0)
    measured._by_run[QUANTITIES["training_error_share"]] = np.array(error)
    measured._by_run[QUANTITIES["nonfinite"]] = np.zeros(8)
    held = pd.DataFrame({rule.name: np.array(bad) * (rule.name == "vanishing") for rule in rules.rules})
    measured.held[rules, None] = held.set_axis(measured.runs)
    flags = {"quiet": [0] * 8, "loud": [0, 0, 1] + [1] * 5, "deaf": [0, np.nan, np.nan, 0, 0, 0, 0, 0]}
    columns = {(name, ""): values for name, values in flags.items()}
    found = equal_rates(measured, pd.DataFrame(columns, index=pd.Index(at["run_id"])), at, rules)
    assert found.drop(columns="set").to_numpy().tolist() == [
        [4, 3, 0, 0, 1, 0],  # above 0.7 only 0.8 is left: 0.9 shows no sign
        [4, 3, 4, 1, 2, 1],  # above 0.3
        [4, 1, 0, 0, 3, 0],  # above 0.1, the only learned run that it could judge
    ]


def test_areas_are_those_of_scikit_learn_and_the_sweep_passes_through_the_rule() -> None:
    measured, judged, choice = small()
    found = areas(measured, judged, judged, choice).set_index(["measure", "when", "side"])["area"]
    bad = judged["outcome"] != Outcome.LEARNED
    expected = roc_auc_score(bad, -judged["signal_ratio_start"])
    assert found["signal_ratio", "start", "below"] == pytest.approx(expected)
    curve = sweep(measured, judged, judged, choice)
    one = curve[(curve["measure"] == "signal_ratio") & (curve["when"] == "start") & (curve["side"] == "below")]
    for row in one.itertuples():
        flags = judged["signal_ratio_start"] <= row.threshold
        assert row.recall == pytest.approx(flags[bad].mean())
        assert row.false_positive_rate == pytest.approx(flags[~bad].mean())
    assert one["recall"].iloc[0] == 1.0
    assert (one["recall"].iloc[-1], one["false_positive_rate"].iloc[-1]) == (0.0, 0.0)


def test_without_both_outcomes_there_is_no_sweep() -> None:
    measured, judged, choice = small()
    learned = judged[judged["outcome"] == Outcome.LEARNED]
    assert sweep(measured, judged, learned, choice).empty
    assert areas(measured, judged, learned, choice).empty
    found = detection(alarms(measured, judged, choice), learned).iloc[0]
    assert found["untrained"] == 0
    assert np.isnan(found["recall"])
