"""Lines and points on one pair of axes: gradient profiles, losses, survival, divergence, activations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import DASHES, MARKERS, MUTED, SERIES, Drawing, canvas, finish
from bench.text import listed, number, plural

WIDTH, HEIGHT = 2.6, 1.8
ACTIVATION = 3.1, 2.3
NEAR = 0.4  # points: a line that moves by less looks the same


def draw_profile(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs of the norm, in decades, from the input (left) to the head."""
    parts = [
        f"{series} {decades.said(first)} nearest the input, {decades.said(last)} at the last hidden layer"
        for series, first, last in _ends(panel.rows, scale, "layer_index")
    ]
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        _draw_lines(axes, panel.rows, "layer_index", scale)
        told = "; ".join(parts) or "nothing was measured"
        return finish(figure, f"{panel.name or 'All runs'}. {scale.y_label}: {told}.")


def draw_curve(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs of the training loss, in decades."""
    rows = panel.rows
    parts = [
        f"{series} from {decades.said(first)} to {decades.said(last)}"
        for series, first, last in _ends(rows, scale, "step")
    ]
    lost = [series for series in scale.series if _ends_infinite(rows[rows["series"] == series])]
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        _draw_lines(axes, rows.replace([np.inf, -np.inf], np.nan), "step", scale)
        if lost:
            told = f"diverged: {', '.join(lost)}"
            axes.text(0.98, 0.95, told, transform=axes.transAxes, ha="right", va="top", fontsize=8)
        told = "; ".join(parts) or "nothing was measured"
        return finish(figure, f"{panel.name or 'All runs'}. Median loss: {told}.")


def _ends(rows: pd.DataFrame, scale: Scale, x: str) -> Iterator[tuple[str, float, float]]:
    """Each series that has medians, with the first and the last of them along x."""
    for series in scale.series:
        line = rows[rows["series"] == series].dropna(subset=["median"]).sort_values(x)["median"]
        if len(line):
            yield series, float(line.iloc[0]), float(line.iloc[-1])


def _ends_infinite(rows: pd.DataFrame) -> bool:
    """Whether most runs were lost by the end: then the median is infinite and has no place on the scale."""
    last = rows.sort_values("step")["median"].tail(1)
    return bool(np.isposinf(last).any())


def draw_survival(panel: Panel, scale: Scale) -> Drawing:
    """Lines with bands of 95 % at each step."""
    parts = []
    with canvas(4.6, 2.6) as (figure, axes):
        for index, series in enumerate(scale.series):
            rows = panel.rows[panel.rows["series"] == series].sort_values("step")
            colour = SERIES[index % len(SERIES)]
            axes.fill_between(rows["step"], rows["lower"], rows["upper"], step="post", color=colour, alpha=0.15, lw=0)
            axes.step(
                rows["step"], rows["surviving"], where="post", color=colour, lw=1.6,
                dashes=DASHES[index % len(DASHES)] or (1, 0),
            )  # fmt: skip
            last = rows.iloc[-1]
            parts.append(f"{series} {100 * last['surviving']:.0f} % of {int(last['runs'])} runs")
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label, ylim=scale.y_limits, xlim=scale.x_limits)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return finish(figure, f"Runs still finite at the end: {'; '.join(parts)}.")


def draw_events(panel: Panel, scale: Scale) -> Drawing:
    """One mark a run, where its first NaN or infinity was seen; an event without a layer lies at the head."""
    rows = panel.rows.assign(layer=panel.rows["layer"].fillna(scale.y_limits[1]))
    palette = dict(zip(scale.series, SERIES, strict=False))
    with canvas(4.6, 2.4) as (figure, axes):
        sns.scatterplot(
            rows, x="step", y="layer", hue="series", style="series", hue_order=list(scale.series),
            style_order=list(scale.series), markers=list(MARKERS[: len(scale.series)]), palette=palette,
            alpha=0.75, s=36, linewidth=0, legend=False, ax=axes,
        )  # fmt: skip
        axes.set(
            xlabel=scale.x_label, ylabel=scale.y_label, xlim=(-0.02 * scale.x_limits[1], 1.02 * scale.x_limits[1]),
            ylim=(-0.5, scale.y_limits[1] + 0.5),
        )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        said = f"{plural(len(rows), 'run')} between steps {rows['step'].min()} and {rows['step'].max()}"
        return finish(figure, f"Step and layer of the first number that was not finite: {said}.")


def _draw_lines(axes: Axes, rows: pd.DataFrame, x: str, scale: Scale) -> None:
    """Medians as lines and `lower` to `upper` as bands, in decades, on the scale's limits and with its colours."""
    low, high = scale.y_limits
    near = NEAR * (high - low) / (72.0 * HEIGHT)
    for index, series in enumerate(scale.series):
        colour, dash = SERIES[index % len(SERIES)], DASHES[index % len(DASHES)]
        own = rows[rows["series"] == series].sort_values(x, kind="stable")
        band = own.dropna(subset=["lower", "upper"])
        if len(band):
            below, above = (_path(band, x, edge, (low, high), 2.0 * near) for edge in ("lower", "upper"))
            outline = np.concatenate([below, above[::-1]])
            axes.fill(outline[:, 0], outline[:, 1], color=colour, alpha=0.15, lw=0, zorder=1.5)
        line = own.dropna(subset=["median"])
        if len(line):
            path = _path(line, x, "median", (low - 1, high + 1), near)
            axes.plot(path[:, 0], path[:, 1], color=colour, dashes=dash or (None, None))
    margin = 0.02 * (scale.x_limits[1] - scale.x_limits[0])
    axes.set(
        xlim=(scale.x_limits[0] - margin, scale.x_limits[1] + margin), ylim=scale.y_limits,
        xlabel=scale.x_label, ylabel=scale.y_label,
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    decades.label(axes.yaxis, scale.y_limits)


def _path(rows: pd.DataFrame, x: str, y: str, limits: tuple[float, float], near: float) -> np.ndarray:
    """The points that a line needs, cut at the limits."""
    points: np.ndarray = np.stack([rows[x].to_numpy(float), rows[y].clip(*limits).to_numpy(float)], axis=1)
    return points[decades.thinned(points[:, 0], points[:, 1], near)]


def draw_activation(panel: Panel, scale: Scale) -> Drawing:
    """An activation and its slope over z, each named beside its line; hatched where it is saturated.

    The panel's rows have z, value, slope (NaN where it jumps) and `saturated`; the scale's two series name the lines.
    """
    rows = panel.rows
    z, flat = rows["z"].to_numpy(float), rows["saturated"].to_numpy(bool)
    with canvas(*ACTIVATION) as (figure, axes):
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
