"""What every analysis reads: the tables as frames, a run's two moments, and rows in order of run, step and layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.quantities import ALL_LAYERS, Layers

Tables = Mapping[str, pd.DataFrame]
Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

_NAMED = {"first": (0, 0), "last": (-1, -1)}


class Moment(StrEnum):
    """When in a run: at its first recorded step (0 unless the suite says otherwise) or at its last."""

    START = "start"
    END = "end"


def at_moment(frame: pd.DataFrame, moment: Moment) -> pd.DataFrame:
    """The rows of each run's first or last recorded step; for a run that diverged, the last before it did."""
    if frame.empty:
        return frame
    steps = frame.groupby("run_id", sort=False, observed=True)["step"]
    return frame[frame["step"] == steps.transform("min" if moment is Moment.START else "max")]


def hidden(tables: Tables, moment: Moment) -> pd.DataFrame:
    """Rows of `gradient_norms` at a moment, without the head, whose shape is not the hidden layers'."""
    rows = at_moment(tables["gradient_norms"], moment)
    return rows[rows["layer_name"] != "head"]


@dataclass(frozen=True)
class Rows:
    """Rows by run, step and layer. Block b is the rows from `starts[b]`: the layers of run `run[b]` at `step[b]`.

    `row_run` and `run` are positions in the `runs` table.
    """

    frame: pd.DataFrame
    row_run: Indices
    starts: Indices
    run: Indices
    step: Indices

    @classmethod
    def of(cls, frame: pd.DataFrame, runs: pd.Index) -> Rows:
        """A table's rows of these runs, in any order, with a step and perhaps layers."""
        code, step = positions(frame["run_id"], runs), frame["step"].to_numpy(np.int64)
        if (code < 0).any():
            return cls.of(frame[code >= 0], runs)
        rising = np.diff(code * (int(step.max()) + 1 if len(step) else 1) + step)
        layered = "layer_index" in frame
        layer = frame["layer_index"].to_numpy(np.int64) if layered else np.zeros(len(frame), np.int64)
        if not bool(np.all((rising > 0) | ((rising == 0) & (np.diff(layer) > 0)))):
            order = np.lexsort((layer, step, code))
            frame, code, step = frame.iloc[order], code[order], step[order]
        return cls._blocked(frame, code, step)

    @classmethod
    def _blocked(cls, frame: pd.DataFrame, code: Indices, step: Indices) -> Rows:
        new = np.ones(len(code), bool)
        new[1:] = (np.diff(code) != 0) | (np.diff(step) != 0)
        starts = np.flatnonzero(new)
        return cls(frame, code, starts, code[starts], step[starts])

    def only(self, kept: NDArray[np.bool_]) -> Rows:
        """Some of the blocks, or of the rows."""
        if len(kept) == len(self.starts) != len(self.row_run):
            kept = np.repeat(kept, self.sizes)
        return self._blocked(self.frame[kept], self.row_run[kept], self.row_step[kept])

    @property
    def sizes(self) -> Indices:
        """How many rows each block has."""
        return np.diff(self.starts, append=len(self.row_run))

    @property
    def row_block(self) -> Indices:
        """Each row's block."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    @property
    def row_step(self) -> Indices:
        """Each row's step."""
        return np.repeat(self.step, self.sizes)

    @property
    def first(self) -> NDArray[np.bool_]:
        """Which blocks are their run's first."""
        return np.asarray(np.diff(self.run, prepend=-1) != 0)

    @property
    def last(self) -> NDArray[np.bool_]:
        """Which blocks are their run's last."""
        return np.asarray(np.diff(self.run, append=-1) != 0)

    def column(self, name: str) -> Reals:
        """A column's numbers; NaN where results are older than the column."""
        if name not in self.frame:
            return np.full(len(self.frame), np.nan)
        return np.asarray(self.frame[name].to_numpy(np.float64))

    @cached_property
    def layer(self) -> Indices:
        """Each row's layer, 0 nearest the input."""
        return np.asarray(self.frame["layer_index"].to_numpy(np.int64))

    @cached_property
    def _hidden(self) -> NDArray[np.bool_]:
        if "layer_name" not in self.frame:
            return np.ones(len(self.frame), bool)
        return np.asarray((self.frame["layer_name"] != "head").to_numpy(bool))

    def layers(self, layers: Layers) -> NDArray[np.bool_]:
        """The rows of the layers that a quantity names; its attribute `layers` says how."""
        if layers == ALL_LAYERS:
            return np.ones(len(self.frame), bool)
        hidden = self._hidden
        if layers == "head":
            return ~hidden
        low, high = (
            _NAMED[layers] if isinstance(layers, str) else (layers, layers) if isinstance(layers, int) else layers
        )
        chosen = hidden
        if low:
            chosen = chosen & (self.layer >= self._index(low))
        if high != -1:
            chosen = chosen & (self.layer <= self._index(high))
        return chosen

    def _index(self, layer: int) -> Indices | int:
        """The index in each row's block of a hidden layer that may be counted from the end."""
        if layer >= 0 or not len(self.starts):
            return layer
        return np.repeat(np.add.reduceat(self._hidden.astype(np.int64), self.starts), self.sizes) + layer


def positions(run_ids: pd.Series, runs: pd.Index) -> Indices:
    """The position of each row's run in `runs`; -1 for one that is not there."""
    code, known = run_codes(run_ids)
    return np.asarray(runs.get_indexer(known), np.int64)[code]


def run_codes(ids: pd.Series) -> tuple[Indices, pd.Index]:
    """Each row's run as a number, and the run ids that the numbers stand for."""
    if isinstance(ids.dtype, pd.CategoricalDtype):
        return ids.cat.codes.to_numpy(np.int64), pd.Index(ids.cat.categories)
    code, runs = pd.factorize(ids)
    return code.astype(np.int64), pd.Index(runs)


def coded_levels(column: pd.Series) -> tuple[NDArray[np.int64], list[object]]:
    """Each row's level as a number from 0, and the levels that occur, in order.

    An ordered or plain category has its own order, numbers ascend, and words come as the rows do. Give words as
    categories where the suite's order matters.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories()
        return used.cat.codes.to_numpy(np.int64), used.cat.categories.tolist()
    code, found = pd.factorize(column, sort=pd.api.types.is_numeric_dtype(column.dtype))
    return code.astype(np.int64), list(found)
