"""Axes of powers of ten: numbers are drawn by their exponents and labelled as themselves, 1, 10⁻⁵, 10⁻¹⁰.

A path has no more points than the eye tells apart.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axis import Axis

from bench.analysis.tables import Indices, Reals
from bench.text import number, power_of_ten

MOST_TICKS = 5
STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
FEW = 2.0  # decades below which powers of ten alone are too few
BETWEEN = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))  # the first of a decade's numbers that are not too many


def said(exponent: float) -> str:
    """10 to that power as a reader sees it: `10⁻⁵`, `1`, `0.02`."""
    whole = float(exponent).is_integer()
    return power_of_ten(int(exponent)) if whole and abs(exponent) > 1.0 else number(10.0 ** float(exponent), 2)


def ticks(low: float, high: float) -> list[float]:
    """Exponents from one to another: whole ones at equal distances; where these are few, of 1, 2 and 5 times each."""
    first, last = int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9))
    if high - low >= FEW:
        several = [range(-(-first // step) * step, last + 1, step) for step in STEPS]
        return [float(each) for each in next((found for found in several if len(found) <= MOST_TICKS), several[-1])]
    found: list[float] = []
    for parts in BETWEEN:
        found = [k + float(np.log10(part)) for k in range(first - 1, last + 1) for part in parts]
        found = [each for each in found if low <= each <= high]
        if len(found) <= MOST_TICKS:
            break
    return found


def label(axis: Axis, limits: tuple[float, float]) -> None:
    """Ticks at real numbers along an axis of exponents."""
    places = ticks(*limits)
    axis.set_ticks(places, [said(place) for place in places])


def thinned(x: Reals, y: Reals, tolerance: float) -> Indices:
    """The places of those points without which a line would move by more than `tolerance`, in the unit of y.

    A point is left out where the line between its neighbours passes it that near, as seen along y.
    """
    kept = np.zeros(len(x), bool)
    kept[[0, -1]] = True
    spans = [(0, len(x) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        inner = np.arange(first + 1, last)
        along = (x[inner] - x[first]) / ((x[last] - x[first]) or 1.0)
        off = np.abs(y[inner] - y[first] - along * (y[last] - y[first]))
        furthest = int(off.argmax())
        if off[furthest] > tolerance:
            kept[inner[furthest]] = True
            spans += [(first, int(inner[furthest])), (int(inner[furthest]), last)]
    return np.flatnonzero(kept).astype(np.int64)
