"""Maps: gradient norm by layer and step, with the colour bar that a page's maps share, and tiles of what trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import GRID, MUTED, Drawing, broken, canvas, finish
from bench.report.charts.lines import HEIGHT, WIDTH
from bench.text import integer, number, power_of_ten

MAP = "viridis"
TICKS = 5
SHADES = 64
SPARE = 6.0  # points above and to the right


def draw(panel: Panel, scale: Scale) -> Drawing:
    """Recorded steps from left to right at equal distances, layers from the input (bottom) to the last hidden one.

    The panel's rows have step, layer_index, median (decades), measured and lost. `scale.x_limits` is the range of the
    colours in decades, the same in every panel: the axes need no limits. Hatched where more runs are lost than left;
    empty where nothing was recorded.
    """
    return _map(panel, scale, "layer_index", _said)


def draw_lags(panel: Panel, scale: Scale) -> Drawing:
    """The same with recorded lags, at equal distances, from the loss (bottom) to the first time step.

    The panel's rows have lag for layer_index, and their medians are relative to the gradient at lag 0.
    """
    return _map(panel, scale, "lag", _said_of_lags)


def _map(panel: Panel, scale: Scale, down: str, say: Callable[[pd.DataFrame, np.ndarray], str]) -> Drawing:
    norms, measured, lost = (
        panel.rows.pivot(index=down, columns="step", values=name) for name in ("median", "measured", "lost")
    )
    hatched = (lost > measured).to_numpy(bool)
    steps, layers = norms.columns.tolist(), norms.index.tolist()
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        axes.grid(visible=False)
        if steps:
            fit(axes, len(steps), len(layers), 40.0, 34.0)
            extent = (-0.5, len(steps) - 0.5, -0.5, len(layers) - 0.5)
            drawn = pixels(norms.to_numpy(float), hatched, scale.x_limits)
            axes.imshow(drawn, origin="lower", aspect="auto", interpolation="none", extent=extent)
            hatch(axes, hatched)
            _ticks(axes, steps, layers)
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label)
        said = say(norms.mask(hatched), hatched)
        return finish(figure, f"{panel.name or 'All runs'}. {said}.")


def colour_bar(
    scale: Scale, lost: bool = True, label: str = "gradient norm", said: str = "gradient norms", *, plain: bool = False
) -> Drawing:
    """The colours of `scale.x_limits`, whole decades or `plain` numbers; what the hatch means where runs were lost."""
    low, high = scale.x_limits
    span = high - low
    with canvas(4.8, 0.7) as (figure, axes):
        axes.grid(visible=False)
        fit(axes, 1.6 * SHADES, 1.0, 10.0, 32.0)
        colours = colormaps[MAP](np.linspace(0.0, 1.0, SHADES), bytes=True)[None, :, :]
        axes.imshow(colours, aspect="auto", interpolation="none", extent=(low, high, 0.0, 1.0))
        if lost:
            _patch(axes, [(high + 0.06 * span, 0.0, 0.08 * span, 1.0)])
            axes.text(high + 0.16 * span, 0.5, "more runs lost than left", va="center", fontsize=9)
        ticks = np.array(
            [tick for tick in MaxNLocator(TICKS, integer=not plain).tick_values(low, high) if low <= tick <= high]
        )
        names = [number(float(tick), 2) if plain else decades.said(float(tick)) for tick in ticks]
        axes.set(xlim=(low, high + 0.6 * span), ylim=(0.0, 1.0), yticks=[], xticks=ticks)
        axes.set_xticklabels(names)
        axes.set_xlabel(label, loc="left")
        for spine in axes.spines.values():
            spine.set_visible(False)
        ends = f"{power_of_ten(round(low))} to {power_of_ten(round(high))}"
        ends = f"{number(low)} to {number(high)}" if plain else ends
        hatched = "; hatched: more runs lost than left" if lost else ""
        return finish(figure, f"Colours: {said} from {ends}{hatched}.")


def fit(axes: Axes, columns: float, rows: float, left: float, bottom: float) -> None:
    """Place the axes so that a cell is a whole number of tenths of a point: `finish` cuts what is finer, and columns
    that are each cut would add up to a map narrower than its axes. Margins in points.
    """
    figure = axes.get_figure(root=True)
    full = 72.0 * np.asarray(figure.get_size_inches() if figure else (WIDTH, HEIGHT))
    counts = np.array([columns, rows])
    room = full - (left, bottom) - SPARE
    width, height = counts * (np.floor(10.0 * room / counts) + 0.001) / 10.0 / full
    axes.set_position((left / full[0], bottom / full[1], width, height))


def pixels(norms: np.ndarray, hatched: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """One opaque pixel a cell, [layers, steps, RGBA bytes]; clear where hatched or never measured."""
    low, high = limits
    clear = np.isnan(norms) | hatched
    share = np.clip((np.where(clear, low, norms) - low) / (high - low), 0.0, 1.0)
    few = np.round(share * (SHADES - 1)) / (SHADES - 1)  # fewer bytes; the eye tells no more apart
    found: np.ndarray = colormaps[MAP](few, bytes=True)
    found[clear] = 0
    return found


def hatch(axes: Axes, hatched: np.ndarray) -> None:
    """One patch over all hatched cells: neighbouring steps that are alike share their rectangles."""
    boxes, x = [], 0
    for column, same in groupby(hatched.T.tolist()):
        width, y = len(list(same)), 0
        for on, cells in groupby(column):
            height = len(list(cells))
            if on:
                boxes.append((x - 0.5, y - 0.5, width, height))
            y += height
        x += width
    if boxes:
        _patch(axes, boxes)


def _patch(axes: Axes, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    """Hatched rectangles of x, y, width and height."""
    corners = [np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)]) for x, y, w, h in boxes]
    path = Path.make_compound_path(*(Path(each, closed=True) for each in corners))
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=MUTED, hatch="////", linewidth=0.0))


def _ticks(axes: Axes, steps: list[int], layers: list[int]) -> None:
    for axis, labels in ((axes.xaxis, steps), (axes.yaxis, layers)):
        places = np.unique(np.linspace(0, len(labels) - 1, TICKS).round().astype(int))
        axis.set_ticks(places, [integer(int(labels[place])) for place in places])


def _said(norms: pd.DataFrame, hatched: np.ndarray) -> str:
    """Both ends of the first and of the last step with a number, and from when on the runs were lost."""
    full = norms.dropna(how="all", axis=1)
    parts = []
    for step in dict.fromkeys([*full.columns[:1], *full.columns[-1:]]):
        ends = full[step].dropna()
        values = f"{decades.said(ends.iloc[0])} nearest the input, {decades.said(ends.iloc[-1])} at the last"
        parts.append(f"step {integer(int(step))}: {values} measured layer")
    gone = norms.columns[hatched.any(axis=0)] if hatched.size else []
    if len(gone):
        parts.append(f"more runs lost than left from step {integer(int(gone[0]))}")
    return f"Gradient norm: {'; '.join(parts) or 'nothing was measured'}"


def _said_of_lags(norms: pd.DataFrame, hatched: np.ndarray) -> str:
    """What is left at the largest lag at the first and the last step with a number."""
    full = norms.dropna(how="all", axis=1)
    parts = []
    for step in dict.fromkeys([*full.columns[:1], *full.columns[-1:]]):
        left = full[step].dropna()
        parts.append(f"step {integer(int(step))}: {decades.said(round(left.iloc[-1], 1))} at lag {left.index[-1]}")
    return f"Gradient left: {'; '.join(parts) or 'nothing was measured'}"


def _letters(label: str) -> int:
    return max(map(len, label.split("\n")))


def draw_tiles(panel: Panel, scale: Scale) -> Drawing:
    """A tile for each pair of levels, as dark as the share of its runs that learned; empty where none was run."""
    rows = panel.rows.assign(share=panel.rows["learned"] / panel.rows["runs"])
    rows["label"] = rows["learned"].astype(str) + "/" + rows["runs"].astype(str)
    order = {"index": list(scale.y_levels), "columns": list(scale.x_levels)}
    share, label = (rows.pivot(index="y", columns="x", values=v).reindex(**order) for v in ("share", "label"))
    crowded = sum(len(level) for level in scale.x_levels) > 26
    across = [broken(level, 34, 1) if crowded else broken(level) for level in scale.x_levels]
    down = [broken(level) for level in scale.y_levels]
    turned = max(map(_letters, across)) if crowded else 0
    width = max(0.6 + 0.07 * max(map(_letters, down)), 0.066 * turned) + 0.62 * len(across)
    lines = 0.15 * max(label.count("\n") for label in across)
    height = 0.75 + sum(max(0.36, 0.1 + 0.17 * label.count("\n")) for label in down) + 0.045 * turned + lines
    with canvas(max(2.2, width), max(1.4, height)) as (figure, axes):
        sns.heatmap(
            share.astype(float), vmin=0.0, vmax=1.0, cmap=MAP, cbar=False, linewidths=1.5, linecolor="none",
            annot=label.fillna("").to_numpy(), fmt="", annot_kws={"fontsize": 9}, xticklabels=across, yticklabels=down,
            ax=axes,
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label)
        axes.tick_params(axis="y", rotation=0, length=0)
        axes.tick_params(axis="x", rotation=30 if crowded else 0, length=0)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right" if crowded else "center")
        for spine in axes.spines.values():
            spine.set_edgecolor(GRID)
        cells = [f"{row.y} {row.x}: {row.label}" for row in rows.sort_values(["y", "x"]).itertuples()]
        return finish(figure, f"{panel.name or 'All runs'}. Runs that learned, of runs: {', '.join(cells)}.")
