"""What rule sets say of each run: which of their rules hold, and the symptom of the first that does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.measurements import COMPARED, Measurements, Reals
from bench.factors import level_name
from bench.rules import MEASURES, Condition, Rule, RuleSet, Symptom, When

Flags = NDArray[np.bool_]


def rules_held(
    rules: RuleSet, measured: Measurements, activations: pd.Series, when: When | None = None
) -> pd.DataFrame:
    """One row a run, one column a rule: 1 where it held, 0 where not, NaN where what it needs was not recorded.

    Args:
        rules: the set; its gate is not asked here.
        measured: what `measurements` returned.
        activations: each run's level, in the order of `runs`; a rule meant for others does not hold.
        when: look at these steps instead of those that each rule names.
    """
    names = activations.astype(str).map(level_name, na_action="ignore")
    columns = {}
    for rule in rules.rules:
        held = _held(rule, measured, when or rule.when, len(names))
        if rule.activations:
            held = np.where(names.isin(rule.activations), held, 0.0)
        columns[rule.name] = held
    return pd.DataFrame(columns, index=activations.index)


def gate_open(rules: RuleSet, measured: Measurements) -> Flags | None:
    """Where the set's gate lets its rules speak; None where it has none. An unmeasured gate is closed."""
    if not rules.gate:
        return None
    conditions = [_compared(measured.by_run[each.measure], each) for each in rules.gate]
    return np.asarray(np.logical_or.reduce(conditions))


def symptoms(rules: RuleSet, held: pd.DataFrame, gate: Flags | None = None) -> pd.Series:
    """The symptom of the first rule that held, by run; healthy where none did.

    Where none did and the rule that the set `needs` could not be asked, the run is unmeasured.
    """
    flags = held.to_numpy(np.float64)
    said = [rule for rule in rules.rules if not rule.severe]
    conditions = [flags[:, list(held.columns).index(rule.name)] == 1.0 for rule in said]
    if gate is not None:
        conditions = [condition & gate for condition in conditions]
    known = ~np.isnan(flags[:, list(held.columns).index(rules.needs)])
    values = [str(rule.symptom) for rule in said] + [str(Symptom.HEALTHY)]
    return pd.Series(np.select([*conditions, known], values, str(Symptom.UNMEASURED)), index=held.index, dtype="str")


def severe(rules: RuleSet, held: pd.DataFrame) -> pd.Series:
    """Whether one of the set's severe rules held, by run."""
    names = [rule.name for rule in rules.rules if rule.severe]
    return (held[names] == 1.0).any(axis=1)


def _held(rule: Rule, measured: Measurements, when: When, runs: int) -> Reals:
    by_run = [c for c in rule.conditions if MEASURES[c.measure].per_run]
    by_step = [c for c in rule.conditions if not MEASURES[c.measure].per_run]
    held = np.ones(runs)
    for condition in by_run:
        held = _both(held, _scored(measured.by_run[condition.measure], condition))
    if by_step:
        rows = measured.by_step[MEASURES[by_step[0].measure].table]
        scores = np.ones(len(rows.run))
        for condition in by_step:
            scores = _both(scores, _scored(rows.values[condition.measure], condition))
        held = _both(held, rows.by_run(scores, when, runs))
    return held


def _scored(values: Reals, condition: Condition) -> Reals:
    return np.where(np.isnan(values), np.nan, _compared(values, condition).astype(np.float64))


def _compared(values: Reals, condition: Condition) -> Flags:
    with np.errstate(invalid="ignore"):
        return COMPARED[condition.comparison](values, condition.threshold)


def _both(one: Reals, other: Reals) -> Reals:
    """1 where both are, 0 where one is 0, else NaN."""
    return np.where((one == 0.0) | (other == 0.0), 0.0, one * other)
