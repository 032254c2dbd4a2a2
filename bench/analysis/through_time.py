"""How much of a gradient is left some time steps before the loss, by run, and how far back that is.

Of a cell with a state behind gates (LSTM) the gradient is that for the cell state, which theory speaks of too; of any
other that for h. Everything is relative to the gradient at lag 0, so that the loss's own size plays no part. Where a
loss is read at every time step each has lag 0, and there is nothing to compare: such layers have no rows here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.quantities import log_ratio
from bench.analysis.tables import Reals, Tables
from bench.schema import RunStatus
from bench.theory.lags import LEFT

TABLE = "time_gradients"
LEFT_DECADES = float(np.log10(LEFT))  # below it a gradient is past its horizon
GROWN = -LEFT_DECADES  # above it a gradient has exploded on its way
VANISHING, EXPLODING = "vanishing through time", "exploding through time"
IN_TIME = "symptom_in_time"  # the column of judged runs that has these, where time was recorded
PLACE = ["run_id", "step", "layer_index", "direction"]  # of one profile
# What a network's gradient before the first update does not depend on; a factor that is not there yet has no column.
AFTER_START = ("learning_rate", "optimizer", "clipping", "regularization", "steps", "warmup", "schedule")


def lags(tables: Tables, step: str = "each") -> pd.DataFrame:
    """What is left at each recorded lag: `PLACE`, lag and decades, log10 of the norm over that at lag 0.

    A norm of 0 is −inf; a profile whose norm at lag 0 is 0 or no number has no rows.

    Args:
        tables: `time_gradients` is read.
        step: `each` recorded step, a run's first, `start`, or its last, `end`.
    """
    empty = pd.DataFrame(columns=[*PLACE, "lag", "decades"]).astype({"lag": np.int64, "decades": np.float64})
    table = tables.get(TABLE)
    if table is None or table.empty:
        return empty
    if step != "each":
        steps = table.groupby("run_id", observed=True)["step"]
        table = table[table["step"] == steps.transform("min" if step == "start" else "max")]
    rows = table[[*PLACE, "lag"]].assign(norm=table["cell_grad_norm"].fillna(table["state_grad_norm"]).astype(float))
    rows = rows.assign(run_id=rows["run_id"].astype(str), direction=rows["direction"].astype(str))
    rows = rows.sort_values([*PLACE, "lag"], kind="stable", ignore_index=True)
    grouped = rows.groupby(PLACE, sort=False)
    first, longest = grouped["norm"].transform("first"), grouped["lag"].transform("max")
    known = (grouped["lag"].transform("min") == 0) & (longest > 0) & (first > 0.0) & np.isfinite(first)
    found = rows[known].assign(decades=log_ratio(rows.loc[known, "norm"].to_numpy(), first[known].to_numpy()))
    return found.drop(columns="norm").reset_index(drop=True)


def horizons(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a profile of what `lags` returned: how far back its gradient reaches.

    Columns: `PLACE`; horizon, the smallest lag at which less than 1 % is left, on a straight line between recorded
    lags, infinite where that much is left at all of them; longest, the largest recorded lag, and left, the decades
    there; peak, the most decades at any lag, and peak_lag.
    """
    below = rows["decades"].to_numpy(np.float64) < LEFT_DECADES
    crossed = rows.assign(horizon=_crossing(rows))[below].drop_duplicates(PLACE)[[*PLACE, "horizon"]]
    grouped = rows.groupby(PLACE, sort=False)
    ends = grouped.tail(1)[[*PLACE, "lag", "decades"]].rename(columns={"lag": "longest", "decades": "left"})
    top = rows.assign(decades=rows["decades"].fillna(-np.inf)).sort_values("decades", ascending=False, kind="stable")
    top = top.drop_duplicates(PLACE)[[*PLACE, "lag", "decades"]].rename(columns={"lag": "peak_lag", "decades": "peak"})
    found = ends.merge(crossed, on=PLACE, how="left").merge(top, on=PLACE, how="left")
    return found.assign(horizon=found["horizon"].astype(np.float64).fillna(np.inf))


def _crossing(rows: pd.DataFrame) -> Reals:
    """Of each row the smallest whole lag past the horizon on the line from the row before it."""
    lag, decades = rows["lag"].to_numpy(np.float64), rows["decades"].to_numpy(np.float64)
    before, above = np.roll(lag, 1), np.roll(decades, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        at = before + (LEFT_DECADES - above) / (decades - above) * (lag - before)
    return np.asarray(np.minimum(np.where(np.isfinite(at), np.floor(at) + 1.0, lag), lag), np.float64)


def symptoms_in_time(tables: Tables) -> pd.Series:
    """By run_id what its gradient does along time at its first recorded step, in the layer nearest the loss.

    Vanishing where the horizon comes before the largest lag; exploding where some lag has 100 times what lag 0 has.
    """
    reach = horizons(top_layer(lags(tables, "start"))).set_index("run_id")
    said = pd.Series(None, index=reach.index, dtype=object)
    said = said.mask(np.isfinite(reach["horizon"]), VANISHING)
    return said.mask(reach["peak"] > GROWN, EXPLODING)


def top_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the recurrent layer nearest the loss, forward in time: the one of which theory speaks."""
    last = rows.groupby("run_id", sort=False)["layer_index"].transform("max")
    return rows[(rows["layer_index"] == last) & (rows["direction"] == "forward")]


def kinds(varied: Sequence[str]) -> list[str]:
    """The factors that vary and that a network's gradient before the first update depends on."""
    return [name for name in varied if name not in AFTER_START]


def drawn_once(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One run of each kind and replicate: others are the same network at the start."""
    return judged.drop_duplicates([*by, "replicate"])


def by_lag(rows: pd.DataFrame, judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Over the runs in `judged`: `by`, lag, median, lower, upper (the range) and runs, decades."""
    wanted = judged[["run_id", *by]].assign(run_id=judged["run_id"].astype(str))
    joined = rows.dropna(subset=["decades"]).merge(wanted, on="run_id")
    grouped = joined.groupby([*by, "lag"], sort=True, observed=True, dropna=False)["decades"]
    named = {"median": "median", "lower": "min", "upper": "max", "runs": "size"}
    return grouped.agg(**named).reset_index() if len(joined) else pd.DataFrame(columns=[*by, "lag", *named])


def lag_step(rows: pd.DataFrame, judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By group, step and lag the median decades over the runs that were left: `by`, step, lag, median, measured, lost.

    `lost` are the runs that had no recorded step any more because they had diverged or failed.
    """
    wanted = judged[["run_id", "status", *by]].assign(run_id=judged["run_id"].astype(str))
    joined = rows.merge(wanted, on="run_id")
    keys = [*by, "step", "lag"]
    medians = joined.groupby(keys, sort=True, observed=True)["decades"].agg(median="median", measured="count")
    found = medians.reset_index()
    last = rows.groupby("run_id")["step"].max()
    gone = wanted[wanted["status"] != RunStatus.COMPLETED]
    gone = gone.assign(last=gone["run_id"].map(last).astype(np.float64).fillna(-1.0))[[*by, "last"]]
    pairs = found[[*by, "step"]].drop_duplicates().merge(gone, on=list(by))
    pairs = pairs[pairs["step"] > pairs["last"]]
    lost = pairs.groupby([*by, "step"], observed=True).size().rename("lost").reset_index()
    found = found.merge(lost, on=[*by, "step"], how="left")
    return found.assign(lost=found["lost"].fillna(0).astype(int))
