"""What heads and positions of layers show over a run: entropies and logits by step, and cuts through images.

Positions are compared with the middle of their layer, so that the layer's own size plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.tables import Tables
from bench.schema import RunStatus

HEADS, PLACES = "attention", "positions"  # the tables
FEW_KEYS = 0.3  # of ln of the keys: an entropy below it looks at few keys (Zhai et al. 2023 call it a collapse)
PLACED = {"mean_square": "square", "preactivation_grad_norm": "gradient"}


def heads_by_step(tables: Tables, judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By group, step, layer and head the medians over the runs that were left.

    Columns: `by`, step, layer_index, head, entropy (its share of the largest), logit (log10 of the largest), measured
    and lost: the runs that had diverged or failed before that step.
    """
    rows = tables[HEADS]
    wanted = judged[["run_id", "status", *by]].assign(run_id=judged["run_id"].astype(str))
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = rows.assign(run_id=rows["run_id"].astype(str), logit=np.log10(rows["max_logit"].clip(lower=0.0)))
    joined = rows.merge(wanted, on="run_id")
    keys = [*by, "step", "layer_index", "head"]
    found = joined.groupby(keys, observed=True, sort=True).agg(
        entropy=("entropy_share", "median"), logit=("logit", "median"), measured=("entropy_share", "count")
    )
    last = rows.groupby("run_id")["step"].max()
    gone = wanted[wanted["status"] != RunStatus.COMPLETED]
    gone = gone.assign(last=gone["run_id"].map(last).astype(np.float64).fillna(-1.0))[[*by, "last"]]
    found = found.reset_index()
    pairs = found[[*by, "step"]].drop_duplicates()
    pairs = pairs.merge(gone, on=list(by)) if by else pairs.merge(gone, how="cross")
    lost = pairs[pairs["step"] > pairs["last"]].groupby([*by, "step"], observed=True).size().rename("lost")
    found = found.merge(lost.reset_index(), on=[*by, "step"], how="left")
    return found.assign(lost=found["lost"].fillna(0).astype(int))


def narrowest(tables: Tables) -> pd.DataFrame:
    """By run_id: lowest, the least share of the largest entropy of any head at any recorded step, and its step, layer
    and head; logit, the largest of all; last, the last recorded step, and the least share there.
    """
    rows = tables[HEADS].dropna(subset=["entropy_share"])
    rows = rows.assign(run_id=rows["run_id"].astype(str))
    low = rows.sort_values(["entropy_share", "step"], kind="stable").drop_duplicates("run_id").set_index("run_id")
    grouped = rows.groupby("run_id")
    last = rows[rows["step"] == grouped["step"].transform("max")].groupby("run_id")
    return (
        low[["entropy_share", "step", "layer_index", "head"]]
        .rename(columns={"entropy_share": "lowest"})
        .assign(logit=grouped["max_logit"].max(), last=grouped["step"].max(), ends=last["entropy_share"].min())
    )


def cuts(tables: Tables) -> pd.DataFrame:
    """A cut through the middle of each layer's images at a run's first recorded step.

    Columns: run_id, layer_index, column, size (the last column's number plus one), square and gradient: decades of the
    mean square, and of the gradient's norm, over those in the middle.
    """
    table = tables[PLACES]
    rows = table[table["step"] == table.groupby("run_id", observed=True)["step"].transform("min")]
    keys = ["run_id", "layer_index"]
    rows = rows.assign(run_id=rows["run_id"].astype(str))
    ends = rows.groupby(keys)[["row", "column"]].transform("max")
    rows = rows.assign(size=ends["column"] + 1)
    rows = rows[(2 * rows["row"] - ends["row"]).abs() <= 1]
    along = rows.groupby([*keys, "size", "column"], sort=True)[list(PLACED)].mean().reset_index()
    middle = along[(2 * along["column"] - along["size"] + 1).abs() <= 1].groupby(keys)[list(PLACED)].mean()
    joined = along.merge(middle, on=keys, suffixes=("", "_middle"))
    with np.errstate(divide="ignore", invalid="ignore"):
        told = {short: np.log10(joined[name] / joined[f"{name}_middle"]) for name, short in PLACED.items()}
    return joined[[*keys, "column", "size"]].assign(**told)


def mean_squares(tables: Tables) -> dict[str, float]:
    """By run_id the mean square of the first layer's pre-activations at the first look, over the kept positions."""
    table = tables[PLACES]
    rows = table[table["step"] == table.groupby("run_id", observed=True)["step"].transform("min")]
    rows = rows[rows["layer_index"] == 0]
    return {
        str(run): float(value) for run, value in rows.groupby("run_id", observed=True)["mean_square"].mean().items()
    }


def corners(tables: Tables) -> pd.DataFrame:
    """By run and layer, at the first recorded step, square and gradient: decades at the ends over the middle.

    Of an image its corners, of a sequence its ends.
    """
    table = tables[PLACES]
    rows = table[table["step"] == table.groupby("run_id", observed=True)["step"].transform("min")]
    keys = ["run_id", "layer_index"]
    rows = rows.assign(run_id=rows["run_id"].astype(str))
    ends = rows.groupby(keys)[["row", "column"]].transform("max")
    at_end = [rows[axis].eq(0) | rows[axis].eq(ends[axis]) for axis in ("row", "column")]
    middle = [(2 * rows[axis] - ends[axis]).abs() <= 1 for axis in ("row", "column")]
    parts = [rows[both[0] & both[1]].groupby(keys)[list(PLACED)].mean() for both in (at_end, middle)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(parts[0] / parts[1]).rename(columns=PLACED).reset_index()
