"""A function of q that is asked for at a million places: logarithms in a table, read by lines between its entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

from bench.theory.activations import Array

SPACING, MARGIN = 0.3, 9.0  # of ln q: where the function is computed, and how far beyond the values asked for
MOST = 400
FINE = 8192  # entries of the table, by a cubic spline
LEAST = 1e-250


@dataclass(frozen=True)
class LogTable:
    """Values of ln f over ln q, continued as straight lines: `table(x)` gives ln f and its derivative by ln q."""

    start: float
    step: float
    values: Array
    slopes: Array

    def __call__(self, x: Array | float) -> tuple[Array, Array]:
        """Natural logarithm of f, and d ln f / d ln q at x = ln q, each of x's shape."""
        place = (np.asarray(x, np.float64) - self.start) / self.step
        index = np.clip(place.astype(np.int64), 0, len(self.values) - 1)
        slope = self.slopes[index]
        return self.values[index] + slope * self.step * (place - index), slope

    @classmethod
    def pair(cls, function: Callable[[float], tuple[float, float]], near: Sequence[float]) -> tuple[LogTable, LogTable]:
        """Tables of a function's two values, around the values of q in `near`."""
        logs = np.log(np.maximum(near, 1e-200))
        count = min(int((np.ptp(logs) + 2.0 * MARGIN) / SPACING) + 1, MOST)
        at = np.linspace(logs.min() - MARGIN, logs.max() + MARGIN, max(count, 8))
        values = np.log(np.maximum([function(float(q)) for q in np.exp(at)], LEAST))
        return cls._of(at, values[:, 0]), cls._of(at, values[:, 1])

    @classmethod
    def _of(cls, at: Array, values: Array) -> LogTable:
        spline = make_interp_spline(at, values, k=3)
        fine = np.linspace(at[0], at[-1], FINE)
        return cls(float(fine[0]), float(fine[1] - fine[0]), spline(fine), spline(fine, nu=1))
