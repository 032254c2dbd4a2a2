"""Strip charts: a line for each setting, a box for each level along it, filled, hatched or dotted by what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, INK, MUTED, SERIES, Drawing, canvas, finish
from bench.text import of, shortened

WIDTH, ROW, FOOT = 3.1, 0.19, 0.5  # inches; the foot holds ticks and label
LONGEST = 26  # characters of a line's name
MOST_SAID = 8
# By the place of a state in `scale.series`: filled, hatched, dotted, crossed, and open; face, edge, hatch.
STYLES = (
    (SERIES[0], "none", ""), ("none", MUTED, "/////"), ("none", SERIES[1], "."), ("none", MUTED, "xxxxx"),
    ("none", GRID, ""),
)  # fmt: skip
# The same in a legend, as a path in a box of 16 by 10 and its attributes but colour.
SWATCHES = (
    ("M0 0H16V10H0z", ""), ("M0 10L8 0M4 10L12 0M8 10L16 0", ""),
    ("M1 3H16M1 7H16", 'style="stroke-width: 2.4; stroke-linecap: round; stroke-dasharray: .1 3.4"'),
    ("M0 10L8 0M8 10L16 0M0 0L8 10M8 0L16 10", ""), ("M1 1H15V9H1z", ""),
)  # fmt: skip


def draw(panel: Panel, scale: Scale) -> Drawing:
    """Lines under the headings of their groups; a level at which nothing was run has no box.

    The panel's rows have group, row, x (one of `scale.x_levels`), state (one of `scale.series`), part and runs.
    """
    lines = list(_lines(panel.rows))
    with canvas(WIDTH, ROW * len(lines) + FOOT) as (figure, axes):
        axes.grid(visible=False)
        axes.set(xlim=(-0.5, len(scale.x_levels) - 0.5), ylim=(0.5 - len(lines), 0.5), xlabel=scale.x_label)
        axes.set_xticks(range(len(scale.x_levels)), scale.x_levels)
        places = {line: -place for place, line in enumerate(lines)}
        axes.set_yticks(list(places.values()), [shortened(row or group, LONGEST) for group, row in lines])
        axes.tick_params(length=0)
        for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
            label.set(parse_math=False, fontsize=8, color=MUTED if row else INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for state, style in zip(scale.series, STYLES, strict=False):
            own = panel.rows[panel.rows["state"] == state]
            corners = [
                (scale.x_levels.index(x), places[_line(group, row)])
                for group, row, x in own[["group", "row", "x"]].itertuples(index=False)
            ]
            _boxes(axes, corners, style)
        return finish(figure, _said(panel, scale))


def _line(group: str, row: str) -> tuple[str, str]:
    return (group, row) if row else (group, "")


def _lines(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Group and row of each line from the top; a heading is a group without a row."""
    before = ""
    for group, row in rows[["group", "row"]].drop_duplicates().itertuples(index=False):
        if row and group and group != before:
            yield group, ""
        before = group
        yield _line(group, row)


def _boxes(axes: Axes, middles: Sequence[tuple[float, float]], style: tuple[str, str, str]) -> None:
    """All boxes of one state as one path: few elements make a light page."""
    if not middles:
        return
    box = np.array([(-0.46, -0.36), (0.46, -0.36), (0.46, 0.36), (-0.46, 0.36), (-0.46, -0.36)])
    path = Path.make_compound_path(*(Path(box + middle, closed=True) for middle in middles))
    face, edge, hatch = style
    if hatch == ".":  # two dotted lines: a hatch of dots is a hundred circles
        lines = [
            Path([(x - 0.42, y + up), (x + 0.42, y + up)]) for x, y in middles for up in (-0.17, 0.17)
        ]  # fmt: skip
        path = Path.make_compound_path(*lines)
        axes.add_patch(PathPatch(path, facecolor="none", edgecolor=edge, lw=2.0, ls=(0, (0.01, 1.6)), capstyle="round"))
        return
    axes.add_patch(PathPatch(path, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0.6))


def _said(panel: Panel, scale: Scale) -> str:
    parts = []
    for (group, row), own in panel.rows.groupby(["group", "row"], sort=False):
        states = ", ".join(f"{each.state} at {each.x} ({of(each.part, each.runs)})" for each in own.itertuples())
        parts.append(f"{' '.join(filter(None, (group, row))) or 'all'}: {states}")
    more = f"; and {len(parts) - MOST_SAID} more" if len(parts) > MOST_SAID else ""
    return f"{panel.title or 'All runs'}. By {scale.x_label}: {'; '.join(parts[:MOST_SAID])}{more}."
