"""The rows of `attention` and `positions` by formula, for `dry`.

Attention is uniform at the start, its weights one over the keys, every one of which each query sees; of a run that
learns its entropy falls by `SHARPENED` of that, evenly over the steps. Of one that diverges the largest logit doubles
each step from `LOGIT`, and the entropy halves. The gradients of a head's value and output kernels are its share of its
layer's weight gradient, those of query and key `QUERY_SHARE` of them.

The mean square of a layer's pre-activations and the square of their gradient's norm fall by `BORDER` at each border on
which a position lies, once a layer down to the third power; with circular padding they are the same everywhere.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.factors import dataset_level, planned_heads, planned_positions
from bench.plan import Cohort
from bench.schema import conform

SHARPENED, LOGIT, QUERY_SHARE = 0.5, 1.0, 0.1
BORDER, MOST_POWER = 0.75, 3
UNKNOWN_KEYS = 16

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]
At = tuple[Indices, Indices]  # the run's place in the cohort and the step of each recorded pair, [rows]


def attention(cohort: Cohort, at: At, weights: Reals, sharpened: Reals, doubled: Reals) -> pa.Table:
    """The table.

    Args:
        at: which run and step each of the other arguments' rows is.
        weights: its weight gradient norm in each layer, [rows, layers].
        sharpened: the share of its training that a run which learns has behind it, else 0, [rows].
        doubled: how often a diverging run's loss has doubled, else 0, [rows].
    """
    told = planned_heads(cohort.structure)
    layers, heads = (np.array([row[k] for row in told], np.int64) for k in (0, 1))
    level = dataset_level(cohort.structure["dataset"])
    keys = level.shape[0] if level is not None and level.shape else UNKNOWN_KEYS
    share = np.repeat((1.0 - SHARPENED * sharpened) * 0.5**doubled, len(told))
    logit = np.repeat(LOGIT * 2.0**doubled, len(told))
    norms = (weights[:, layers] / math.sqrt(max(heads.max(initial=0) + 1, 1))).ravel()
    return conform(
        "attention",
        _keys(cohort, at, len(told)) | {
            "layer_index": np.tile(layers, len(at[0])),
            "head": np.tile(heads, len(at[0])),
            "entropy": share * math.log(keys),
            "entropy_share": share,
            "max_logit": logit,
            "logit_std": logit / 3.0,
            "max_weight": keys**-share,
            "query_grad_norm": QUERY_SHARE * norms,
            "key_grad_norm": QUERY_SHARE * norms,
            "value_grad_norm": norms,
            "output_grad_norm": norms,
        },
    )  # fmt: skip


def positions(cohort: Cohort, at: At, signal: Reals, square: Reals) -> pa.Table:
    """The table.

    Args:
        at: which run and step each of the other arguments' rows is.
        signal, square: its gradient norm and mean square in each hidden layer, [rows, layers].
    """
    told = planned_positions(cohort.structure)
    layers, rows, columns = (np.array([row[k] for row in told], np.int64) for k in (0, 1, 2))
    depth = signal.shape[1]
    ends = [np.zeros(depth, np.int64) for _ in range(2)]
    for end, places in zip(ends, (rows, columns), strict=True):
        np.maximum.at(end, layers, places)
    touched = sum(
        (((places == 0) | (places == end[layers])) & (end[layers] > 0)).astype(np.int64)
        for places, end in zip((rows, columns), ends, strict=True)
    )
    same = "padding" in cohort.structure and cohort.structure["padding"].name == "circular"
    ahead, back = (0 * layers if same else np.minimum(each, MOST_POWER) for each in (layers, depth - 1 - layers))
    every = np.array([(end_row + 1) * (end_column + 1) for end_row, end_column in zip(*ends, strict=True)])
    norms = signal[:, layers] / np.sqrt(every[layers]) * BORDER ** (0.5 * touched * back)
    return conform(
        "positions",
        _keys(cohort, at, len(told)) | {
            "layer_index": np.tile(layers, len(at[0])),
            "row": np.tile(rows, len(at[0])),
            "column": np.tile(columns, len(at[0])),
            "mean_square": (square[:, layers] * BORDER ** (touched * ahead)).ravel(),
            "preactivation_grad_norm": norms.ravel(),
        },
    )  # fmt: skip


def _keys(cohort: Cohort, at: At, each: int) -> dict[str, object]:
    run, step = at
    ids = np.array([one.run_id for one in cohort.runs], object)
    return {"run_id": np.repeat(ids[run], each), "step": np.repeat(step, each)}
