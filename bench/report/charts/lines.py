"""Lines with bands, one series a colour: what the gradient and the loss charts draw."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.charts.canvas import DASHES, SERIES
from bench.report.view import Scale

WIDTH, HEIGHT = 3.1, 2.3


def draw_lines(axes: Axes, rows: pd.DataFrame, x: str, scale: Scale) -> None:
    """Medians as lines and `lower` to `upper` as bands, on the scale's limits and with its colours."""
    low, high = scale.y_limits
    palette = dict(zip(scale.series, SERIES, strict=False))
    dashes = dict(zip(scale.series, DASHES, strict=False))
    for series in scale.series:
        band = rows[rows["series"] == series].dropna(subset=["lower", "upper"])
        if len(band):
            lower, upper = (band[edge].clip(low, high) for edge in ("lower", "upper"))
            axes.fill_between(band[x], lower, upper, color=palette[series], alpha=0.15, lw=0)
    drawn = rows.dropna(subset=["median"])
    if len(drawn):
        sns.lineplot(
            drawn.assign(median=drawn["median"].clip(low - 1, high + 1)),
            x=x, y="median", hue="series", style="series", hue_order=list(scale.series), style_order=list(scale.series),
            palette=palette, dashes=dashes, errorbar=None, estimator=None, legend=False, ax=axes,
        )  # fmt: skip
    margin = 0.02 * (scale.x_limits[1] - scale.x_limits[0])
    axes.set(
        xlim=(scale.x_limits[0] - margin, scale.x_limits[1] + margin), ylim=scale.y_limits,
        xlabel=scale.x_label, ylabel=scale.y_label,
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
