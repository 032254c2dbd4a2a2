"""Where a transformer shows a sign of trouble between its tokens: finders for `causes`, as those of `signs`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.records import NO_LAYER, Records, hits, none
from bench.analysis.tables import positions

TABLE = "attention"
NOT_LEARNING = 0.9  # of the best constant answer's loss: what is below it has begun to learn


def one_key(records: Records, threshold: float) -> pd.DataFrame:
    """Attention that gives all to one key, in the mean of a sub-layer's heads, while the loss says that none is right.

    A head that answers may look at one key alone, as reversing a sequence asks for: no sign where the loss of the
    training batch is well below that of the best constant answer.
    """
    table = records.tables.get(TABLE)
    if table is None or table.empty:
        return none()
    heads = table.assign(run=positions(table["run_id"], records.runs))
    keys = ["run", "step", "layer_index"]
    share = heads[heads["run"] >= 0].groupby(keys)["entropy_share"].mean().reset_index()
    losses = records.rows("loss_curves")
    loss = pd.Series(losses.column("loss"), pd.MultiIndex.from_arrays([losses.row_run, losses.row_step]))
    at = pd.MultiIndex.from_frame(share[["run", "step"]])
    learning = loss.reindex(at).to_numpy() < NOT_LEARNING * records.of_run("naive_loss")[share["run"]]
    found = share[(share["entropy_share"] <= threshold).to_numpy() & ~learning]
    run, step, layer = (found[key].to_numpy(np.int64) for key in keys)
    return hits(run, step, layer, found["entropy_share"].to_numpy(np.float64), threshold)


def tokens_alike(records: Records, threshold: float) -> pd.DataFrame:
    """Tokens of a sample that the last sub-layer leaves in one direction, from the start."""
    rows = records.rows("activations")
    distance = rows.column("token_distance")
    last = np.diff(rows.row_block, append=NO_LAYER) != 0
    at = np.flatnonzero((distance < threshold) & last & np.repeat(rows.first, rows.sizes))
    return hits(rows.row_run[at], rows.row_step[at], rows.layer[at], distance[at], threshold)
