"""One number per run, with what is known of it: a censored or lost run has bounds where others have a value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.analysis.claims.layers import over_layers
from bench.analysis.responses import chance_accuracy, response
from bench.analysis.tables import Tables
from bench.schema import RunStatus
from bench.suite.claims import ColumnNumber, LearnedNumber, Number, Part, ResponseNumber

BOUNDS = ["value", "low", "high"]
# Responses that a lost run has like any other, and those that are infinite where a run did not get there.
ALWAYS_MEASURED = ("steps_to_divergence", "steps_completed", "milliseconds_per_step")
STEP_RESPONSES = ("steps_to_accuracy", "steps_to_divergence")


def run_numbers(tables: Tables, part: Part) -> pd.DataFrame:
    """The number of each run, by `run_id` in the order of `runs`.

    Columns: `value`, NaN where nothing is known; `low` and `high`, the bounds of what it may be, equal to the value
    where it was measured; `lost`, `censored` and `unmeasured` (bool); `kept`, False for a run that `lost` excludes.
    """
    runs = tables["runs"].set_index("run_id")
    lost = runs["status"] != RunStatus.COMPLETED
    found = _measured(tables, part.number, runs)
    unmeasured = found["value"].isna()
    if needs_the_end(part.number):
        # At a step by its number a run may have been measured before it was lost.
        early = isinstance(part.number, ColumnNumber) and isinstance(part.number.step, int)
        found, kept = _substitute(found, part.lost, lost & unmeasured if early else lost, tables)
    else:
        kept = pd.Series(True, index=runs.index)
    unknown = found["value"].isna()
    bounds = (0.0, 1.0) if isinstance(part.number, LearnedNumber) else (-np.inf, np.inf)
    found = found.assign(low=found["low"].mask(unknown, bounds[0]), high=found["high"].mask(unknown, bounds[1]))
    if part.ln:
        found = found.assign(**{name: _ln(found[name]) for name in BOUNDS})
        # ln of a number below 0 is not known, nor is it bounded.
        found = found.assign(low=found["low"].fillna(-np.inf), high=found["high"].fillna(np.inf))
    return found.assign(lost=lost, unmeasured=unmeasured & ~lost, kept=kept)


def _measured(tables: Tables, number: Number, runs: pd.DataFrame) -> pd.DataFrame:
    """value, low, high and censored, as far as the tables tell."""
    if isinstance(number, LearnedNumber):
        accuracy = column_numbers(tables, _accuracy(number), runs)
        learned = (accuracy >= number.learned).astype(np.float64).mask(accuracy.isna())
        return _exact(learned.mask(runs["status"] != RunStatus.COMPLETED, 0.0))
    if isinstance(number, ResponseNumber):
        values = response(number.response).compute(tables).reindex(runs.index).astype(np.float64)
        if number.response in STEP_RESPONSES:
            return _censor(values.replace(np.inf, np.nan), runs)
        return _exact(values)
    values = column_numbers(tables, number, runs)
    return _censor(values, runs) if number.counts_steps else _exact(values)


def _accuracy(number: LearnedNumber) -> ColumnNumber:
    return ColumnNumber(column="accuracy", split=number.split)


def _exact(values: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(dict.fromkeys(BOUNDS, values)).assign(censored=False)


def _censor(steps: pd.Series, runs: pd.DataFrame) -> pd.DataFrame:
    """A run that did not get there needs more steps than were planned: one that diverged never would have."""
    never = steps.isna()
    stands = steps.mask(never, runs["steps"].astype(np.float64))
    return pd.DataFrame({"value": stands, "low": stands, "high": stands.mask(never, np.inf), "censored": never})


def needs_the_end(number: Number) -> bool:
    """Whether a run that was lost has not the number that it would have had."""
    if isinstance(number, LearnedNumber):
        return False
    if isinstance(number, ResponseNumber):
        name = number.response
        return not name.endswith("_start") and name not in (*ALWAYS_MEASURED, *STEP_RESPONSES)
    return not number.counts_steps and number.step != "start"


def _substitute(
    found: pd.DataFrame, rule: str | float, lost: pd.Series, tables: Tables
) -> tuple[pd.DataFrame, pd.Series]:
    """The numbers with what stands for lost runs, and which runs are kept."""
    kept = pd.Series(True, index=found.index)
    if rule == "measured":
        return found, kept
    if rule == "excluded":
        return found, ~lost
    stands: object = np.nan
    if rule == "chance":
        stands = chance_accuracy(tables).set_axis(found.index)
    elif rule != "unknown":
        stands = float(rule)
    return found.assign(**{name: found[name].mask(lost, stands) for name in BOUNDS}), kept


def _ln(values: pd.Series) -> pd.Series:
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)


def column_numbers(tables: Tables, number: ColumnNumber, runs: pd.DataFrame) -> pd.Series:
    """A recorded column's number by run, NaN where it was not recorded or, as a step, not reached.

    `runs` is the table by `run_id`, of which `depth` says where the layers end.
    """
    rows = tables[number.source]
    rows = rows[rows["run_id"].isin(runs.index)]
    if number.source == "evaluations":
        rows = rows[rows["split"] == number.split]
    rows = _at_steps(rows, number)
    values = rows[number.column].astype(np.float64)
    if number.over is not None:
        values = values / rows[number.over].astype(np.float64)
    rows = rows.assign(_value=_transformed(values.to_numpy(np.float64), number.transform))
    by_step = over_layers(rows, number, runs["depth"])
    return _over_steps(by_step, number).reindex(runs.index).astype(np.float64)


def _transformed(values: np.ndarray, transform: str) -> np.ndarray:
    done: Mapping[str, object] = {"ln": np.log, "log10": np.log10, "square": np.square}
    if transform == "none":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(done[transform](values))  # type: ignore[operator]


def _at_steps(rows: pd.DataFrame, number: ColumnNumber) -> pd.DataFrame:
    """The rows of the steps that matter, where they are few."""
    if number.counts_steps or number.step in ("mean", "min", "max"):
        return rows
    if isinstance(number.step, int):
        return rows[rows["step"] == number.step]
    steps = rows.groupby("run_id", sort=False, observed=True)["step"]
    first, last = rows["step"] == steps.transform("min"), rows["step"] == steps.transform("max")
    return rows[{"start": first, "end": last, "change": first | last}[number.step]]


def _over_steps(by_step: pd.DataFrame, number: ColumnNumber) -> pd.Series:
    """One value per run of run_id, step, _value."""
    ordered = by_step.sort_values(["run_id", "step"], kind="stable")
    if number.counts_steps:
        return _first_step(ordered, number)
    grouped = ordered.groupby("run_id", sort=False, observed=True)["_value"]
    if number.step == "change":
        ends = ordered.drop_duplicates("run_id", keep="last").set_index("run_id")["_value"]
        return ends - ordered.drop_duplicates("run_id", keep="first").set_index("run_id")["_value"]
    how = number.step if number.step in ("mean", "min", "max") else "last"
    return pd.Series(grouped.max() if how == "max" else grouped.min() if how == "min" else grouped.mean())


def _first_step(ordered: pd.DataFrame, number: ColumnNumber) -> pd.Series:
    values = ordered["_value"]
    if number.smooth > 1:
        rolled = ordered.groupby("run_id", sort=False, observed=True)["_value"].rolling(number.smooth).mean()
        values = rolled.reset_index(level=0, drop=True).reindex(ordered.index)
    there = values <= number.below if number.below is not None else values >= number.above
    return ordered[there].drop_duplicates("run_id").set_index("run_id")["step"].astype(np.float64)
