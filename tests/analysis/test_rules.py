"""Rule sets: their files, the quantities that they test, and both sides of every published threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis import Measurements, gate_open, judge, rules_held, symptoms
from bench.analysis.quantities import Steps
from bench.errors import SuiteError
from bench.quantities import OF_RULES, QUANTITIES, Quantity
from bench.rules import NAMES, Comparison, Condition, Rule, RuleSet, Symptom, When, choose_rules, rule_set
from bench.rules.choice import threshold_names
from bench.schema import TABLES
from bench.suite import parse_suite
from tests.dry_results import RECURRENT, SMALL, dry_results

RULES = [(name, rule) for name in NAMES for rule in rule_set(name).rules]


def planted(values: Mapping[str, float], activation: str = "tanh") -> Measurements:
    """One run with one recorded step, at which every quantity has the given value, else one that sets off no rule."""
    calm = {"best_accuracy": 0.9, "largest_gain": 0.5, "nonfinite": 0.0, "mean_log_update_min": -3.0,
            "mean_log_update_max": -2.0, "signal_ratio": 0.0, "collapse_gap": 0.5}  # fmt: skip
    measured = measured_of(activation)
    for each in OF_RULES:
        value = np.array([values.get(each.name, calm.get(each.name, 0.01))])
        planted_in(measured, each, value, np.zeros(1, np.int64))
    return measured


def measured_of(activation: str) -> Measurements:
    """One run without records."""
    return Measurements({"runs": pd.DataFrame({"run_id": ["a"], "activation": [activation]})})


def planted_in(measured: Measurements, quantity: Quantity, values: np.ndarray, steps: np.ndarray) -> None:
    """The quantity has these values at these steps, as if they had been computed."""
    if quantity.per_step:
        measured._by_step[quantity] = Steps(np.zeros(len(steps), np.int64), steps, values)
    else:
        measured._by_run[quantity] = values


def nudged(condition: Condition, beyond: bool) -> float:
    """A value just beyond a condition's threshold, or just short of it."""
    size = max(abs(condition.threshold) * 1e-6, 1e-12)
    if condition.comparison is Comparison.BELOW:
        size = -size
    if condition.comparison is Comparison.AT_LEAST and beyond:
        return condition.threshold
    return condition.threshold + (size if beyond else -size)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name}.{rule.name}" for name, rule in RULES])
def test_a_rule_holds_beyond_its_thresholds_and_not_short_of_any(name: str, rule: Rule) -> None:
    rules, activation = rule_set(name), rule.activations[0] if rule.activations else "gelu"

    def held(values: Mapping[str, float], activation: str = activation) -> list[float]:
        return rules_held(rules, planted(values, activation))[rule.name].tolist()

    values = {each.measure: nudged(each, beyond=True) for each in rule.conditions}
    assert held(values) == [1.0]
    for short in rule.conditions:
        assert held(values | {short.measure: nudged(short, beyond=False)}) == [0.0]
    if rule.activations:
        assert held(values, "gelu") == [0.0]
    assert np.isnan(held(dict.fromkeys(values, np.nan))).all()


def test_every_threshold_is_a_published_one_with_a_name_of_its_own() -> None:
    assert len(set(threshold_names())) == len(threshold_names()) > 20
    # Pinned: the numbers that the tools ship with. A change here is a change of what this project says about them.
    found = {f"{name}.{rule.name}": [c.threshold for c in rule.conditions] for name, rule in RULES}
    assert found["autotrainer.vanishing"] == [1e-3, 1e-4]
    assert found["autotrainer.exploding"] == [70.0]
    assert found["autotrainer.dying"] == [0.7]
    assert found["deepdiagnosis.vanishing"] == [1e-7]
    assert (found["deepdiagnosis.slow"], found["deepdiagnosis.fast"]) == ([1e-5], [1e-1])
    assert found["deepdiagnosis.dead_node"] == [0.7]
    assert found["sagemaker_debugger.VanishingGradient"] == [1e-7]
    assert found["sagemaker_debugger.WeightUpdateRatio_small"] == [1e-8]
    assert found["sagemaker_debugger.WeightUpdateRatio_large"] == [10.0]
    assert (found["thedeepchecker.vanishing"], found["thedeepchecker.exploding"]) == ([1e-6], [1e6])
    assert (found["thedeepchecker.slow_updates"], found["thedeepchecker.fast_updates"]) == ([-4.0], [-1.0])
    assert [c.threshold for c in rule_set("autotrainer").gate] == [0.7, 0.01]


def test_every_quantity_is_computed_from_the_tables() -> None:
    timed = RECURRENT + "\n[record]\ntime_gradients = { log_spaced = 3 }\n"
    of_layers, of_time = (Measurements(dry_results(text).tables) for text in (SMALL, timed))
    unknown = {"milliseconds_per_step"}  # the dry engine takes no time
    for name, each in QUANTITIES.items():
        assert each.table in TABLES
        found = of_time if each.table == "time_gradients" else of_layers
        values = found.by_step(each).values if each.per_step else found.by_run(each)
        assert len(values) >= len(found.runs)
        assert name in unknown or not np.isnan(values).all(), name


def test_a_gate_keeps_a_rule_set_quiet_about_networks_that_do_well() -> None:
    vanishing = {"weight_gradient_ratio": 1e-5, "weight_gradient_first": 1e-6}
    rules = rule_set("autotrainer")
    for accuracy, said in ((0.95, Symptom.HEALTHY), (0.3, Symptom.VANISHING)):
        measured = planted(vanishing | {"best_accuracy": accuracy})
        held = rules_held(rules, measured)
        assert symptoms(rules, held, gate_open(rules, measured)).tolist() == [said]
        assert symptoms(rules, held).tolist() == [Symptom.VANISHING]
    unknown = gate_open(rules, planted(vanishing | {"best_accuracy": np.nan, "largest_gain": np.nan}))
    assert symptoms(rules, held, unknown).tolist() == [Symptom.UNMEASURED]


def test_when_a_rule_looks_decides_what_it_sees() -> None:
    measured = measured_of("tanh")
    for name, values in (("signal_ratio", [0.0, -2.0, -1.0]), ("collapse_gap", [1.0, 1.0, 1.0])):
        planted_in(measured, QUANTITIES[name], np.array(values), np.array([0, 5, 9]))
    for when, held in ((When.START, 0.0), (When.END, 0.0), (When.EVER, 1.0)):
        assert rules_held(rule_set("gradtrial"), measured, when)["vanishing"].tolist() == [held]


def test_the_order_of_rows_changes_no_verdict() -> None:
    tables = dry_results(SMALL).tables
    mixed = tables | {name: tables[name].sample(frac=1.0, random_state=1) for name in ("gradient_norms", "activations")}
    columns = ["symptom_start", "symptom_end", *(f"verdict_{name}" for name in NAMES[1:])]
    pd.testing.assert_frame_equal(judge(tables)[columns], judge(mixed)[columns])
    assert judge(tables)["symptom_start"].nunique() > 1


def test_quantities_of_a_hand_made_run() -> None:
    tables = {name: frame.head(0) for name, frame in dry_results(SMALL).tables.items()}
    runs = dry_results(SMALL).tables["runs"].head(1).assign(run_id="a", learning_rate=0.1)
    layers = pd.DataFrame(
        {"run_id": "a", "step": [0, 0, 0, 20, 20, 20], "layer_index": [0, 1, 2] * 2,
         "layer_name": ["hidden_0", "hidden_1", "head"] * 2,
         "preactivation_grad_norm": [1.0, 100.0, 7.0, 0.0, 1.0, 1.0],
         "weight_grad_norm": [2.0, 4.0, 8.0, 1.0, 1.0, np.inf], "weight_norm": [10.0, 20.0, 40.0, 10.0, 10.0, 10.0],
         "update_norm": [1.0, 0.2, 4.0, 0.1, 0.001, 1.0], "weight_count": [4, 4, 2] * 2,
         "weight_grad_mean_abs": [1.0, 2.0, 4.0, 1.0, 1.0, np.inf],
         "weight_grad_zero_fraction": [0.5, 0.0, 0.0, 1.0, 1.0, 1.0]}
    )  # fmt: skip
    found = Measurements(tables | {"runs": runs, "gradient_norms": layers})
    assert found.by_step(QUANTITIES["signal_ratio"]).step.tolist() == [0, 20]
    np.testing.assert_allclose(found.by_step(QUANTITIES["signal_ratio"]).values, [-2.0, -np.inf])
    np.testing.assert_allclose(found.by_step(QUANTITIES["weight_gradient_ratio"]).values, [0.25, 0.0])
    np.testing.assert_allclose(found.by_step(QUANTITIES["mean_abs_gradient_max"]).values, [4.0, np.inf])
    np.testing.assert_allclose(found.by_step(QUANTITIES["rate_ratio_min"]).values, [0.02, 0.01])
    np.testing.assert_allclose(found.by_step(QUANTITIES["update_ratio_min"]).values, [0.01, 0.0001])
    np.testing.assert_allclose(found.by_step(QUANTITIES["weight_square_max"]).values, [800.0, 50.0])
    np.testing.assert_allclose(found.by_step(QUANTITIES["zero_gradient_fraction"]).values, [0.2, 1.0])
    np.testing.assert_allclose(found.by_run(QUANTITIES["mean_log_update_min"]), [-4.0])
    np.testing.assert_allclose(found.by_run(QUANTITIES["mean_log_update_max"]), [-1.0])


def test_the_error_on_training_rows_is_over_that_of_the_best_constant_answer() -> None:
    runs = pd.DataFrame(
        {"run_id": ["classes", "values", "each"], "dataset": ["c", "v", "copy_memory"],
         "naive_accuracy": [0.6, np.nan, 0.8], "naive_loss": [0.7, 4.0, 0.4]}
    )  # fmt: skip
    scores = pd.DataFrame(
        {"run_id": ["classes", "classes", "values", "classes", "each"], "step": [0, 9, 9, 9, 9],
         "split": ["train", "train", "train", "validation", "train"], "accuracy": [0.1, 0.9, np.nan, 0.2, 0.95],
         "loss": [9.0, 500.0, 3.0, 9.0, 0.2]}
    )  # fmt: skip
    found = Measurements({"runs": runs, "evaluations": scores})
    np.testing.assert_allclose(found.by_run(QUANTITIES["training_error_share"]), [0.25, 0.75, 0.5])


def test_the_first_step_that_learned_is_told_by_the_accuracy_or_where_it_decides_by_the_loss() -> None:
    runs = pd.DataFrame(
        {"run_id": ["classes", "values", "each", "none"], "dataset": ["c", "v", "copy_memory", "copy_memory"],
         "naive_accuracy": [0.6, np.nan, 0.8, 0.8], "naive_loss": [0.7, 4.0, 0.4, 0.4], "status": "completed"}
    )  # fmt: skip
    steps, each = [0, 5, 9], {
        "classes": ([0.7, 0.8, 0.9], [9.0] * 3), "values": ([np.nan] * 3, [3.0, 1.9, 1.0]),
        "each": ([0.8, 0.97, 0.99], [0.4, 0.06, 0.03]), "none": ([0.97] * 3, [0.06] * 3),
    }  # fmt: skip
    scores = pd.concat(
        pd.DataFrame({"run_id": run, "step": steps, "split": "validation", "accuracy": right, "loss": loss})
        for run, (right, loss) in each.items()
    )
    found = Measurements({"runs": runs, "evaluations": scores})
    np.testing.assert_array_equal(found.by_run(QUANTITIES["steps_to_accuracy"]), [5, 5, 9, np.inf])


# A suite's choice


def test_a_suite_chooses_sets_and_moves_thresholds() -> None:
    choice = choose_rules(
        {"rules": ["thedeepchecker"], "thresholds": {"thedeepchecker.vanishing.mean_abs_gradient_min": 1e-9}}
    )
    assert [rules.name for rules in choice.sets] == ["gradtrial", "gradtrial_watching", "thedeepchecker"]
    assert choice.sets[2].rules[0].conditions[0].threshold == 1e-9
    assert rule_set("thedeepchecker").rules[0].conditions[0].threshold == 1e-6
    assert choose_rules(choice.as_written()) == choice
    once = choose_rules({"rules": ["gradbench"], "thresholds": {"gradbench.vanishing.signal_ratio": -9}})
    assert once == choose_rules({"rules": ["gradtrial"], "thresholds": {"gradtrial.vanishing.signal_ratio": -9}})
    assert choose_rules({"thresholds": {"outcome.learned_share": 0.7}}).learned.learned_share == 0.7


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"rules": ["autotrain"]}, 'Did you mean "autotrainer"?'),
        ({"rules": "gradtrial"}, "is not a list"),
        ({"rule": []}, 'Did you mean "rules"?'),
        ({"thresholds": {"gradtrial.vanishing.signal": 1}}, 'Did you mean "gradtrial.vanishing.signal_ratio"?'),
        ({"thresholds": {"gradtrial.vanishing.signal_ratio": "low"}}, "is not a number"),
        ({"thresholds": {"gradtrial.vanishing.signal_ratio": True}}, "is not a number"),
        ({"thresholds": {"outcome.learned_share": 1.5}}, "between 0 and 1"),
        ({"thresholds": [1]}, "is not a table"),
    ],
)
def test_a_mistake_in_verdicts_is_named(written: dict[str, object], message: str) -> None:
    with pytest.raises(SuiteError, match=r"\[verdicts\]") as caught:
        choose_rules(written)
    assert message in str(caught.value)


def test_verdicts_of_a_suite_file_reach_the_suite() -> None:
    moved = '\n[verdicts]\nrules = ["gradtrial"]\nthresholds = { "gradtrial.vanishing.signal_ratio" = -9.0 }\n'
    choice, tables = parse_suite(SMALL + moved, Path("s.toml")).verdicts, dry_results(SMALL).tables
    assert [rules.name for rules in choice.sets] == ["gradtrial", "gradtrial_watching"]
    few, more = ((judge(tables, each)["symptom_start"] == Symptom.VANISHING).sum() for each in (choice, None))
    assert few < more


@pytest.mark.parametrize(
    "broken",
    [{"measure": "signal", "below": 1.0}, {"measure": "signal_ratio"},
     {"measure": "signal_ratio", "below": 1.0, "above": 2.0}],
)  # fmt: skip
def test_a_condition_needs_a_known_quantity_and_one_threshold(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="signal"):
        Condition.model_validate(broken)


def test_a_rule_set_names_its_rules_once_and_the_one_it_needs() -> None:
    rule = rule_set("gradtrial").rules[0]
    for rules, needs in (((rule, rule), "vanishing"), ((rule,), "other")):
        with pytest.raises(ValueError, match="different names"):
            RuleSet(name="x", title="X", source="-", needs=needs, rules=rules)
