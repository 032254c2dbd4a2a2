"""Lines of what was measured along layers or positions, with dots where theory has a prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import DASHES, SERIES, Drawing, canvas, finish
from bench.text import number

WIDTH, HEIGHT = 2.9, 2.1
DOT = 2.6  # points: a predicted value


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs, the range as a band, and dots where theory has a prediction.

    The panel's rows have series, at (the place along x), median, lower, upper and predicted, in decades.
    """
    return _draw(panel, scale, lambda value: decades.said(round(value, 2)), of_ten=True)


def draw_plain(panel: Panel, scale: Scale) -> Drawing:
    """The same of numbers as they are."""
    return _draw(panel, scale, lambda value: number(value, 2), of_ten=False)


def _draw(panel: Panel, scale: Scale, said: Callable[[float], str], *, of_ten: bool) -> Drawing:
    low, high = scale.y_limits
    parts = []
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        for index, series in enumerate(scale.series):
            own = panel.rows[panel.rows["series"] == series].sort_values("at", kind="stable")
            own = own[np.isfinite(own["median"].to_numpy(float))]
            if own.empty:
                continue
            colour, at = SERIES[index % len(SERIES)], own["at"]
            margin = high - low
            lower, upper, middle = (
                own[name].clip(low - margin, high + margin) for name in ("lower", "upper", "median")
            )
            axes.fill_between(at, lower, upper, color=colour, alpha=0.15, lw=0, zorder=1.5)
            axes.plot(at, middle, color=colour, dashes=DASHES[index % len(DASHES)] or (None, None))
            told = own[own["predicted"].notna()]
            inside = told[told["predicted"].between(low, high)]
            axes.plot(inside["at"], inside["predicted"], color=colour, ls="", marker="o", ms=DOT, zorder=3)
            first, last = own.iloc[0], own.iloc[-1]
            ends = [said(float(each["median"])) for each in (first, last)]
            theory = ""
            if len(told):
                theory = f" (predicted {said(float(first['predicted']))} and {said(float(last['predicted']))})"
            parts.append(f"{series} {ends[0]} at {int(first['at'])}, {ends[1]} at {int(last['at'])}{theory}")
        margin = 0.02 * (scale.x_limits[1] - scale.x_limits[0]) or 0.5
        axes.set(
            xlim=(scale.x_limits[0] - margin, scale.x_limits[1] + margin), ylim=(low, high), xlabel=scale.x_label,
            ylabel=scale.y_label,
        )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if of_ten:
            decades.label(axes.yaxis, (low, high))
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        told = "; ".join(parts) or "not measured"
        return finish(figure, f"{panel.name or 'All networks'}. {scale.y_label} by {scale.x_label}: {told}.")
