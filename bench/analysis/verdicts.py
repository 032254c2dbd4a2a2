"""Verdicts: a run's symptom and its outcome, by stated thresholds, kept apart from each other and from the tables.

A symptom is read from the signal at one moment: a network may show it and learn all the same, or show none and not
learn. The signal is looked at first: a run whose signal vanishes is not also called collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from bench.analysis.responses import measure
from bench.analysis.tables import Tables
from bench.analysis.thresholds import Thresholds, default_thresholds
from bench.schema import RunStatus


class Symptom(StrEnum):
    """What the network's signal looks like at one moment."""

    HEALTHY = "healthy"
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    COLLAPSED = "collapsed"
    UNMEASURED = "unmeasured"


class Outcome(StrEnum):
    """What became of the run."""

    LEARNED = "learned"
    NOT_LEARNED = "not_learned"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNMEASURED = "unmeasured"  # it ended, but its suite recorded no validation accuracy


def judge(tables: Tables, thresholds: Thresholds | None = None) -> pd.DataFrame:
    """One row per run: its `runs` row, every response, and its verdicts.

    Adds `symptom_start`, `symptom_end` (Symptom), `severe_start`, `severe_end` (bool) and `outcome` (Outcome).
    """
    limits = thresholds or default_thresholds()
    judged = tables["runs"].set_index("run_id", drop=False).rename_axis(None)
    measured = measure(tables)
    judged = judged.join(measured.drop(columns=[name for name in measured if name in judged.columns]))
    verdicts: dict[str, object] = {}
    for moment in ("start", "end"):
        ratio, gap = judged[f"first_to_last_{moment}"], judged[f"collapse_gap_{moment}"]
        verdicts[f"symptom_{moment}"] = symptom(ratio, gap, limits)
        severe = (ratio < limits.vanishing_severe.value) | (ratio > limits.exploding_severe.value)
        verdicts[f"severe_{moment}"] = severe
    return judged.assign(**verdicts, outcome=outcome(judged, limits)).reset_index(drop=True)


def symptom(ratio: pd.Series, gap: pd.Series, limits: Thresholds) -> pd.Series:
    """A symptom for each first-to-last ratio (decades) and collapse gap (1 - cosine)."""
    rules = [
        (ratio < limits.vanishing_warn.value, Symptom.VANISHING),
        (ratio > limits.exploding_warn.value, Symptom.EXPLODING),
        (gap < limits.collapse.value, Symptom.COLLAPSED),
        (ratio.notna(), Symptom.HEALTHY),
    ]
    return _first(rules, Symptom.UNMEASURED, ratio.index)


def learned_accuracy(chance: pd.Series, limits: Thresholds) -> pd.Series:
    """The final validation accuracy from which a run counts as learned."""
    return chance + limits.learned_share.value * (1.0 - chance)


def outcome(judged: pd.DataFrame, limits: Thresholds) -> pd.Series:
    """An outcome for each row of runs with `final_validation_accuracy` and `chance_accuracy` beside them."""
    status, accuracy = judged["status"], judged["final_validation_accuracy"]
    rules = [
        (status == RunStatus.FAILED, Outcome.FAILED),
        (status == RunStatus.DIVERGED, Outcome.DIVERGED),
        (accuracy >= learned_accuracy(judged["chance_accuracy"], limits), Outcome.LEARNED),
        (accuracy.notna(), Outcome.NOT_LEARNED),
    ]
    return _first(rules, Outcome.UNMEASURED, judged.index)


def _first(rules: Sequence[tuple[pd.Series, StrEnum]], otherwise: StrEnum, index: pd.Index) -> pd.Series:
    """The value of the first rule that holds, row by row."""
    conditions = [np.asarray(holds, dtype=bool) for holds, _ in rules]
    return pd.Series(
        np.select(conditions, [str(value) for _, value in rules], str(otherwise)), index=index, dtype="str"
    )
