"""A claim's test: each replicate as a point, the effect with its interval, and the claimed region as a shade.

Its thumbnail keeps the effect of each part beside the region that is claimed of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, INK, SERIES, Drawing, canvas, finish, stacked
from bench.schema import LOSS_UNIT
from bench.text import number, region

WIDTH, ROW, FOOT = 4.0, 0.5, 0.5  # inches; the foot holds ticks and label
LONGEST = 58  # characters of a row's label
LOG_FROM = 30.0  # largest over smallest number, from which on a logarithmic axis shows more
THUMB, THUMB_LINE = 1.7, 0.14
MARKERS = {"of": ("o", SERIES[0]), "against": ("s", SERIES[1]), "compared": ("D", SERIES[7])}
REGION = SERIES[2]


def draw(panel: Panel, scale: Scale) -> Drawing:
    """Two sides on the axis of their numbers, and below it the effect; one side and its effect share an axis."""
    rows = panel.rows
    # A ratio of which nothing is known from below ends at 0, where a logarithmic axis has no place.
    rows = rows.assign(low=rows["low"].mask((rows["compare"] == "ratio") & (rows["low"] <= 0.0), -np.inf))
    against = "against" in set(rows["what"])
    upper = rows[rows["what"].isin(["of", "against"])] if against else rows.iloc[:0]
    lower = rows.drop(upper.index)
    groups = [_series(each) for each in (upper, lower) if len(each)]
    heights = [ROW * len(group) + FOOT for group in groups]
    with stacked(WIDTH, heights) as (figure, axes):
        if against:
            _draw_rows(axes[0], upper, groups[0])
            _ticks(axes[0], _limits(upper))
            axes[0].set_xlabel(f"number of each replicate{_unit(upper['unit'].iloc[0])}")
        last = axes[-1]
        limits = _limits(lower)
        _draw_region(last, lower, limits, len(groups[-1]))
        _draw_rows(last, lower, groups[-1])
        _ticks(last, limits)
        last.set_xlabel(_label(lower))
        return finish(figure, _text(panel))


def thumbnail(panels: Sequence[Panel]) -> Drawing:
    """A line for each part, each on an axis of its own: the effect, its interval, and the claimed region."""
    with canvas(THUMB, THUMB_LINE * len(panels) + 0.06) as (figure, axes):
        figure.set_layout_engine("none")  # there is nothing to make room for
        axes.set(xlim=(0.0, 1.0), ylim=(len(panels) - 0.5, -0.5), position=(0.0, 0.0, 1.0, 1.0))
        axes.axis("off")
        for place, panel in enumerate(panels):
            _draw_thumb(axes, panel.rows, float(place))
        return finish(figure, " ".join(_text(panel) for panel in panels))


def _draw_thumb(axes: Axes, rows: pd.DataFrame, y: float) -> None:
    told = rows[rows["what"].isin(["effect", "claimed"])]
    ends = told.set_index("what")[["value", "low", "high"]].astype(np.float64)
    if rows["compare"].iloc[0] == "ratio":
        with np.errstate(divide="ignore"):
            ends = np.log10(ends.where(ends > 0.0, 0.0).where(ends.notna()))
    known = ends.to_numpy()[np.isfinite(ends.to_numpy())]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = 0.15 * (high - low) or 0.5

    def across(value: float) -> float:
        return float(np.clip((value - low + margin) / (high - low + 2.0 * margin), 0.0, 1.0))

    effect, claimed = ends.loc["effect"], ends.loc["claimed"]
    left, right = across(claimed["low"]), across(claimed["high"])
    axes.fill_between([left, right], y - 0.36, y + 0.36, color=REGION, alpha=0.28, lw=0)
    if not np.isnan(effect["low"]) and not np.isnan(effect["high"]):
        axes.plot([across(effect["low"]), across(effect["high"])], [y, y], color=INK, lw=1.6, solid_capstyle="butt")
    if np.isfinite(effect["value"]):
        axes.plot([across(effect["value"])], [y], marker="D", color=INK, ms=4)


def _series(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each line of points, from the top."""
    found = [rows[rows["what"] == what] for what in ("of", "against", "compared", "effect")]
    return [each for each in found if len(each)]


def _label(rows: pd.DataFrame) -> str:
    compare, unit = rows["compare"].iloc[0], rows["unit"].iloc[-1]
    said = compare if "share" in compare else f"{compare}{_unit(unit)}"
    return f"{said}; shaded: claimed, {_claimed(rows)}"


def _claimed(rows: pd.DataFrame) -> str:
    low, high = rows[rows["what"] == "claimed"][["low", "high"]].iloc[0]
    return region(float(low), float(high))


def _limits(rows: pd.DataFrame) -> tuple[float, float, bool]:
    """Left and right end that hold every finite number, and whether the axis is logarithmic."""
    numbers = rows[["value", "low", "high"]].to_numpy(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    neutral = {"difference": 0.0, "difference of shares": 0.0, "ratio": 1.0}.get(str(rows["compare"].iloc[0]))
    if neutral is not None and "effect" in set(rows["what"]):
        numbers = np.append(numbers, neutral)
    if rows["compare"].iloc[0] == "share":
        numbers = np.append(numbers, [0.0, 1.0])
    if not len(numbers):
        return 0.0, 1.0, False
    low, high = float(numbers.min()), float(numbers.max())
    if low > 0.0 and high / low >= LOG_FROM:
        margin = (high / low) ** 0.07
        return low / margin, high * margin, True
    margin = 0.07 * (high - low) or 0.1 * abs(high) or 0.5
    return low - margin, high + margin, False


def _draw_region(axes: Axes, rows: pd.DataFrame, limits: tuple[float, float, bool], lines: int) -> None:
    """The shade, and its edges where they cross no label."""
    low, high = (float(each) for each in rows[rows["what"] == "claimed"][["low", "high"]].iloc[0])
    axes.axvspan(max(low, limits[0]), min(high, limits[1]), color=REGION, alpha=0.16, lw=0, zorder=0)
    for edge in (low, high):
        if np.isfinite(edge):
            for place in range(lines):
                axes.plot([edge, edge], [0.2 - place, -0.42 - place], color=REGION, lw=1.4, dashes=(3, 1.5), zorder=1)


def _draw_rows(axes: Axes, rows: pd.DataFrame, lines: list[pd.DataFrame]) -> None:
    low, high, log = _limits(rows)
    axes.set(xlim=(low, high), ylim=(0.55 - len(lines), 0.6), xscale="log" if log else "linear")
    for place, line in enumerate(lines):
        label = str(line["series"].iloc[0])
        label = label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
        axes.text(
            0.0, 0.53 - place, label, transform=axes.get_yaxis_transform(), va="top", fontsize=8.5, parse_math=False
        )
        if line["what"].iloc[0] == "effect":
            _draw_effect(axes, line.iloc[0], -float(place), (low, high))
        else:
            _draw_points(axes, line, -float(place))


def _draw_points(axes: Axes, line: pd.DataFrame, y: float) -> None:
    """Replicates below each other, at the same height in each line; a triangle where one end is unknown."""
    marker, colour = MARKERS[str(line["what"].iloc[0])]
    order = line["replicate"].rank(method="dense").to_numpy(np.float64)
    heights = y + 0.08 - 0.4 * (order - 1.0) / max(1.0, float(order.max()) - 1.0) + (0.0 if order.max() > 1 else -0.2)
    low, high = line["low"].to_numpy(np.float64), line["high"].to_numpy(np.float64)
    value = line["value"].to_numpy(np.float64)
    kinds = ((np.isfinite(low) & np.isfinite(high), marker, value), (np.isfinite(low) & np.isposinf(high), ">", low),
             (np.isneginf(low) & np.isfinite(high), "<", high))  # fmt: skip
    for shown, symbol, x in kinds:
        drawn = shown & np.isfinite(x)
        axes.scatter(x[drawn], heights[drawn], s=22, marker=symbol, color=colour, alpha=0.85, linewidths=0, zorder=3)


def _draw_effect(axes: Axes, effect: pd.Series, y: float, limits: tuple[float, float]) -> None:
    """A diamond on a line; the line leaves the axis with an arrow where an end is unknown."""
    y -= 0.12
    low, high = float(effect["low"]), float(effect["high"])
    if not np.isnan(low) and not np.isnan(high):
        axes.plot([max(low, limits[0]), min(high, limits[1])], [y, y], color=INK, lw=2.2, zorder=3)
        ends = ((low, limits[0], "<", np.isinf(low)), (high, limits[1], ">", np.isinf(high)))
        for end, edge, arrow, unknown in ends:
            axes.plot([edge if unknown else end], [y], marker=arrow if unknown else "|", color=INK, ms=7, zorder=3,
                      clip_on=False)  # fmt: skip
    if np.isfinite(effect["value"]):
        axes.plot([effect["value"]], [y], marker="D", color=INK, ms=6, zorder=4)


def _ticks(axes: Axes, limits: tuple[float, float, bool]) -> None:
    low, high, log = limits
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_edgecolor(GRID)
    if log:
        few = high / low < 1e3
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if few else (1.0,), numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    largest = max(abs(low), abs(high))
    if log or not 1e-3 < largest < 1e6:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    else:
        plain = ScalarFormatter(useOffset=False)
        plain.set_scientific(False)
        axes.xaxis.set_major_formatter(plain)


def _text(panel: Panel) -> str:
    """Sides, effect and region in a sentence."""
    rows, parts = panel.rows, []
    for line in _series(rows[rows["what"] != "effect"]):
        value = line["value"].to_numpy(np.float64)
        known = value[np.isfinite(value)]
        span = f"{number(float(known.min()))} to {number(float(known.max()))}" if len(known) else "unknown"
        parts.append(f"{line['series'].iloc[0]}: {span} in {len(line)} replicates")
    effect = rows[rows["what"] == "effect"].iloc[0]
    shown = f"{number(effect['value'])} [{number(effect['low'])}, {number(effect['high'])}]"
    parts.append(f"{effect['series']}: {shown}; claimed {_claimed(rows)}")
    return f"{panel.title + '. ' if panel.title else ''}{'; '.join(parts)}."


def _unit(unit: str) -> str:
    """` (decades)`; "" without a unit, and of a loss, whose unit is longer than the axis."""
    return "" if unit in ("1", LOSS_UNIT) else f" ({unit})"
