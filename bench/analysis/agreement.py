"""Do rule sets agree, and do they tell what a network will do, at whichever threshold?

A run *raises an alarm* by a rule set where its verdict is a symptom. What an alarm should foretell is that the network
does not learn. Where a suite varies the learning rate, pass the runs at each cell's best one (`at_best`): then a run
that did not learn belongs to a network that could not be trained at any of the rates tried.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from bench.analysis.estimates import clustered_wilson
from bench.analysis.quantities import Measurements
from bench.analysis.tables import Reals
from bench.analysis.verdicts import Outcome, gate_open, rules_held, run_numbers, symptoms
from bench.quantities import QUANTITIES
from bench.rules import Comparison, Condition, Rule, RulesChoice, RuleSet, Symptom, When

DETECTED = [
    "set", "rule", "untrained", "true_positives", "recall", "recall_lower", "recall_upper", "trained",
    "false_positives", "false_positive_rate", "false_positive_rate_lower", "false_positive_rate_upper", "unmeasured",
]  # fmt: skip
WHOLE = ""  # the rule's name in a row on a whole set
UNGATED = "without its gate"
GATE_ALONE = "its gate alone"
MOST_POINTS = 40
CURVE = ["measure", "when", "side", "threshold", "recall", "false_positive_rate"]
EQUAL = [
    "set", "untrained", "trained", "true_positives", "false_positives", "own_true_positives", "own_false_positives",
]  # fmt: skip
AREA = ["measure", "when", "side", "area", "untrained", "trained"]


def alarms(measured: Measurements, judged: pd.DataFrame, choice: RulesChoice) -> pd.DataFrame:
    """Where each set and each of its rules raises an alarm: 1, 0, or NaN where what it needs was not recorded.

    Args:
        measured: the quantities that `judge` was given.
        judged: what `judge` returned of the same tables, whole and in its order.
        choice: the rule sets.

    Returns:
        One row a run under its `run_id`; columns (set, rule), the rule empty for the set as it speaks; of a gated set
        `UNGATED` where its gate is not asked, and `GATE_ALONE` where nothing else is.
    """
    columns: dict[tuple[str, str], np.ndarray] = {}
    for rules in choice.sets:
        held = rules_held(rules, measured)
        gate = gate_open(rules, measured)
        columns[rules.name, WHOLE] = _raised(symptoms(rules, held, gate))
        if gate is not None:
            columns[rules.name, UNGATED] = _raised(symptoms(rules, held))
            columns[rules.name, GATE_ALONE] = gate
        for rule in rules.rules:
            columns[rules.name, rule.name] = held[rule.name].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(judged["run_id"], name="run_id"))


def _raised(symptom: pd.Series) -> np.ndarray:
    quiet = symptom == Symptom.HEALTHY
    return np.where(symptom == Symptom.UNMEASURED, np.nan, np.where(quiet, 0.0, 1.0))


def agreement(raised: pd.DataFrame) -> pd.DataFrame:
    """For every two sets: runs that both could judge, in how many they say the same, and Cohen's kappa.

    Kappa is what they agree beyond chance: 1 for always, 0 for no more than chance (Cohen 1960); NaN where both
    always say the same one thing. Columns: one, other, runs, agreed, share, kappa, only_one, only_other.
    """
    whole = raised.xs(WHOLE, axis=1, level=1)
    rows = []
    for one, other in combinations(whole.columns, 2):
        both = whole[[one, other]].dropna()
        a, b, n = both[one].to_numpy(), both[other].to_numpy(), len(both)
        agreed = int((a == b).sum())
        chance = (a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())) if n else np.nan
        share = agreed / n if n else np.nan
        kappa = (share - chance) / (1 - chance) if n and chance < 1 else np.nan
        rows.append((one, other, n, agreed, share, kappa, int((a > b).sum()), int((b > a).sum())))
    columns = ["one", "other", "runs", "agreed", "share", "kappa", "only_one", "only_other"]
    return pd.DataFrame(rows, columns=columns)


def detection(raised: pd.DataFrame, at: pd.DataFrame) -> pd.DataFrame:
    """For every set and rule: of the runs that did not learn how many raised an alarm, of those that did how many.

    Args:
        raised: what `alarms` returned.
        at: the runs to ask, a part of what `judge` returned; failed and unmeasured ones are left out.

    Returns:
        `untrained` runs did not learn or diverged, `true_positives` of them raised an alarm: `recall`, with interval;
        `trained` ones learned, `false_positives` of them raised one: `false_positive_rate`. Intervals count cells,
        not replicates. Runs whose tables lack what a rule needs are only counted, as `unmeasured`.
    """
    known = at[~at["outcome"].isin([Outcome.FAILED, Outcome.UNMEASURED])]
    flags = raised.reindex(known["run_id"])
    learned = (known["outcome"] == Outcome.LEARNED).to_numpy()
    cells = known["cell_key"].to_numpy()
    rows = []
    for name, rule in flags.columns:
        flag = flags[name, rule].to_numpy()
        asked = ~np.isnan(flag)
        raised_untrained = _counted(flag, asked & ~learned, cells)
        raised_trained = _counted(flag, asked & learned, cells)
        rows.append((name, rule, *raised_untrained, *raised_trained, int((~asked).sum())))
    return pd.DataFrame(rows, columns=DETECTED)


def _counted(flag: np.ndarray, among: np.ndarray, cells: np.ndarray) -> tuple[int, int, float, float, float]:
    runs, hits = int(among.sum()), int((flag[among] == 1.0).sum())
    low, high = clustered_wilson(hits, runs, len(set(cells[among])))
    return runs, hits, hits / runs if runs else np.nan, low, high


def equal_rates(measured: Measurements, raised: pd.DataFrame, at: pd.DataFrame, rules: RuleSet) -> pd.DataFrame:
    """A gated set against each of the others, with its gate moved until it has no more false positives than they do.

    Args:
        measured: the quantities that `judge` was given.
        raised: what `alarms` returned.
        at: the runs to ask; failed and unmeasured ones are left out, and those that either set cannot judge.
        rules: the gated set; the threshold of its gate's first condition is moved.

    Returns:
        One row a set whose false-positive rate is known: `set`, `untrained`, `trained`, its `true_positives` and
        `false_positives`, and `own_true_positives` and `own_false_positives`.
    """
    known = at[~at["outcome"].isin([Outcome.FAILED, Outcome.UNMEASURED])]
    learned = (known["outcome"] == Outcome.LEARNED).to_numpy()
    flags = raised.reindex(known["run_id"])
    score = _gate_scores(measured, rules)[measured.runs.get_indexer(known["run_id"])]
    rows = []
    for name in dict.fromkeys(flags.columns.get_level_values(0)):
        flag = flags[name, WHOLE].to_numpy()
        both = ~np.isnan(flag) & ~np.isnan(score)
        good, bad = np.sort(score[both & learned])[::-1], score[both & ~learned]
        if not len(good) or not len(bad):
            continue
        false = int((flag[both & learned] == 1.0).sum())
        limit = good[false] if false < len(good) else -np.inf
        hits = int((flag[both & ~learned] == 1.0).sum())
        rows.append((name, len(bad), len(good), hits, false, int((bad > limit).sum()), int((good > limit).sum())))
    return pd.DataFrame(rows, columns=EQUAL)


def _gate_scores(measured: Measurements, rules: RuleSet) -> Reals:
    """What a gate's first condition asks, by run; infinity where another one holds, -inf where no rule does."""
    first, *others = rules.gate
    score = measured.by_run(QUANTITIES[first.measure]).copy()
    for each in others:
        score[measured.by_run(QUANTITIES[each.measure]) >= each.threshold] = np.inf
    said = symptoms(rules, rules_held(rules, measured))
    return np.where(
        np.isnan(score) | (said == Symptom.UNMEASURED), np.nan, np.where(_raised(said) == 1, score, -np.inf)
    )


def sweep(measured: Measurements, judged: pd.DataFrame, at: pd.DataFrame, choice: RulesChoice) -> pd.DataFrame:
    """Recall and false-positive rate of every measure that a chosen rule tests, over thresholds.

    Args:
        measured: the quantities that `judge` was given.
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
        values = run_numbers(measured, condition, When(when))[position]
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
        if side == "below" and QUANTITIES[name].unit == "decades" and (name, when, "above") in tests:
            tests[name, when, "beyond"] = condition
    return tests


def _when(rule: Rule, condition: Condition) -> str:
    return rule.when.value if QUANTITIES[condition.measure].per_step else "end"


def _side(condition: Condition) -> str:
    return "below" if condition.comparison is Comparison.BELOW else "above"
