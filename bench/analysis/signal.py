"""How the back-propagated signal changes from the last hidden layer to the first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.tables import Moment, Tables, at_moment


def hidden(tables: Tables, moment: Moment) -> pd.DataFrame:
    """Rows of `gradient_norms` at a moment, without the head, whose shape is not the hidden layers'."""
    rows = at_moment(tables["gradient_norms"], moment)
    return rows[rows["layer_name"] != "head"]


def decay_rate(rows: pd.DataFrame, column: str) -> pd.Series:
    """Least-squares slope of log10 of a norm against layer index, by run, in decades per layer.

    Positive where the signal shrinks on its way back to the input. Layers whose norm is 0 or not finite are left
    out; with fewer than two left, NaN.
    """
    usable = rows[(rows[column] > 0.0) & np.isfinite(rows[column])]
    x = usable["layer_index"].to_numpy(np.float64)
    y = np.log10(usable[column].to_numpy(np.float64))
    sums = pd.DataFrame({"run_id": usable["run_id"], "n": 1.0, "x": x, "y": y, "xx": x * x, "xy": x * y})
    total = sums.groupby("run_id", sort=False, observed=True).sum()
    spread = total["n"] * total["xx"] - total["x"] ** 2
    return (total["n"] * total["xy"] - total["x"] * total["y"]) / spread.where(spread > 0.0)


def first_to_last(rows: pd.DataFrame, column: str) -> pd.Series:
    """log10 of the first hidden layer's norm over the last's, by run, in decades; 0 for a single layer.

    A first norm of 0 is -inf (it vanished below what the numbers can hold), an infinite one +inf.
    """
    rows = rows.sort_values("layer_index", kind="stable")
    first = rows.drop_duplicates("run_id", keep="first").set_index("run_id")[column].astype(np.float64)
    last = rows.drop_duplicates("run_id", keep="last").set_index("run_id")[column].astype(np.float64)
    ratio = log_ratio(first.to_numpy(), last.reindex(first.index).to_numpy())
    return pd.Series(ratio, index=first.index, name=column)


def log_ratio(first: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10(first / last) in decades; a first of 0 is -inf, an infinite one +inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(first) - np.log10(last)
    return np.where(first == 0.0, -np.inf, np.where(np.isinf(first), np.inf, ratio))
