"""Medians with intervals along an axis: gradient norm over layers, loss over steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.estimates import median_interval
from bench.analysis.signal import hidden
from bench.analysis.tables import Moment, Tables
from bench.schema import RunStatus


def gradient_profile(tables: Tables, judged: pd.DataFrame, by: Sequence[str], moment: Moment) -> pd.DataFrame:
    """Pre-activation gradient norm by group and hidden layer, at a moment, over the runs in `judged`.

    A run that diverged counts with its last recorded step. Columns: `by`, layer_index, median, lower, upper,
    confidence, measured.
    """
    wanted = judged[["run_id", *by]]
    norms = tables["gradient_norms"]
    rows = hidden({"gradient_norms": norms[norms["run_id"].isin(wanted["run_id"])]}, moment)
    joined = rows[["run_id", "layer_index", "preactivation_grad_norm"]].merge(wanted, on="run_id")
    profile = median_interval(joined, [*by, "layer_index"], "preactivation_grad_norm")
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
    rows = curves[curves["step"].isin(steps)][["run_id", "step", "loss"]]
    if rows.empty:
        empty = pd.DataFrame(columns=[*by, "step", "median", "lower", "upper", "confidence", "measured", "lost"])
        return empty.astype(dict.fromkeys(("median", "lower", "upper", "confidence"), np.float64))
    grid = wanted.merge(pd.DataFrame({"step": steps}), how="cross").merge(rows, on=["run_id", "step"], how="left")
    last = curves.groupby("run_id", observed=True)["step"].max()
    ended = grid["step"] > grid["run_id"].map(last).astype(np.float64).fillna(-1.0)
    gone = (grid["status"] != RunStatus.COMPLETED) & (ended | grid["loss"].isna())
    grid = grid.assign(loss=grid["loss"].mask(gone, np.inf), lost=gone.astype(int))
    keys = [*by, "step"]
    bands = median_interval(grid, keys, "loss")
    lost = grid.groupby(keys, sort=False, observed=True, dropna=False)["lost"].sum().reset_index()
    return bands.merge(lost, on=keys, how="left").sort_values(keys, kind="stable", ignore_index=True)
