"""Forest plots: a row for each change, its estimate with an interval, and numbers beside its name."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, NullLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, INK, MARKERS, MUTED, SERIES, Drawing, canvas, finish
from bench.text import number, shortened, signed

WIDTH, FOOT = 3.1, 0.62  # inches; the foot holds the heading, ticks and label
ROW, ROW_SERIES = 0.34, 0.39  # a row's height, without and with series
LETTERS = 44  # characters that a row's name and numbers have together
MOST_SAID = 6
SHARE = (0.0, 1.0)  # the limits of a share, which is said in percent
STEPS = (1, 2, 2.5, 5, 10)  # between ticks
POOLED = ""  # the series of a row's own estimate


def draw(panel: Panel, scale: Scale) -> Drawing:
    """A line for each row with its name above: a diamond with its interval, and smaller marks of its series.

    The panel's rows have row, series, value, lower, upper and `numbers`, which stand at the right; those of
    `POOLED` are the diamonds. A row whose value is NaN has its name and numbers only. `scale.x_limits` are the axis's,
    from 0 to 1 for shares; `scale.x_label` is its label and `scale.y_label` the heading of `numbers`.
    """
    rows = panel.rows
    names = list(dict.fromkeys(rows["row"]))
    with canvas(WIDTH, (ROW_SERIES if scale.series else ROW) * len(names) + FOOT) as (figure, axes):
        axes.set(xlim=_padded(scale.x_limits), ylim=(0.5 - len(names), 0.95))
        if scale.x_limits[0] < 0.0 < scale.x_limits[1]:
            axes.axvline(0.0, color=MUTED, lw=1.0, zorder=1)
        for place, name in enumerate(names):
            _name(axes, rows[rows["row"] == name].iloc[0], -float(place))
        _marks(axes, rows.assign(y=-rows["row"].map(names.index).astype(float)).dropna(subset=["value"]), scale)
        axes.text(1.0, 0.92, scale.y_label, transform=axes.get_yaxis_transform(), ha="right", va="top", fontsize=8,
                  color=MUTED)  # fmt: skip
        _ticks(axes, scale)
        return finish(figure, _said(panel, scale))


def _padded(limits: tuple[float, float]) -> tuple[float, float]:
    margin = 0.02 * (limits[1] - limits[0])
    return limits[0] - margin, limits[1] + margin


def _name(axes: Axes, row: pd.Series, y: float) -> None:
    name, numbers = str(row["row"]), str(row["numbers"])
    style: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "top", "fontsize": 8.5, "parse_math": False,
                             "in_layout": False}  # fmt: skip
    axes.text(0.0, y + 0.5, shortened(name, LETTERS - len(numbers)), **style)
    axes.text(1.0, y + 0.5, numbers, ha="right", **style)


def _marks(axes: Axes, rows: pd.DataFrame, scale: Scale) -> None:
    """Estimates under the names, series under them; what is beyond the axis at its end."""
    low, high = scale.x_limits
    places = rows[["value", "lower", "upper"]].clip(low, high)
    pooled = rows["series"] == POOLED
    style: dict[str, Any] = {"ls": "", "mew": 0, "clip_on": False, "in_layout": False}
    y = rows["y"] - (0.01 if scale.series else 0.12)
    axes.hlines(y[pooled], places["lower"][pooled], places["upper"][pooled], color=INK, lw=1.8, clip_on=False,
                in_layout=False)  # fmt: skip
    axes.plot(places["value"][pooled], y[pooled], marker="D", color=INK, ms=5.5, **style)
    for index, series in enumerate(scale.series):
        own = rows["series"] == series
        below = 0.2 + 0.16 * index / max(len(scale.series) - 1, 1)  # so that none hides another
        axes.plot(places["value"][own], rows["y"][own] - below, marker=MARKERS[index % len(MARKERS)],
                  color=SERIES[index % len(SERIES)], ms=4.5, alpha=0.9, **style)  # fmt: skip


def _ticks(axes: Axes, scale: Scale) -> None:
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_edgecolor(GRID)
    axes.xaxis.set_major_locator(MultipleLocator(0.25) if scale.x_limits == SHARE else MaxNLocator(5, steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _shown(float(value), scale)))
    axes.set_xlabel(scale.x_label)


def _shown(value: float, scale: Scale) -> str:
    """A share in percent, a change with its sign."""
    if scale.x_limits == SHARE:
        return f"{100 * value:.0f} %"
    return signed(value) if scale.x_limits[0] < 0.0 else number(value)


def _said(panel: Panel, scale: Scale) -> str:
    own = panel.rows[panel.rows["series"] == POOLED].to_dict("records")
    parts = [
        f"{row['row']} {_shown(row['value'], scale)} "
        f"({_shown(row['lower'], scale)} to {_shown(row['upper'], scale)}; {row['numbers']})"
        if row["value"] == row["value"] else f"{row['row']} ({row['numbers']})"
        for row in own[:MOST_SAID]
    ]  # fmt: skip
    more = f"; and {len(own) - MOST_SAID} more" if len(own) > MOST_SAID else ""
    return f"{panel.name or 'All runs'}. {scale.x_label}: {'; '.join(parts)}{more}."
