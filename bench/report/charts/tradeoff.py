"""Recall against false-positive rate, a line a measure."""

from __future__ import annotations

from bench.report.charts.canvas import DASHES, GRID, SERIES, Drawing, canvas, finish
from bench.report.view import Panel, Scale


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One stepped line for each series, and the diagonal of a coin."""
    parts = []
    with canvas(4.6, 4.2) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GRID, lw=1.2)
        for index, series in enumerate(scale.series):
            rows = panel.rows[panel.rows["series"] == series].sort_values(["false_positive_rate", "recall"])
            axes.plot(
                rows["false_positive_rate"], rows["recall"], color=SERIES[index % len(SERIES)],
                dashes=DASHES[index % len(DASHES)] or (1, 0), lw=1.6,
            )  # fmt: skip
            quiet = rows[rows["false_positive_rate"] == 0.0]["recall"].max()
            parts.append(f"{series} reaches a recall of {100 * quiet:.0f} % without a false positive")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=scale.x_label, ylabel=scale.y_label)
        return finish(figure, f"Recall against false-positive rate: {'; '.join(parts)}.")
