"""Do rule sets agree, and do they tell what a network will do? Alarms of each against each other and the outcome.

A run *raises an alarm* by a rule set where its verdict is a symptom. What an alarm should foretell is that the network
does not learn. Where a suite varies the learning rate, pass the runs at each cell's best one (`at_best`): then a run
that did not learn belongs to a network that could not be trained at any of the rates tried.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from bench.analysis.measurements import Measurements
from bench.analysis.shares import clustered_wilson
from bench.analysis.symptoms import gate_open, rules_held, symptoms
from bench.analysis.verdicts import Outcome
from bench.rules import RulesChoice, Symptom

DETECTED = [
    "set", "rule", "untrained", "true_positives", "recall", "recall_lower", "recall_upper", "trained",
    "false_positives", "false_positive_rate", "false_positive_rate_lower", "false_positive_rate_upper", "unmeasured",
]  # fmt: skip
WHOLE = ""  # the rule's name in a row on a whole set
UNGATED = "without its gate"


def alarms(measured: Measurements, judged: pd.DataFrame, choice: RulesChoice) -> pd.DataFrame:
    """Where each set and each of its rules raises an alarm: 1, 0, or NaN where what it needs was not recorded.

    Args:
        measured: what `measurements` returned.
        judged: what `judge` returned of the same tables, whole and in its order.
        choice: the rule sets.

    Returns:
        One row a run under its `run_id`; columns (set, rule), the rule empty for the set as it speaks, and
        `UNGATED` for a gated set whose gate is not asked.
    """
    columns: dict[tuple[str, str], np.ndarray] = {}
    for rules in choice.sets:
        held = rules_held(rules, measured, judged["activation"])
        gate = gate_open(rules, measured)
        columns[rules.name, WHOLE] = _raised(symptoms(rules, held, gate))
        if gate is not None:
            columns[rules.name, UNGATED] = _raised(symptoms(rules, held))
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
