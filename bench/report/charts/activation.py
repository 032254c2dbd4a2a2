"""One activation and its slope."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import DASHES, MUTED, SERIES, Drawing, canvas, finish
from bench.report.charts.lines import HEIGHT, WIDTH
from bench.text import listed, number


def draw(panel: Panel, scale: Scale) -> Drawing:
    """An activation and its slope over z, each named beside its line; hatched where it is saturated.

    The panel's rows have z, value, slope (NaN where it jumps) and `saturated`; the scale's two series name the lines.
    """
    rows = panel.rows
    z, flat = rows["z"].to_numpy(float), rows["saturated"].to_numpy(bool)
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        axes.fill_between(
            z, 0.0, 1.0, where=flat, transform=axes.get_xaxis_transform(), facecolor="none", edgecolor=MUTED,
            hatch="///", linewidth=0.0, alpha=0.45, zorder=0,
        )  # fmt: skip
        for index, column in enumerate(("value", "slope")):
            y = rows[column].to_numpy(float)
            axes.plot(z, y, color=SERIES[index], dashes=DASHES[index] or (None, None))
            _name(axes, (z, y), scale, index)
        axes.set(xlim=scale.x_limits, ylim=scale.y_limits, xlabel=scale.x_label, ylabel=scale.y_label)
        axes.set_yticks(np.arange(np.ceil(scale.y_limits[0]), scale.y_limits[1]))
        where = listed([f"z from {number(low)} to {number(high)}" for low, high in spans(z, flat)])
        return finish(figure, f"{panel.title}. Saturated: {where}.")


def spans(z: np.ndarray, flat: np.ndarray) -> list[tuple[float, float]]:
    """First and last z, ascending, of each stretch of more than one point that is flat."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    return [(float(z[a]), float(z[b - 1])) for a, b in edges.reshape(-1, 2) if b - a > 1]


def _name(axes: Axes, line: tuple[np.ndarray, np.ndarray], scale: Scale, index: int) -> None:
    """The series' name where its line ends: at the right edge, or where it leaves through the top or the bottom."""
    z, y = line
    low, high = scale.y_limits
    last = int(np.flatnonzero((y >= low) & (y <= high))[-1])
    through = last < len(z) - 1
    axes.annotate(
        scale.series[index], (z[last], y[last]), xytext=(-9, -5) if through else (-3, 3), textcoords="offset points",
        ha="right", va="top" if through else "bottom", color=SERIES[index], fontsize=11,
    )  # fmt: skip
