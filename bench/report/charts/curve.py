"""Loss against step."""

from __future__ import annotations

import numpy as np

from bench.report.charts.canvas import Drawing, canvas, finish
from bench.report.charts.lines import HEIGHT, WIDTH, draw_lines
from bench.report.view import Panel, Scale
from bench.report.wording import number


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
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        draw_lines(axes, rows.replace([np.inf, -np.inf], np.nan), "step", scale)
        return finish(
            figure, f"{panel.title or 'All runs'}. Median loss: {'; '.join(parts) or 'nothing was measured'}."
        )
