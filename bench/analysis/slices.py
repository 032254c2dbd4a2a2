"""Tables with rows within a layer, of time steps, heads, positions or groups: from those rows to one number a layer.

What a quantity says of them (`bench.quantities.Slice`) is done first, and then its layers and steps as in any table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.tables import transformed
from bench.factors import FORWARD
from bench.quantities import Quantity

KEYS = ["run_id", "step", "layer_index"]


def sliced(frame: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One row for each run, step and layer, with a `value`; of a table with the head, with its `layer_name`."""
    if frame.empty:
        return frame[KEYS].assign(value=np.zeros(0))
    values = np.multiply.reduce([frame[name].to_numpy(np.float64) ** power for name, power in quantity.of])
    own = frame[KEYS].assign(value=values)
    if quantity.table == "parameter_groups":
        last = frame.groupby("run_id", observed=True, sort=False)["layer_index"].transform("max")
        own = own.assign(value=_of(own["value"], quantity.transform))
        own = own.assign(layer_name=np.where(frame["layer_index"] == last, "head", "hidden"))
        return own[frame["group"] == quantity.slice.group]
    if quantity.table == "attention":
        return _of_heads(own.assign(head=frame["head"]), quantity)
    if quantity.table == "positions":
        return _of_places(own.assign(row=frame["row"], column=frame["column"]), quantity)
    return _over_time(own.assign(direction=frame["direction"], time=frame["time"], lag=frame["lag"]), quantity)


def _of_heads(rows: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One head's, or the mean, the smallest or the largest of all."""
    rows = rows.assign(value=_of(rows["value"], quantity.transform))
    head = quantity.slice.head
    if isinstance(head, int):
        return rows.loc[rows["head"] == head, [*KEYS, "value"]]
    return rows.groupby(KEYS, observed=True, sort=False)["value"].agg(head).reset_index()


def _of_places(rows: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """The mean over the positions that are meant."""
    layers = rows.groupby(["run_id", "layer_index"], observed=True, sort=False)[["row", "column"]].transform("max")
    rows = rows.assign(last_row=layers["row"], last_column=layers["column"])
    found = _at_place(rows, quantity.slice.place)
    if quantity.slice.over_place:
        with np.errstate(all="ignore"):
            found = found / _at_place(rows, quantity.slice.over_place)
    return _of(found, quantity.transform).rename("value").reset_index()


def _at_place(rows: pd.DataFrame, place: tuple[int, int] | str) -> pd.Series:
    """The mean over a place's positions, by run, step and layer."""
    if isinstance(place, tuple):
        row, column = (
            each if each >= 0 else rows[last] + 1 + each
            for each, last in zip(place, ("last_row", "last_column"), strict=True)
        )
        rows = rows[(rows["row"] == row) & (rows["column"] == column)]
    elif place:
        ends = {axis: rows[axis].eq(0) | rows[axis].eq(rows[f"last_{axis}"]) for axis in ("row", "column")}
        image = rows["last_row"] > 0  # of a sequence every end is a corner, and there is one row
        middle = [(2 * rows[axis] - rows[f"last_{axis}"]).abs() <= 1 for axis in ("row", "column")]
        corner = ends["row"] & ends["column"]
        meant = {
            "corner": corner,
            "edge": (ends["row"] | ends["column"]) & ~corner & image,
            "center": middle[0] & middle[1],
        }
        rows = rows[meant[place]]
    return rows.groupby(KEYS, observed=True, sort=False)["value"].mean()


def _over_time(rows: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """By direction, then the mean over directions."""
    asked = quantity.slice
    last = rows.groupby("run_id", observed=True, sort=False)["time"].transform("max")
    # In the order in which the direction takes them: its last is nearest the loss.
    rows = rows.assign(before=np.where(rows["direction"] == FORWARD, last - rows["time"], rows["time"]), last=last)
    if asked.direction:
        rows = rows[rows["direction"] == asked.direction]
    each = _Directions(rows)
    if asked.horizon is not None:
        found = each.horizon(asked.horizon)
    elif isinstance(asked.lag, tuple):
        found = each.slope(asked.lag, quantity.transform)
    else:
        found = each.at(asked.lag)
        if asked.over_lag is not None:
            with np.errstate(all="ignore"):
                found = found / each.at(asked.over_lag)
        found = _of(found, quantity.transform)
    return found.groupby(KEYS, observed=True, sort=False).mean().rename("value").reset_index()


def _of(values: pd.Series, transform: str) -> pd.Series:
    with np.errstate(all="ignore"):
        return pd.Series(transformed(values.to_numpy(np.float64), transform), index=values.index)


@dataclass(frozen=True)
class _Directions:
    """Rows of time steps; every result is by run, step, layer and direction."""

    rows: pd.DataFrame

    def at(self, lag: int | str | None) -> pd.Series:
        """The value at a lag, or at the first or last step that a direction takes; the mean where several have it."""
        rows = self.rows
        wanted = {"first": rows["before"] == rows["last"], "last": rows["before"] == 0}
        return self._grouped(rows[wanted[lag] if isinstance(lag, str) else rows["lag"] == lag])["value"].mean()

    def slope(self, lags: tuple[int, int], transform: str) -> pd.Series:
        """Least squares of the transformed value against the lag, both ends included; NaN of fewer than two."""
        rows = self.rows[self.rows["lag"].between(*lags)]
        y = _of(rows["value"], transform)
        rows = rows.assign(y=y.where(np.isfinite(y)), x=rows["lag"].astype(np.float64))
        rows = rows[rows["y"].notna()]
        means = self._grouped(rows)[["x", "y"]].transform("mean")
        x, y = rows["x"] - means["x"], rows["y"] - means["y"]
        sums = self._grouped(rows.assign(xy=x * y, xx=x * x))[["xy", "xx"]].sum()
        return sums["xy"] / sums["xx"].where(sums["xx"] > 0.0)

    def horizon(self, share: float) -> pd.Series:
        """The smallest lag with less than this share of the value at lag 0; infinity where none has so little.

        NaN where nothing is there at lag 0, or all lags are 0.
        """
        start = self.at(0)
        far = self.rows[self.rows["lag"] > 0]
        # Under a layer of two directions several states have one lag.
        far = self._grouped(far, "lag")["value"].mean().reset_index("lag")
        far = far.join(start.rename("start"))
        less = far[far["value"] < share * far["start"]]
        first = less.groupby(less.index.names, observed=True)["lag"].min().astype(np.float64)
        known = start[(start > 0.0) & np.isfinite(start)].index
        known = known.intersection(far.index.unique(), sort=False)
        return first.reindex(known).fillna(np.inf)

    def _grouped(self, rows: pd.DataFrame, *more: str) -> pd.api.typing.DataFrameGroupBy:
        return rows.groupby([*KEYS, "direction", *more], observed=True, sort=False)
