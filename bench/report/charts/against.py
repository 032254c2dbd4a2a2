"""Two results against each other: a dot for each pair of runs, on the line where both are equal."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import INK, MARKERS, SERIES, Drawing, canvas, finish
from bench.text import of

SIDE = 2.7  # inches
FINE = 200  # places along an axis that dots are put at: those that fall together are one


def draw(panel: Panel, scale: Scale) -> Drawing:
    """The panel's rows have base, candidate and series, one of the scale's; its limits are those of both axes."""
    rows, (low, high) = panel.rows, scale.x_limits
    step, room = (high - low) / FINE, 0.04 * (high - low)
    with canvas(SIDE, SIDE) as (figure, axes):
        axes.plot((low, high), (low, high), color=INK, lw=0.8, zorder=1)
        for index, series in enumerate(scale.series):
            own = rows.loc[rows["series"] == series, ["base", "candidate"]].clip(low, high)
            places = np.unique(np.round((own.to_numpy(float) - low) / step), axis=0) * step + low
            axes.plot(places[:, 0], places[:, 1], ls="", marker=MARKERS[index % len(MARKERS)], ms=3.2, mew=0,
                      color=SERIES[index % len(SERIES)], alpha=0.8, zorder=2)  # fmt: skip
        limits = (low - room, high + room)
        axes.set(xlim=limits, ylim=limits, xlabel=scale.x_label, ylabel=scale.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        above, below = int((rows["candidate"] > rows["base"]).sum()), int((rows["candidate"] < rows["base"]).sum())
        said = f"{panel.name}: {of(above, len(rows), 'pair')} above the line where both are equal, {below} below it."
        return finish(figure, said)
