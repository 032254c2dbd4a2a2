"""The tables of all runs as the finders of `signs` read them, and the frames of signs that these make.

A frame of signs has at most one row a run: `run` (its position in the table `runs`), `step`, `layer` (−1 where the sign
has none), `value` and the `threshold` that it passed.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from bench.analysis.learned import levels_of
from bench.analysis.tables import Indices, Reals, Rows, Tables, positions
from bench.factors import DatasetLevel
from bench.schema import EventKind, Tensor

LARGE_VALUES = 100.0  # root mean square of a pre-activation; inputs have about 1
NO_LAYER = -1


class Records:
    """The tables of all runs as finders read them, each put in order once."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.runs = pd.Index(tables["runs"]["run_id"])
        self._rows: dict[tuple[str, str], Rows] = {}
        self._first: dict[tuple[str, str], Reals] = {}
        self._blown: dict[float, pd.DataFrame] = {}

    @cached_property
    def datasets(self) -> list[DatasetLevel | None]:
        """The level of each run's dataset; None of one from outside."""
        return levels_of(self.tables["runs"])

    def rows(self, table: str, split: str = "") -> Rows:
        """A table's rows by run, step and layer; of evaluations those of a split."""
        if (table, split) not in self._rows:
            frame = self.tables[table]
            self._rows[table, split] = Rows.of(frame[frame["split"] == split] if split else frame, self.runs)
        return self._rows[table, split]

    def of_run(self, name: str) -> Reals:
        """A number of each run, NaN where results are older than the column."""
        runs = self.tables["runs"]
        known = runs[name].to_numpy(np.float64, na_value=np.nan) if name in runs else np.full(len(runs), np.nan)
        return np.asarray(known)

    def in_first_layer(self, table: str, column: str) -> Reals:
        """A column of the lowest layer at each run's first recorded step."""
        if (table, column) not in self._first:
            rows, found = self.rows(table), np.full(len(self.runs), np.nan)
            there = np.repeat(rows.first, rows.sizes) & (rows.layer == 0)
            found[rows.row_run[there]] = rows.column(column)[there]
            self._first[table, column] = found
        return self._first[table, column]

    def blown(self, threshold: float = LARGE_VALUES) -> pd.DataFrame:
        """Where pre-activations are too large before any training, in order of computation."""
        if threshold not in self._blown:
            layers = first_rows(self.rows("activations"), "preactivation_mean_square", threshold**2, start=True)
            layers = layers.assign(value=np.sqrt(layers["value"]), threshold=threshold)
            at_start = self.broken[self.broken["step"] == 0]
            inside = at_start[~at_start["tensor"].isin([str(Tensor.LOSS), str(Tensor.GRADIENT)])]
            first_bad = inside.set_index("run")["layer"].reindex(layers["run"]).to_numpy(np.float64)
            self._blown[threshold] = layers[~(first_bad < layers["layer"].to_numpy())]  # after a NaN says nothing
        return self._blown[threshold]

    @cached_property
    def broken(self) -> pd.DataFrame:
        """The first NaN or infinity of each run, as signs with the `tensor` that held it."""
        events = self.tables["divergence_events"]
        events = events[events["kind"].isin([str(EventKind.NAN), str(EventKind.INFINITY)])]
        run = positions(events["run_id"], self.runs).astype(np.int64)
        layer = events["layer_index"].to_numpy(np.float64, na_value=NO_LAYER).astype(np.int64)
        step, value = events["step"].to_numpy(np.int64), events["value"].to_numpy(np.float64, na_value=np.nan)
        order = np.lexsort((step, run))
        found = hits(run[order], step[order], layer[order], value[order], np.nan)
        return found.assign(tensor=events["tensor"].astype(str).to_numpy()[order][found.index])

    @cached_property
    def probes(self) -> pd.DataFrame:
        """Each run and step at which its activations were looked at, in order."""
        rows = self.rows("activations")
        return pd.DataFrame({"run": rows.run, "step": rows.step})

    def settle(self, table: str) -> None:
        """Keep what other tables' rules ask of a table that may lose rows and columns then."""
        if table == "activations":
            self.in_first_layer(table, "preactivation_mean_square")
            self.blown()
            _ = self.probes
        self._rows = {key: rows for key, rows in self._rows.items() if key[0] != table}

    def at_step(self, table: str, column: str, step: int) -> Reals:
        """A column of a table with one row a run and step, of each run at this step."""
        rows = self.rows(table)
        found = np.full(len(self.runs), np.nan)
        there = rows.row_step == step
        found[rows.row_run[there]] = rows.column(column)[there]
        return found


def hits(run: Indices, step: Indices, layer: Indices | int, value: Reals, threshold: Reals | float) -> pd.DataFrame:
    """A frame of signs, of each run the first that is given."""
    found = pd.DataFrame({"run": run, "step": step, "layer": layer, "value": value, "threshold": threshold})
    return found.drop_duplicates("run")


def first_rows(rows: Rows, column: str, threshold: float, *, start: bool = False, over: str = "") -> pd.DataFrame:
    """Of each run the first row in which a column, `over` another, is at the threshold or above.

    Args:
        rows: the table.
        column: the number asked for.
        threshold: what it must reach.
        start: look at each run's first recorded step only.
        over: a column to divide by; where that is 0, nothing is said.
    """
    found = []
    for part in rows.parts() if len(rows.starts) else ():
        values = part.column(column)
        if over:
            below = part.column(over)
            values = np.divide(values, below, out=np.full(len(values), np.nan), where=below > 0.0)
        flags = values >= threshold
        if start:
            flags &= np.repeat(part.first, part.sizes)
        at = np.flatnonzero(flags)
        found.append(hits(part.row_run[at], part.row_step[at], part.layer[at], values[at], threshold))
    return pd.concat(found) if found else none()


def none() -> pd.DataFrame:
    """No sign in any run."""
    nothing = np.zeros(0, np.int64)
    return hits(nothing, nothing, nothing, np.zeros(0), np.zeros(0))


def probed(records: Records, found: pd.DataFrame) -> Indices:
    """For each sign the step of the next look at activations: between two looks nobody knows which sign was first."""
    looks, run, step = records.probes, found["run"].to_numpy(np.int64), found["step"].to_numpy(np.int64)
    beyond = 1 + max(int(looks["step"].max()) if len(looks) else 0, int(step.max(initial=0)))
    looked = np.append(looks["run"].to_numpy(np.int64), len(records.runs))
    at_step = np.append(looks["step"].to_numpy(np.int64), 0)
    at = np.searchsorted(looked * (beyond + 1) + at_step, run * (beyond + 1) + step)
    return np.asarray(np.where(looked[at] == run, at_step[at], beyond))
