"""Gradient norm against layer."""

from __future__ import annotations

from bench.report.charts.canvas import Drawing, canvas, finish
from bench.report.charts.lines import HEIGHT, WIDTH, draw_lines
from bench.report.view import Panel, Scale
from bench.text import decades


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs of log10 of the norm, from the input (left) to the head."""
    rows = panel.rows
    parts = []
    for series in scale.series:
        line = rows[rows["series"] == series].dropna(subset=["median"]).sort_values("layer_index")
        if len(line):
            ends = (decades(float(line["median"].iloc[0])), decades(float(line["median"].iloc[-1])))
            parts.append(f"{series} {ends[0]} nearest the input, {ends[1]} at the last hidden layer")
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        draw_lines(axes, rows, "layer_index", scale)
        said = "; ".join(parts) or "nothing was measured"
        return finish(figure, f"{panel.title or 'All runs'}. {scale.y_label}: {said}.")
