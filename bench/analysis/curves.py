"""Medians over runs along an axis: gradient norm over layers, over layers and steps, and loss over steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.estimates import median_interval
from bench.analysis.tables import Moment, Tables, hidden
from bench.schema import RunStatus

NORM = "preactivation_grad_norm"
_LOSS = "_loss"  # beside the factor `loss`, of which curves may be grouped


def gradient_profile(tables: Tables, judged: pd.DataFrame, by: Sequence[str], moment: Moment) -> pd.DataFrame:
    """Pre-activation gradient norm by group and hidden layer, at a moment, over the runs in `judged`.

    A run that diverged counts with its last recorded step. Columns: `by`, layer_index, median, lower, upper,
    confidence, measured.
    """
    wanted = judged[["run_id", *by]]
    norms = tables["gradient_norms"]
    names = ["run_id", "step", "layer_index", "layer_name", NORM]
    rows = hidden({"gradient_norms": norms.loc[norms["run_id"].isin(wanted["run_id"]), names]}, moment)
    joined = rows[["run_id", "layer_index", NORM]].merge(wanted, on="run_id")
    profile = median_interval(joined, [*by, "layer_index"], NORM)
    return profile.sort_values([*by, "layer_index"], kind="stable", ignore_index=True)


def thinned(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of the steps, evenly spread over their order, the first and the last among them."""
    ordered = sorted(set(steps))
    if len(ordered) <= most:
        return ordered
    picks = np.unique(np.linspace(0, len(ordered) - 1, most).round().astype(int))
    return [ordered[pick] for pick in picks]


def loss_bands(tables: Tables, judged: pd.DataFrame, by: Sequence[str], most: int = 120) -> pd.DataFrame:
    """Training loss by group and step over the runs in `judged`; at most `most` steps.

    From the step at which a run was lost it counts as infinity, so that a median is one over all runs, never over
    the survivors. Columns: `by`, step, median, lower, upper, confidence, measured, lost (runs lost by then).
    """
    wanted = judged[["run_id", "status", *by]]
    curves = tables["loss_curves"]
    curves = curves[curves["run_id"].isin(wanted["run_id"])]
    steps = thinned(curves["step"].unique().tolist(), most)
    rows = curves[curves["step"].isin(steps)][["run_id", "step", "loss"]].rename(columns={"loss": _LOSS})
    if rows.empty:
        empty = pd.DataFrame(columns=[*by, "step", "median", "lower", "upper", "confidence", "measured", "lost"])
        return empty.astype(dict.fromkeys(("median", "lower", "upper", "confidence"), np.float64))
    grid = wanted.merge(pd.DataFrame({"step": steps}), how="cross").merge(rows, on=["run_id", "step"], how="left")
    last = curves.groupby("run_id", observed=True)["step"].max()
    ended = grid["step"] > grid["run_id"].map(last).astype(np.float64).fillna(-1.0)
    gone = (grid["status"] != RunStatus.COMPLETED) & (ended | grid[_LOSS].isna())
    grid = grid.assign(**{_LOSS: grid[_LOSS].mask(gone, np.inf)}, lost=gone.astype(int))
    keys = [*by, "step"]
    bands = median_interval(grid, keys, _LOSS)
    lost = grid.groupby(keys, sort=False, observed=True, dropna=False)["lost"].sum().reset_index()
    return bands.merge(lost, on=keys, how="left").sort_values(keys, kind="stable", ignore_index=True)


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
