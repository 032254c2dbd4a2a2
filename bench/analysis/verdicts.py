"""Verdicts: a run's symptoms and its outcome, by stated rules, kept apart from each other and from the tables.

A symptom is read from what was recorded: a network may show it and learn all the same, or show none and not learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.learned import learned_accuracy, learned_loss, loss_decides
from bench.analysis.quantities import Measurements, measure
from bench.analysis.tables import Reals, Tables
from bench.factors import level_name
from bench.quantities import QUANTITIES
from bench.rules import Condition, LearnedRule, Rule, RulesChoice, RuleSet, Symptom, When, choose_rules
from bench.schema import RunStatus

Flags = NDArray[np.bool_]

SCORES = ("final_validation_accuracy", "final_validation_loss", "final_train_loss", "best_validation_accuracy",
          "best_validation_loss")  # fmt: skip

_COMPARED: dict[str, Callable[[Reals, float], Flags]] = {
    "below": lambda values, threshold: values < threshold,
    "above": lambda values, threshold: values > threshold,
    "at_least": lambda values, threshold: values >= threshold,
}


class Outcome(StrEnum):
    """What became of the run."""

    LEARNED = "learned"
    NOT_LEARNED = "not_learned"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNMEASURED = "unmeasured"  # it ended, but no validation score was recorded, or it was of one update alone


def judge(tables: Tables, choice: RulesChoice | None = None, measured: Measurements | None = None) -> pd.DataFrame:
    """One row per run: its `runs` row, every quantity of runs, and its verdicts.

    Adds `symptom_start`, `symptom_end` (Symptom, by the project's own rules), `severe_start`, `severe_end` (bool),
    `verdict_<set>` (Symptom) for every other rule set chosen, each as it would speak, and `outcome` (Outcome).

    Args:
        tables: the tables.
        choice: which rule sets judge, with which thresholds; all with their own, if None.
        measured: `Measurements` of these tables and `choice.learned`, if at hand.
    """
    choice = choice or choose_rules()
    measured = measured or Measurements(tables, choice.learned)
    judged = tables["runs"].set_index("run_id", drop=False).rename_axis(None)
    numbers = measure(tables, measured)
    # One update is made for the gradient before it: no score after it says how such a network trains.
    numbers = numbers.mask(first_gradients(judged).to_numpy()[:, None] & numbers.columns.isin(SCORES))
    judged = judged.join(numbers.drop(columns=[name for name in numbers if name in judged.columns]))
    verdicts: dict[str, pd.Series] = {}
    for when in (When.START, When.END):
        held = rules_held(choice.own, measured, when)
        verdicts[f"symptom_{when}"] = symptoms(choice.own, held)
        verdicts[f"severe_{when}"] = (held[[r.name for r in choice.own.rules if r.severe]] == 1.0).any(axis=1)
    for rules in choice.sets[1:]:
        verdicts[f"verdict_{rules.name}"] = symptoms(rules, rules_held(rules, measured), gate_open(rules, measured))
    return judged.assign(**verdicts, outcome=outcome(judged, choice.learned)).reset_index(drop=True)


def first_gradients(runs: pd.DataFrame) -> pd.Series:
    """Which runs were planned with one update, for the gradient before it alone."""
    return runs["steps"] == 1


def outcome(judged: pd.DataFrame, rule: LearnedRule) -> pd.Series:
    """An outcome for each row of runs with their final validation scores and `chance_accuracy` beside them.

    A network that gives one answer for every input has not learned: it is no better than the best constant answer.
    """
    status, accuracy, chance = (judged[name] for name in ("status", "final_validation_accuracy", "chance_accuracy"))
    loss, naive = (judged[name].astype(np.float64) for name in ("final_validation_loss", "naive_loss"))
    by_loss = loss_decides(judged)
    better = ~by_loss & (accuracy > chance) & (accuracy >= learned_accuracy(chance, rule))
    better |= by_loss & (loss < naive) & (loss <= learned_loss(judged, rule))
    rules = {
        Outcome.FAILED: status == RunStatus.FAILED,
        Outcome.DIVERGED: status == RunStatus.DIVERGED,
        Outcome.LEARNED: better,
        Outcome.NOT_LEARNED: (accuracy.notna() & chance.notna()) | (by_loss & loss.notna()),
    }
    holds = [np.asarray(each, dtype=bool) for each in rules.values()]
    return pd.Series(np.select(holds, list(map(str, rules)), str(Outcome.UNMEASURED)), index=judged.index, dtype="str")


def rules_held(rules: RuleSet, measured: Measurements, when: When | None = None) -> pd.DataFrame:
    """One row a run, one column a rule: 1 where it held, 0 where not, NaN where what it needs was not recorded.

    Args:
        rules: the set; its gate is not asked here. Its rules are asked once of the same `measured`.
        measured: the runs' quantities.
        when: look at these steps instead of those that each rule names.
    """
    if (rules, when) not in measured.held:
        names = measured.run_column("activation").astype(str).map(level_name, na_action="ignore")
        columns = {}
        for rule in rules.rules:
            held = _held(rule, measured, when or rule.when)
            columns[rule.name] = np.where(names.isin(rule.activations), held, 0.0) if rule.activations else held
        measured.held[rules, when] = pd.DataFrame(columns, index=measured.runs)
    return measured.held[rules, when]


def gate_open(rules: RuleSet, measured: Measurements) -> Reals | None:
    """1 where the set's gate lets its rules speak, 0 where not, NaN where nothing that it asks was measured.

    None where the set has no gate.
    """
    if not rules.gate:
        return None
    asked = [_scored(measured.by_run(QUANTITIES[each.measure]), each) for each in rules.gate]
    return np.asarray(np.fmax.reduce(asked))


def symptoms(rules: RuleSet, held: pd.DataFrame, gate: Reals | None = None) -> pd.Series:
    """The symptom of the first rule that held, by run; healthy where none did.

    Where none did and the rule that the set `needs` could not be asked, or its gate could not, the run is unmeasured.
    """
    gate = np.ones(len(held)) if gate is None else gate
    said = [rule for rule in rules.rules if not rule.severe]
    conditions = [(held[rule.name] == 1.0).to_numpy() & (gate == 1.0) for rule in said]
    values = [str(rule.symptom) for rule in said] + [str(Symptom.HEALTHY)]
    known = held[rules.needs].notna().to_numpy() & ~np.isnan(gate)
    return pd.Series(np.select([*conditions, known], values, str(Symptom.UNMEASURED)), index=held.index, dtype="str")


def run_numbers(measured: Measurements, condition: Condition, when: When) -> Reals:
    """The number of each run that decides whether a condition holds: its first, last or most extreme."""
    quantity = QUANTITIES[condition.measure]
    if not quantity.per_step:
        return measured.by_run(quantity)
    extreme = np.fmin if condition.comparison == "below" else np.fmax
    return measured.by_step(quantity).by_run(when, len(measured.runs), extreme)


def _held(rule: Rule, measured: Measurements, when: When) -> Reals:
    """Where all conditions of a rule hold, those of each step at the same one."""
    held = np.ones(len(measured.runs))
    steps, scores = None, np.ones(1)
    for condition in rule.conditions:
        quantity = QUANTITIES[condition.measure]
        if quantity.per_step:
            steps = measured.by_step(quantity)
            scores = _both(scores, _scored(steps.values, condition))
        else:
            held = _both(held, _scored(measured.by_run(quantity), condition))
    if steps is None:
        return held
    return _both(held, replace(steps, values=scores).by_run(when, len(held)))


def _scored(values: Reals, condition: Condition) -> Reals:
    """1 where the condition holds, 0 where not, NaN where nothing is known."""
    with np.errstate(invalid="ignore"):
        holds = _COMPARED[condition.comparison](values, condition.threshold)
    return np.where(np.isnan(values), np.nan, holds.astype(np.float64))


def _both(one: Reals, other: Reals) -> Reals:
    """1 where both are, 0 where one is 0, else NaN."""
    return np.where((one == 0.0) | (other == 0.0), 0.0, one * other)
