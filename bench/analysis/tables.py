"""What every analysis reads: the tables as frames, a run's two moments, and rows in order of run, step and layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.quantities import ALL_LAYERS, Layers

Tables = Mapping[str, pd.DataFrame]
Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

PART = 500_000  # rows computed at once
_NAMED = {"first": (0, 0), "last": (-1, -1)}


class Moment(StrEnum):
    """When in a run: at its first recorded step (0 unless the suite says otherwise) or at its last."""

    START = "start"
    END = "end"


@contextmanager
def words_of_python() -> Iterator[None]:
    """Hold words as Python's own, as a context or a decorator: of Arrow's each comparison makes them anew."""
    with pd.option_context("mode.string_storage", "python"):
        yield


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

    `run` are positions in the `runs` table.
    """

    frame: pd.DataFrame
    starts: Indices
    run: Indices
    step: Indices

    @classmethod
    def of(cls, frame: pd.DataFrame, runs: pd.Index) -> Rows:
        """A table's rows of these runs, in any order, with a step and perhaps layers."""
        code, step = positions(frame["run_id"], runs), frame["step"].to_numpy()
        if (code < 0).any():
            return cls.of(frame[code >= 0], runs)
        layer = frame["layer_index"].to_numpy() if "layer_index" in frame else np.zeros(len(frame), np.int16)
        rising = np.zeros(max(0, len(frame) - 1), bool)
        for key in (layer, step, code):  # the last decides first
            rising = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rising)
        if not rising.all():
            order = np.lexsort((layer, step, code))
            frame, code, step = frame.iloc[order], code[order], step[order]
        new = np.ones(len(code), bool)
        new[1:] = (code[1:] != code[:-1]) | (step[1:] != step[:-1])
        starts = np.flatnonzero(new)
        return cls(frame, starts, code[starts].astype(np.int64), step[starts].astype(np.int64))

    def only(self, kept: NDArray[np.bool_]) -> Rows:
        """Some of the blocks."""
        sizes = self.sizes[kept]
        frame = self.frame[np.repeat(kept, self.sizes)]
        return Rows(frame, np.cumsum(sizes) - sizes, self.run[kept], self.step[kept])

    def parts(self) -> Iterator[Rows]:
        """The same rows in pieces of whole runs, `PART` rows or a run more: what is computed of them stays small."""
        ends, at = np.append(self.starts, len(self.frame)), 0
        firsts = np.append(np.flatnonzero(self.first), len(self.starts))
        while True:
            beyond = firsts[min(np.searchsorted(ends[firsts], ends[at] + PART), len(firsts) - 1)]
            part = slice(at, int(beyond))
            frame = self.frame.iloc[ends[at] : ends[beyond]]
            yield Rows(frame, self.starts[part] - ends[at], self.run[part], self.step[part])
            at = int(beyond)
            if at == len(self.starts):
                return

    @property
    def sizes(self) -> Indices:
        """How many rows each block has."""
        return np.diff(self.starts, append=len(self.frame))

    @property
    def row_block(self) -> Indices:
        """Each row's block."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    @property
    def row_run(self) -> Indices:
        """Each row's run."""
        return np.repeat(self.run, self.sizes)

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

    @property
    def layer(self) -> Indices:
        """Each row's layer, 0 nearest the input."""
        return np.asarray(self.frame["layer_index"].to_numpy(np.int64))

    @property
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
        """The index in each row's block of a hidden layer that may be counted from the end.

        Of a table that has not all layers it counts those that are there.
        """
        if layer >= 0 or not len(self.starts):
            return layer
        hidden = np.add.reduceat(self._hidden.astype(np.int64), self.starts)  # the head, if any, comes last
        inside = hidden + layer >= 0
        found = np.where(inside, self.layer[self.starts + np.where(inside, hidden + layer, 0)], -1)
        return np.repeat(found, self.sizes)


def transformed(values: Reals, transform: str) -> Reals:
    """ln, log10, square or complement (1 less it) of each value; of `none` the values themselves."""
    match transform:
        case "ln":
            return np.asarray(np.log(values))
        case "log10":
            return np.asarray(np.log10(values))
        case "square":
            return np.asarray(np.square(values))
        case "complement":
            return 1.0 - values
    return values


def positions(run_ids: pd.Series, runs: pd.Index) -> NDArray[np.int32]:
    """The position of each row's run in `runs`; -1 for one that is not there."""
    if isinstance(run_ids.dtype, pd.CategoricalDtype):
        code, known = run_ids.cat.codes.to_numpy(), pd.Index(run_ids.cat.categories)
    else:
        code, known = pd.factorize(run_ids)
    found: NDArray[np.int32] = runs.get_indexer(pd.Index(known)).astype(np.int32)
    return np.asarray(found[code])


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
