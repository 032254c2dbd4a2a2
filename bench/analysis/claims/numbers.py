"""One number per run, with what is known of it: a censored or lost run has bounds where others have a value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.quantities import Measurements
from bench.quantities import Quantity
from bench.schema import RunStatus
from bench.suite.claims import Part

BOUNDS = ["value", "low", "high"]


def run_numbers(measured: Measurements, part: Part) -> pd.DataFrame:
    """The number of each run, by `run_id` in the order of `runs`.

    Columns: `value`, NaN where nothing is known; `low` and `high`, the bounds of what it may be, equal to the value
    where it was measured; `lost`, `censored` and `unmeasured` (bool); `kept`, False for a run that `lost` excludes.
    """
    number = part.number
    lost = measured.run_column("status") != RunStatus.COMPLETED
    found = _measured(measured, number, lost)
    unmeasured = found["value"].isna()
    kept = pd.Series(True, index=found.index)
    if not number.known_at_start:
        # At a step by its number a run may have been measured before it was lost.
        gone = lost & unmeasured if isinstance(number.step, int) else lost
        found, kept = _substitute(found, part.lost, gone, measured)
    unknown = found["value"].isna()
    bounds = (0.0, 1.0) if number.at_least is not None else (-np.inf, np.inf)
    found = found.assign(low=found["low"].mask(unknown, bounds[0]), high=found["high"].mask(unknown, bounds[1]))
    if part.ln:
        found = found.assign(**{name: ln(found[name]) for name in BOUNDS})
        # ln of a number below 0 is not known, nor is it bounded.
        found = found.assign(low=found["low"].fillna(-np.inf), high=found["high"].fillna(np.inf))
    return found.assign(lost=lost, unmeasured=unmeasured & ~lost, kept=kept)


def _measured(measured: Measurements, number: Quantity, lost: pd.Series) -> pd.DataFrame:
    """value, low, high and censored, as far as the tables tell."""
    values = measured.of(number)
    if number.counts_steps:
        return _censor(values.replace(np.inf, np.nan), measured.run_column("steps"))
    if number.at_least is not None:
        values = values.mask(lost, 0.0)
    return pd.DataFrame(dict.fromkeys(BOUNDS, values)).assign(censored=False)


def _censor(reached: pd.Series, planned: pd.Series) -> pd.DataFrame:
    """A run that did not get there needs more steps than were planned: one that diverged never would have."""
    never = reached.isna()
    stands = reached.mask(never, planned.astype(np.float64))
    return pd.DataFrame({"value": stands, "low": stands, "high": stands.mask(never, np.inf), "censored": never})


def _substitute(
    found: pd.DataFrame, rule: str | float, lost: pd.Series, measured: Measurements
) -> tuple[pd.DataFrame, pd.Series]:
    """The numbers with what stands for lost runs, and which runs are kept."""
    kept = pd.Series(True, index=found.index)
    if rule == "measured":
        return found, kept
    if rule == "excluded":
        return found, ~lost
    stands = {"unknown": np.nan, "chance": measured.chance_accuracy}.get(str(rule), rule)
    return found.assign(**{name: found[name].mask(lost, stands) for name in BOUNDS}), kept


def ln(values: pd.Series) -> pd.Series:
    """The natural logarithm; NaN of a number below 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)
