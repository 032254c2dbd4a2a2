"""Whether times of two results can be compared: whether either machine was as busy while it trained.

A run that waits for a processor takes longer, and so does one whose processor shares what it has with another. Neither
is of the code. So what `timings` says of that is compared before any time is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.compare.pairs import Pairs
from bench.analysis.tables import Tables
from bench.text import number

COLUMNS = {"timed_seconds": "train_seconds", "timed_processor": "train_processor_time", "timed_busy": "machine_busy"}
WAITING = 0.5  # of the margin: the most that waiting may make of a difference
BUSY = 0.1  # of the machine


@dataclass(frozen=True)
class Load:
    """How busy the machine was while one side trained; NaN where it was not recorded.

    Attributes:
        got: of its training time, the share in which a process had a processor, summed over its threads.
        busy: the share of the machine's processor time that was in use.
        spent: seconds of processors, over all cohorts.
    """

    got: float
    busy: float
    spent: float


def timing_columns(tables: Tables, runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Each run's row of `timings`, as columns of judged runs."""
    cohorts = tables["timings"].set_index("cohort")
    return {name: runs["cohort"].map(cohorts[column]).astype(float)
            for name, column in COLUMNS.items() if column in cohorts}  # fmt: skip


def load_of(runs: pd.DataFrame) -> Load:
    """The load over the cohorts of some runs, by how long each trained."""
    if any(name not in runs for name in ("cohort", *COLUMNS)):
        return Load(np.nan, np.nan, np.nan)
    cohorts = runs.drop_duplicates("cohort")
    seconds, got, busy = (cohorts[name].to_numpy(np.float64) for name in COLUMNS)
    known = seconds > 0.0
    if not known.any():
        return Load(np.nan, np.nan, np.nan)
    total, spent = seconds[known].sum(), got[known].sum()
    return Load(float(spent / total), float((busy * seconds)[known].sum() / total), float(spent))


def unlike(pairs: Pairs, margin: float) -> str:
    """What says that a difference of times may not be the code's, in sentences; empty where nothing does.

    Processor time is told then, which waiting does not touch: but what shares a processor's parts makes it longer too.
    """
    base, candidate = load_of(pairs.base), load_of(pairs.candidate)
    got, busy = np.array([base.got, candidate.got]), np.array([base.busy, candidate.busy])
    if np.isnan(got).any() and np.isnan(busy).any():
        return "How busy the machine was is not recorded on both sides."
    if abs(np.log(got[0] / got[1])) > WAITING * margin:
        one, two = (number(100.0 * each) for each in got)
        ratio = number(candidate.spent / base.spent)
        return (
            f"BASE had a processor in {one} % of its time, CANDIDATE in {two} %: other work went on. "
            f"Processor time is × {ratio}."
        )
    if abs(busy[0] - busy[1]) > BUSY:
        one, two = (number(100.0 * each) for each in busy)
        return f"With BASE {one} % of the machine was in use, with CANDIDATE {two} %: other work went on."
    return ""
