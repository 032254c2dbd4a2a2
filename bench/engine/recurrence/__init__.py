"""Recurrent layers: cells whose weights are tied over time, with the gradient for the state at every time step."""

from __future__ import annotations

from bench.engine.recurrence.both_ways import both_ways
from bench.engine.recurrence.cells import CELLS, Cell, Phi
from bench.engine.recurrence.over_time import PROBED, RecurrentPass
from bench.engine.recurrence.timed import TIME_COLUMNS

__all__ = ["CELLS", "PROBED", "TIME_COLUMNS", "Cell", "Phi", "RecurrentPass", "both_ways"]
