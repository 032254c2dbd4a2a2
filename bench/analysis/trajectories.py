"""One number per run from a whole recorded curve, and the rows at a run's ends, from tables of any size.

A table's rows need no order. Whatever a run did not record is NaN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.tables import Tables
from bench.rules import learned_rule
from bench.schema import EventKind, RunStatus


def at_ends(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's first and last recorded step: all that `at_moment` needs, and far fewer."""
    if frame.empty:
        return frame
    code, runs = run_codes(frame["run_id"])
    step = frame["step"].to_numpy()
    first = np.full(len(runs), step.max())
    last = np.full(len(runs), step.min())
    np.minimum.at(first, code, step)
    np.maximum.at(last, code, step)
    return frame[(step == first[code]) | (step == last[code])]


def run_codes(ids: pd.Series) -> tuple[NDArray[np.int64], pd.Index]:
    """Each row's run as a number, and the run ids that the numbers stand for."""
    if isinstance(ids.dtype, pd.CategoricalDtype):
        return ids.cat.codes.to_numpy(np.int64), pd.Index(ids.cat.categories)
    code, runs = pd.factorize(ids)
    return code.astype(np.int64), pd.Index(runs)


def best(tables: Tables, column: str, how: str) -> pd.Series:
    """The best recorded validation value of a column by run; `how` is "min" or "max"."""
    rows = tables["evaluations"]
    rows = rows[rows["split"] == "validation"]
    return rows.groupby("run_id", sort=False, observed=True)[column].agg(how)


def steps_to_accuracy(tables: Tables, chance: pd.Series) -> pd.Series:
    """First recorded step at which a run's validation accuracy is learned, by run; infinity where it never was.

    Learned is the default rule's share of the way from `chance` (by run id) to 1.
    """
    rows = tables["evaluations"]
    rows = rows[(rows["split"] == "validation") & rows["accuracy"].notna()]
    code, runs = run_codes(rows["run_id"])
    start = chance.reindex(runs).fillna(0.0).to_numpy(np.float64)
    line = start + learned_rule().learned_share * (1.0 - start)
    reached = rows["accuracy"].to_numpy(np.float64) >= line[code]
    first = np.full(len(runs), np.inf)
    np.minimum.at(first, code[reached], rows["step"].to_numpy(np.float64)[reached])
    seen = np.bincount(code, minlength=len(runs)) > 0
    return pd.Series(first, index=runs)[seen]


def steps_to_divergence(tables: Tables) -> pd.Series:
    """Step of a run's first NaN or infinity, by run; infinity for a completed run, NaN for one that failed."""
    events = tables["divergence_events"]
    events = events[events["kind"].isin([str(EventKind.NAN), str(EventKind.INFINITY)])]
    first = events.groupby("run_id", sort=False, observed=True)["step"].min().astype(np.float64)
    runs = tables["runs"].set_index("run_id")["status"]
    return first.reindex(runs.index).mask((runs == RunStatus.COMPLETED).to_numpy(), np.inf)


def loss_area(tables: Tables) -> pd.Series:
    """Mean training loss over a run's recorded steps, by the trapezoidal rule, by run, in nat.

    A run with one recorded step has that step's loss. A loss that is NaN is not measured and left out.
    """
    rows = tables["loss_curves"]
    rows = rows[rows["loss"].notna()]
    code, runs = run_codes(rows["run_id"])
    if not len(rows):
        return pd.Series(dtype=np.float64)
    step = rows["step"].to_numpy(np.float64)
    order = np.lexsort((step, code))
    code, step, loss = code[order], step[order], rows["loss"].to_numpy(np.float64)[order]
    same = code[1:] == code[:-1]
    pieces = np.where(same, np.diff(step) * (loss[1:] + loss[:-1]) / 2.0, 0.0)
    count = np.bincount(code, minlength=len(runs))
    area = np.bincount(code[1:], weights=pieces, minlength=len(runs))
    span = np.bincount(code[1:], weights=np.where(same, np.diff(step), 0.0), minlength=len(runs))
    alone = np.bincount(code, weights=loss, minlength=len(runs))
    mean = np.where(span > 0.0, area / np.where(span > 0.0, span, 1.0), alone / np.maximum(count, 1))
    return pd.Series(mean, index=runs)[count > 0]


def seconds_per_step(timings: pd.DataFrame) -> pd.Series:
    """Training time of a cohort over its runs and its steps after the first, by cohort, in seconds."""
    cohorts = timings.set_index("cohort")
    return cohorts["train_seconds"] / (cohorts["runs"] * (cohorts["steps"] - 1).clip(lower=1))


def milliseconds_per_step(tables: Tables) -> pd.Series:
    """`seconds_per_step` of a run's cohort, by run, in milliseconds."""
    return tables["runs"].set_index("run_id")["cohort"].map(1000.0 * seconds_per_step(tables["timings"]))
