"""Several layers of a run at a step become one value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.suite.claims import ColumnNumber

_KEYS = ["run_id", "step"]


def over_layers(rows: pd.DataFrame, number: ColumnNumber, depth: pd.Series) -> pd.DataFrame:
    """`run_id`, `step` and `_value` of rows with a `_value` per layer; rows without layers pass as they are.

    `depth` is the number of hidden layers by run; the head's index is that number.
    """
    if "layer_index" not in rows.columns:
        return rows[[*_KEYS, "_value"]]
    chosen = _chosen(rows, number, depth)
    grouped = chosen.groupby(_KEYS, sort=False, observed=True)["_value"]
    if number.take == "slope":
        return _slopes(chosen, number.on == "ln_layer")
    if number.take == "first_less_last":
        ordered = chosen.sort_values("layer_index", kind="stable")
        first = ordered.drop_duplicates(_KEYS, keep="first").set_index(_KEYS)["_value"]
        with np.errstate(invalid="ignore"):
            found = first - ordered.drop_duplicates(_KEYS, keep="last").set_index(_KEYS)["_value"]
        return found.rename("_value").reset_index()
    # A layer that was not measured leaves the value unknown: what is left may be the better ones.
    whole = chosen["_value"].notna().groupby([chosen[key] for key in _KEYS], sort=False, observed=True).all()
    taken = {"mean": grouped.mean, "median": grouped.median, "min": grouped.min, "max": grouped.max}[number.take]()
    return pd.Series(taken).where(whole).rename("_value").reset_index()


def _chosen(rows: pd.DataFrame, number: ColumnNumber, depth: pd.Series) -> pd.DataFrame:
    hidden = rows["run_id"].map(depth).to_numpy(np.int64)
    index = rows["layer_index"].to_numpy(np.int64)
    layers = number.layers
    if layers == "head":
        return rows[index == hidden]
    bounds = {"first": [0, 0], "last": [-1, -1]}[layers] if isinstance(layers, str) else layers
    ends = bounds if isinstance(bounds, list) else [bounds, bounds]
    low, high = (hidden + each if each < 0 else np.full(len(rows), each) for each in ends)
    return rows[(index >= low) & (index <= high) & (index < hidden)]


def _slopes(rows: pd.DataFrame, log: bool) -> pd.DataFrame:
    """Least-squares slope by run and step over the layers with a finite value; NaN with fewer than two."""
    finite = rows[np.isfinite(rows["_value"])]
    index = finite["layer_index"].to_numpy(np.float64)
    frame = finite[_KEYS].assign(x=np.log1p(index) if log else index, y=finite["_value"].to_numpy(np.float64))
    grouped = frame.groupby(_KEYS, sort=False, observed=True)
    centred = frame.assign(x=frame["x"] - grouped["x"].transform("mean"), y=frame["y"] - grouped["y"].transform("mean"))
    products = centred.assign(xy=centred["x"] * centred["y"], xx=centred["x"] ** 2)
    sums = products.groupby(_KEYS, sort=False, observed=True)[["xy", "xx"]].sum()
    return (sums["xy"] / sums["xx"].where(sums["xx"] > 0.0)).rename("_value").reset_index()
