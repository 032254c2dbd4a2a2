"""How a rule's recall and false-positive rate change with its threshold, from every alarm to none."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bench.analysis.measurements import Measurements, Reals
from bench.analysis.verdicts import Outcome
from bench.rules import MEASURES, Comparison, Condition, Rule, RulesChoice, When

MOST_POINTS = 60
CURVE = ["measure", "when", "side", "threshold", "recall", "false_positive_rate"]
AREA = ["measure", "when", "side", "area", "untrained", "trained"]


def sweep(measured: Measurements, judged: pd.DataFrame, at: pd.DataFrame, choice: RulesChoice) -> pd.DataFrame:
    """Recall and false-positive rate of every measure that a chosen rule tests, over thresholds.

    Args:
        measured: what `measurements` returned.
        judged: what `judge` returned of the same tables, whole and in its order.
        at: the runs to ask, a part of `judged`; failed and unmeasured ones are left out.
        choice: the rule sets.

    Returns:
        Columns `measure`, `when`, `side` (below, above or, where rules look both ways, beyond: the absolute value),
        `threshold`, `recall`, `false_positive_rate`; at most `MOST_POINTS` thresholds a curve.
    """
    parts = []
    for key, badness, learned in _curves(measured, judged, at, choice):
        score = np.sort(np.unique(badness))
        picks = np.unique(np.linspace(0, len(score) - 1, MOST_POINTS).round().astype(int))
        limits = np.concatenate([score[picks], [np.inf]])
        raised = badness[None, :] >= limits[:, None]
        sign = -1.0 if key[2] == Comparison.BELOW else 1.0
        part = pd.DataFrame({"threshold": sign * limits, "recall": raised[:, ~learned].mean(axis=1),
                             "false_positive_rate": raised[:, learned].mean(axis=1)})  # fmt: skip
        parts.append(part.assign(measure=key[0], when=key[1], side=key[2])[CURVE])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CURVE)


def areas(measured: Measurements, judged: pd.DataFrame, at: pd.DataFrame, choice: RulesChoice) -> pd.DataFrame:
    """The area under each of those curves: the chance that a run that did not learn looks worse than one that did.

    Half is what a coin does. Computed from ranks (Hanley & McNeil 1982), ties counting half.
    Columns: measure, when, side, area, untrained, trained.
    """
    rows = []
    for key, badness, learned in _curves(measured, judged, at, choice):
        ranks, bad, good = rankdata(badness), int((~learned).sum()), int(learned.sum())
        area = (ranks[~learned].sum() - bad * (bad + 1) / 2) / (bad * good)
        rows.append((*key, float(area), bad, good))
    return pd.DataFrame(rows, columns=AREA).sort_values("area", ascending=False, kind="stable", ignore_index=True)


def _curves(
    measured: Measurements, judged: pd.DataFrame, at: pd.DataFrame, choice: RulesChoice
) -> list[tuple[tuple[str, str, str], Reals, np.ndarray]]:
    """Key, badness (larger is worse) and whether it learned, by run, of each measure; only where both kinds exist."""
    known = ~at["outcome"].isin([Outcome.FAILED, Outcome.UNMEASURED])
    position = pd.Index(judged["run_id"]).get_indexer(at.loc[known, "run_id"])
    learned = (judged["outcome"] == Outcome.LEARNED).to_numpy()[position]
    found = []
    for (name, when, side), condition in _tested(choice).items():
        values = run_values(measured, condition, When(when), len(judged))[position]
        badness = {"below": -values, "beyond": np.abs(values)}.get(side, values)
        some = ~np.isnan(badness)
        if len(set(learned[some])) == 2:
            found.append(((name, when, side), badness[some], learned[some]))
    return found


def _tested(choice: RulesChoice) -> dict[tuple[str, str, str], Condition]:
    """Every measure with the side and the steps at which some rule looks at it; 0 and 1 flags have no threshold."""
    tests: dict[tuple[str, str, str], Condition] = {}
    for rules in choice.sets:
        for rule in rules.rules:
            for condition in rule.conditions:
                if condition.measure != "nonfinite":
                    tests.setdefault((condition.measure, _when(rule, condition), _side(condition)), condition)
    for (name, when, side), condition in list(tests.items()):
        if side == "below" and MEASURES[name].unit == "decades" and (name, when, "above") in tests:
            tests[name, when, "beyond"] = condition
    return tests


def _when(rule: Rule, condition: Condition) -> str:
    return "end" if MEASURES[condition.measure].per_run else rule.when.value


def _side(condition: Condition) -> str:
    return "below" if condition.comparison is Comparison.BELOW else "above"


def run_values(measured: Measurements, condition: Condition, when: When, runs: int) -> Reals:
    """The number of each run that decides whether a condition holds: its first, last or most extreme."""
    spec = MEASURES[condition.measure]
    if spec.per_run:
        return measured.by_run[condition.measure]
    rows = measured.by_step[spec.table]
    extreme = np.fmin if condition.comparison is Comparison.BELOW else np.fmax
    return rows.by_run(rows.values[condition.measure], when, runs, extreme)
