"""Loss against step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.report.charts.canvas import Drawing, canvas, finish
from bench.report.charts.lines import HEIGHT, WIDTH, draw_lines
from bench.report.view import Panel, Scale
from bench.text import number


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs of log10 of the training loss."""
    rows = panel.rows
    parts = []
    for series in scale.series:
        line = rows[rows["series"] == series].dropna(subset=["median"]).sort_values("step")
        if len(line):
            first, last = (float(10.0 ** line["median"].iloc[k]) if np.isfinite(line["median"].iloc[k]) else np.inf
                           for k in (0, -1))  # fmt: skip
            parts.append(f"{series} from {number(first)} to {number(last)} nat")
    lost = [series for series in scale.series if _ends_infinite(rows[rows["series"] == series])]
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        draw_lines(axes, rows.replace([np.inf, -np.inf], np.nan), "step", scale)
        if lost:
            axes.text(
                0.98, 0.95, f"diverged: {', '.join(lost)}", transform=axes.transAxes, ha="right", va="top", fontsize=8
            )
        return finish(
            figure, f"{panel.title or 'All runs'}. Median loss: {'; '.join(parts) or 'nothing was measured'}."
        )


def _ends_infinite(rows: pd.DataFrame) -> bool:
    """Whether most runs were lost by the end: then the median is infinite and has no place on the scale."""
    last = rows.sort_values("step")["median"].tail(1)
    return bool(np.isposinf(last).any())
