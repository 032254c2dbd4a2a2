"""Counts of runs by outcome and symptom, and which level of a factor does how well on equal terms."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.verdicts import Outcome
from bench.rules import Symptom


def tally(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Runs by group: `runs`, one column per Outcome, and one per Symptom at the start (`start_vanishing`, ...).

    `median_signal` is the median of `signal_ratio_start` in decades, over the runs in which it was measured.
    """
    flags = {"runs": pd.Series(1, index=judged.index)}
    for each in Outcome:
        flags[each.value] = (judged["outcome"] == each.value).astype(int)
    for symptom in Symptom:
        flags[f"start_{symptom.value}"] = (judged["symptom_start"] == symptom.value).astype(int)
    keys = list(by)
    summed = pd.concat([judged[keys], pd.DataFrame(flags)], axis=1)
    counted = summed.groupby(keys, sort=False, observed=True, dropna=False).sum()
    signal = judged.groupby(keys, sort=False, observed=True, dropna=False)["signal_ratio_start"].median()
    return counted.assign(median_signal=signal).reset_index()


def matched(judged: pd.DataFrame, factor: str, others: Sequence[str]) -> pd.DataFrame:
    """The runs that compare a factor's levels on equal terms.

    Kept are the combinations of the other factors and the replicate in which every level of `factor` was run: in a
    full product all of them, in a suite with includes and excludes only some, perhaps none.
    """
    context = [*others, "replicate"]
    levels = judged[factor].nunique()
    present = judged.groupby(context, sort=False, observed=True, dropna=False)[factor].transform("nunique")
    return judged[present == levels]
