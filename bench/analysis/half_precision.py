"""Where a run in float16 shows that its numbers end: finders for `causes`, as those of `signs`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.records import NO_LAYER, Records, hits, none
from bench.analysis.signs import not_finite
from bench.analysis.tables import Reals, positions
from bench.factors import FACTORS, FLOAT16, first_scale, level_name, read_label
from bench.schema import EventKind, Tensor

# Zeros are float16's own where what is left is about as small as its smallest numbers, 6e-8: dead units leave others.
SMALL = 1e-6
# Tensors that layers compute.
HALF = (str(Tensor.PREACTIVATION), str(Tensor.LOGITS), str(Tensor.ACTIVATION), str(Tensor.GRADIENT))


def underflowed(records: Records, threshold: float) -> pd.DataFrame:
    """Kernels whose gradient is 0 for the most part at the first recorded step, and next to it in the rest.

    The layer is the one nearest the loss: a gradient that is lost on the way back is lost from there on down.
    """
    rows, scales = records.rows("gradient_norms"), first_scales(records)
    share, mean = rows.column("weight_grad_zero_fraction"), rows.column("weight_grad_mean_abs")
    with np.errstate(invalid="ignore"):
        small = mean * scales[rows.row_run] <= SMALL
        at = np.flatnonzero((share >= threshold) & small & np.repeat(rows.first, rows.sizes))[::-1]
    return hits(rows.row_run[at], rows.row_step[at], rows.layer[at], share[at], threshold)


def skipping(records: Records, threshold: float) -> pd.DataFrame:
    """Runs most of whose steps were skipped, at the first of them."""
    rows, share = records.rows("loss_curves"), np.full(len(records.runs), np.nan)
    share[rows.row_run] = rows.column("skipped") / (rows.row_step + 1.0)  # the last recorded step's stays
    events = records.tables["divergence_events"]
    events = events[events["kind"] == str(EventKind.SKIPPED_STEP)]
    first = (
        pd.Series(events["step"].to_numpy(np.int64), positions(events["run_id"], records.runs)).groupby(level=0).min()
    )
    at = np.flatnonzero(share >= threshold)
    return hits(at, first.reindex(at, fill_value=0).to_numpy(np.int64), NO_LAYER, share[at], threshold)


def overflowed(records: Records, threshold: float) -> pd.DataFrame:
    """The first infinity or NaN that a run in float16 met in what its layers compute, whenever."""
    return _in_float16(records, records.broken)


def overflowed_at_start(records: Records, threshold: float) -> pd.DataFrame:
    """The same in the first step, where nothing before it was too large even for float32."""
    return _in_float16(records, not_finite(records, threshold))


def first_scales(records: Records) -> Reals:
    """The loss scale of each run's first step; NaN in other precisions."""
    labels = records.tables["runs"].get("precision")
    if labels is None:
        return np.full(len(records.runs), np.nan)
    scales = {label: first_scale(read_label(FACTORS["precision"], str(label))) for label in labels.dropna().unique()}
    return np.array([scales.get(label) for label in labels], np.float64)


def _in_float16(records: Records, broken: pd.DataFrame) -> pd.DataFrame:
    labels = records.tables["runs"].get("precision")
    if labels is None or broken.empty:
        return none()
    half = (labels.map(level_name, na_action="ignore").astype(str) == FLOAT16).to_numpy(bool)
    return broken[half[broken["run"].to_numpy(np.int64)] & broken["tensor"].isin(HALF).to_numpy(bool)]
