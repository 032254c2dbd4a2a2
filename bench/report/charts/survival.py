"""Share of runs still finite against step: Kaplan and Meier's curve, a stepped line a series."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from bench.report.charts.canvas import DASHES, SERIES, Drawing, canvas, finish
from bench.report.view import Panel, Scale


def draw(panel: Panel, scale: Scale) -> Drawing:
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
