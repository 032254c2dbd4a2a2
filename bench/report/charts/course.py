"""The course of one run: a number by step, and what happened at which step."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import DASHES, INK, SERIES, Drawing, canvas, finish
from bench.text import integer, number

WIDTH, HEIGHT = 4.6, 2.4
EVENT = "event"  # the series of a row that is one, with what happened as its `label`
FEW = 40  # points of a line that are marked
LOG_FROM = 10.0  # largest over smallest number, from which on a logarithmic axis shows more


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One line a series, and a vertical line where something happened.

    The panel's rows have series, step, value and label. The axis is logarithmic where numbers are positive and differ
    much, unless `scale.y_limits` names limits.
    """
    rows = panel.rows
    lines, events = rows[rows["series"] != EVENT], rows[rows["series"] == EVENT]
    finite = lines["value"].to_numpy(np.float64)
    finite = finite[np.isfinite(finite)]
    fixed = scale.y_limits if scale.y_limits[1] > scale.y_limits[0] else None
    log = not fixed and len(finite) > 0 and finite.min() > 0.0 and finite.max() / finite.min() >= LOG_FROM
    parts = []
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        for index, series in enumerate(scale.series):
            line = lines[lines["series"] == series].sort_values("step")
            line = line[np.isfinite(line["value"].to_numpy(np.float64))]
            if len(line):
                axes.plot(
                    line["step"], line["value"], color=SERIES[index], dashes=DASHES[index] or (1, 0),
                    marker="o" if len(line) <= FEW else "", ms=3.0,
                )  # fmt: skip
                ends = line["value"].iloc[[0, -1]]
                parts.append(f"{series} from {number(ends.iloc[0])} to {number(ends.iloc[-1])}")
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label, xlim=scale.x_limits, yscale="log" if log else "linear")
        if fixed:
            axes.set_ylim(fixed)
        _ticks(axes, log, finite)
        _events(axes, events, scale.x_limits[1])
        parts += [f"{row.label} at step {integer(int(row.step))}" for row in events.itertuples()]
        return finish(figure, f"{panel.title or scale.y_label} by step: {'; '.join(parts) or 'nothing was measured'}.")


def _ticks(axes: Axes, log: bool, finite: np.ndarray) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if log:
        few = finite.max() / finite.min() < 1e3
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if few else (1.0,), numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
    if log or (len(finite) and not 1e-3 < np.abs(finite).max() < 1e6):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    else:
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))


def _events(axes: Axes, events: pd.DataFrame, last: float) -> None:
    """Names stand below each other at the top, on the side of their line that has more room."""
    for place, (step, found) in enumerate(events.groupby("step")):
        at = float(str(step))
        axes.axvline(at, color=INK, lw=1.0, ls=(0, (2, 2)))
        left = at > last / 2.0
        axes.annotate(
            ", ".join(found["label"]), (at, 1.0 - 0.1 * place), xycoords=axes.get_xaxis_transform(),
            xytext=(-4 if left else 4, -2), textcoords="offset points", ha="right" if left else "left", va="top",
            fontsize=8, parse_math=False,
        )  # fmt: skip
