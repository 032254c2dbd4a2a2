"""Where and when the back-propagated signal is large or small: its norm by layer and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.curves import thinned
from bench.analysis.estimates import median_interval
from bench.analysis.tables import Tables
from bench.schema import RunStatus

NORM = "preactivation_grad_norm"


def layer_step(
    tables: Tables, judged: pd.DataFrame, by: Sequence[str], most_steps: int = 24, most_layers: int = 32
) -> pd.DataFrame:
    """Median log10 of the pre-activation gradient norm by group, step and hidden layer, over the runs in `judged`.

    Steps and layers are thinned evenly, first and last kept. A norm of 0 counts as -inf, an infinite one as +inf. The
    median is one over the runs that were still there: `measured` of them; `lost` counts those that were lost before
    that step or had no number there when they were. A group whose runs all failed has rows too.

    Args:
        tables: `gradient_norms` is read; its `run_id` may be text or a category.
        judged: the runs wanted, with run_id, status, depth and the columns of `by`.
        by: one column at least.
        most_steps: how many steps are kept.
        most_layers: how many layers are kept.

    Returns:
        `by`, step, layer_index, median (decades), measured, lost; sorted by them.
    """
    keys = list(by)
    norms = tables["gradient_norms"]
    norms = norms.loc[norms["run_id"].isin(judged["run_id"]), ["run_id", "step", "layer_index", "layer_name", NORM]]
    norms = norms[norms["layer_name"] != "head"]
    steps = thinned(norms["step"].unique().tolist(), most_steps)
    layers = thinned(norms["layer_index"].unique().tolist(), most_layers)
    kept = norms[norms["step"].isin(steps) & norms["layer_index"].isin(layers)]
    last = norms.groupby("run_id", observed=True)["step"].max()
    grid = _grid(judged, keys, steps, layers)
    if grid.empty:
        return grid.assign(median=0.0, measured=0, lost=0)
    place = [*keys, "step", "layer_index"]
    status = judged[["run_id", "status", *keys]].assign(run_id=judged["run_id"].astype(str))
    rows = kept.drop(columns="layer_name").assign(run_id=kept["run_id"].astype(str)).merge(status, on="run_id")
    with np.errstate(divide="ignore"):
        rows[NORM] = np.log10(rows[NORM])
    rows["gone"] = (rows["status"] != RunStatus.COMPLETED) & rows[NORM].isna()
    medians = median_interval(rows, place, NORM)[[*place, "median", "measured"]]
    gone = rows.groupby(place, observed=True)["gone"].sum().reset_index()
    ended = _ended(status, last, keys, steps)
    found = grid.merge(medians, on=place, how="left").merge(gone, on=place, how="left")
    found = found.merge(ended, on=[*keys, "step"], how="left")
    counts = found[["measured", "gone", "ended"]].fillna(0).astype(int)
    found = found.assign(measured=counts["measured"], lost=counts["gone"] + counts["ended"])
    return found[[*place, "median", "measured", "lost"]].sort_values(place, kind="stable", ignore_index=True)


def _grid(judged: pd.DataFrame, keys: list[str], steps: list[int], layers: list[int]) -> pd.DataFrame:
    """Every group with every step and each of the kept layers that its networks have."""
    depths = judged[keys].assign(_depth=judged["depth"].astype(str).astype(float))
    groups = depths.groupby(keys, sort=False, observed=True, dropna=False)["_depth"].max().reset_index()
    grid = groups.merge(pd.DataFrame({"step": steps}, dtype=np.int64), how="cross")
    grid = grid.merge(pd.DataFrame({"layer_index": layers}, dtype=np.int64), how="cross")
    return grid[grid["layer_index"] < grid["_depth"]].drop(columns="_depth")


def _ended(status: pd.DataFrame, last: pd.Series, keys: list[str], steps: list[int]) -> pd.DataFrame:
    """By group and step, how many runs were lost and have their last recorded step before it."""
    lost = status[status["status"] != RunStatus.COMPLETED]
    final = lost["run_id"].map(last.rename(index=str)).astype(np.float64).fillna(-1.0)
    lost = lost[keys].assign(_last=final).merge(pd.DataFrame({"step": steps}, dtype=np.int64), how="cross")
    lost["ended"] = (lost["step"] > lost["_last"]).astype(int)
    return lost.groupby([*keys, "step"], observed=True, dropna=False)["ended"].sum().reset_index()
