"""Recurrent layers: cells whose weights are tied over time, with the gradient for the state at every time step."""

from __future__ import annotations

from bench.engine.recurrence.both_ways import Sides, both_ways
from bench.engine.recurrence.cells import CELLS, Cell, Phi
from bench.engine.recurrence.normalized import NormalizedWeights
from bench.engine.recurrence.over_time import RecurrentPass
from bench.engine.recurrence.timed import TIME_COLUMNS

__all__ = [
    "CELLS", "TIME_COLUMNS", "Cell", "NormalizedWeights", "Phi", "RecurrentPass", "Sides", "both_ways",
]  # fmt: skip
