"""Verdicts: a run's symptoms and its outcome, by stated rules, kept apart from each other and from the tables.

A symptom is read from what was recorded: a network may show it and learn all the same, or show none and not learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from bench.analysis.measurements import Measurements, measurements
from bench.analysis.responses import measure
from bench.analysis.symptoms import gate_open, rules_held, severe, symptoms
from bench.analysis.tables import Tables
from bench.rules import LearnedRule, RulesChoice, When, choose_rules
from bench.schema import RunStatus


class Outcome(StrEnum):
    """What became of the run."""

    LEARNED = "learned"
    NOT_LEARNED = "not_learned"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNMEASURED = "unmeasured"  # it ended, but its suite recorded no validation accuracy


def judge(tables: Tables, choice: RulesChoice | None = None, measured: Measurements | None = None) -> pd.DataFrame:
    """One row per run: its `runs` row, every response, and its verdicts.

    Adds `symptom_start`, `symptom_end` (Symptom, by the project's own rules), `severe_start`, `severe_end` (bool),
    `verdict_<set>` (Symptom) for every other rule set chosen, each as it would speak, and `outcome` (Outcome).

    Args:
        tables: the tables.
        choice: which rule sets judge, with which thresholds; all with their own, if None.
        measured: what `measurements(tables)` returned, if it is at hand.
    """
    choice = choice or choose_rules()
    measured = measured or measurements(tables)
    judged = tables["runs"].set_index("run_id", drop=False).rename_axis(None)
    responses = measure(tables)
    judged = judged.join(responses.drop(columns=[name for name in responses if name in judged.columns]))
    verdicts: dict[str, pd.Series] = {}
    for when in (When.START, When.END):
        held = rules_held(choice.own, measured, judged["activation"], when)
        verdicts[f"symptom_{when}"] = symptoms(choice.own, held)
        verdicts[f"severe_{when}"] = severe(choice.own, held)
    for rules in choice.sets[1:]:
        held = rules_held(rules, measured, judged["activation"])
        verdicts[f"verdict_{rules.name}"] = symptoms(rules, held, gate_open(rules, measured))
    return judged.assign(**verdicts, outcome=outcome(judged, choice.learned)).reset_index(drop=True)


def learned_accuracy(chance: pd.Series, rule: LearnedRule) -> pd.Series:
    """The final validation accuracy from which a run counts as learned."""
    return chance + rule.learned_share * (1.0 - chance)


def outcome(judged: pd.DataFrame, rule: LearnedRule) -> pd.Series:
    """An outcome for each row of runs with `final_validation_accuracy` and `chance_accuracy` beside them."""
    status, accuracy = judged["status"], judged["final_validation_accuracy"]
    rules = [
        (status == RunStatus.FAILED, Outcome.FAILED),
        (status == RunStatus.DIVERGED, Outcome.DIVERGED),
        (accuracy >= learned_accuracy(judged["chance_accuracy"], rule), Outcome.LEARNED),
        (accuracy.notna(), Outcome.NOT_LEARNED),
    ]
    return _first(rules, Outcome.UNMEASURED, judged.index)


def _first(rules: Sequence[tuple[pd.Series, StrEnum]], otherwise: StrEnum, index: pd.Index) -> pd.Series:
    """The value of the first rule that holds, row by row."""
    conditions = [np.asarray(holds, dtype=bool) for holds, _ in rules]
    return pd.Series(
        np.select(conditions, [str(value) for _, value in rules], str(otherwise)), index=index, dtype="str"
    )
