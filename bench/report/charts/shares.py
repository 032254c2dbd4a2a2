"""Shares of a variance: bars with their intervals, and a matrix of what factors explain alone and two by two."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, INK, MUTED, SERIES, Drawing, canvas, finish
from bench.text import shortened

WIDTH, ROW, FOOT = 3.1, 0.34, 0.5  # inches
LETTERS = 44  # of a term and its share together
CELL, NAMES = 13, 16  # letters of a column's and of a row's name in the matrix
DARKEST = 0.6  # opacity of the largest share: ink stays readable on it in either theme
MOST_SAID = 6


def draw_bars(panel: Panel, scale: Scale) -> Drawing:
    """A bar for each term with its name above and its interval across the end.

    The panel's rows have factors, share, lower, upper and said; `scale.x_limits` are the axis's.
    """
    rows = panel.rows.to_dict("records")
    style: dict[str, Any] = {"va": "top", "fontsize": 8.5, "parse_math": False}
    with canvas(WIDTH, ROW * len(rows) + FOOT) as (figure, axes):
        for place, row in enumerate(rows):
            axes.barh(-place - 0.17, row["share"], 0.26, color=SERIES[0], alpha=DARKEST)
            axes.hlines(-place - 0.17, row["lower"], min(row["upper"], scale.x_limits[1]), color=INK, lw=1.6)
            name = shortened(row["factors"], LETTERS - len(row["said"]))
            axes.text(0.0, 0.42 - place, name, transform=axes.get_yaxis_transform(), **style)
            axes.text(1.0, 0.42 - place, row["said"], transform=axes.get_yaxis_transform(), ha="right", **style)
        axes.set(xlim=scale.x_limits, ylim=(0.6 - len(rows), 0.5), xlabel=scale.x_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_edgecolor(MUTED)
        said = "; ".join(f"{row['factors']} {row['said']}" for row in rows)
        return finish(figure, f"{panel.name}. {scale.x_label}: {said}.")


def draw_matrix(panel: Panel, scale: Scale) -> Drawing:
    """Shares as squares below a diagonal: on it factors alone, below it what two explain only together.

    The panel's rows have one, other (the same for a factor alone), share and said; both axes are `scale.x_levels`.
    """
    names, rows = scale.x_levels, panel.rows
    place = {name: index for index, name in enumerate(names)}
    most = max(float(rows["share"].max()), 0.01)
    with canvas(WIDTH, 0.42 * len(names) + 0.75) as (figure, axes):
        for row in rows.itertuples():
            x, y = sorted((place[row.one], place[row.other]))
            axes.add_patch(_square(x, y, row.one == row.other, DARKEST * row.share / most))
            axes.text(x, y, row.said, ha="center", va="center", fontsize=8.5)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        _name(axes, names)
        largest = rows.sort_values("share", ascending=False, kind="stable").head(MOST_SAID).itertuples()
        terms = [(" × ".join(dict.fromkeys((row.one, row.other))), row.said) for row in largest]
        said = "; ".join(f"{term} {share}" for term, share in terms)
        return finish(figure, f"{panel.name}. {scale.x_label}: {said}.")


def _square(x: int, y: int, alone: bool, opacity: float) -> Rectangle:
    edge = INK if alone else GRID
    return Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, facecolor=to_rgba(SERIES[0], opacity), edgecolor=edge, lw=0.8)


def _name(axes: Axes, names: tuple[str, ...]) -> None:
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), [shortened(name, CELL) for name in names], rotation=30, ha="right")
    axes.set_yticks(range(len(names)), [shortened(name, NAMES) for name in names])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
