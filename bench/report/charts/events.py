"""Divergence events: step against layer."""

from __future__ import annotations

import seaborn as sns
from matplotlib.ticker import MaxNLocator

from bench.report.charts.canvas import SERIES, Drawing, canvas, finish
from bench.report.view import Panel, Scale
from bench.text import plural


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One mark a run, where its first NaN or infinity was seen; an event without a layer lies at the head."""
    rows = panel.rows.assign(layer=panel.rows["layer"].fillna(scale.y_limits[1]))
    palette = dict(zip(scale.series, SERIES, strict=False))
    with canvas(4.6, 2.4) as (figure, axes):
        sns.scatterplot(
            rows, x="step", y="layer", hue="series", style="series", hue_order=list(scale.series),
            style_order=list(scale.series), palette=palette, alpha=0.75, s=36, linewidth=0, legend=False, ax=axes,
        )  # fmt: skip
        axes.set(
            xlabel=scale.x_label, ylabel=scale.y_label, xlim=(-0.02 * scale.x_limits[1], 1.02 * scale.x_limits[1]),
            ylim=(-0.5, scale.y_limits[1] + 0.5),
        )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        said = f"{plural(len(rows), 'run')} between steps {rows['step'].min()} and {rows['step'].max()}"
        return finish(figure, f"Step and layer of the first number that was not finite: {said}.")
