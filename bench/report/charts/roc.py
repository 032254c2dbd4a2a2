"""Recall against false-positive rate: rule sets as points with intervals, and one measure as a curve."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import GRID, INK, MUTED, SERIES, Drawing, canvas, finish

WIDTH, HEIGHT = 4.2, 2.7
SMALL = 2.2, 1.9
MARKERS = "oDs^vPX*"
NAMED_AT = 1.06  # where labels begin, in widths of the plane
GAP = 0.12  # between labels, in heights of the plane
ROOM = 0.05  # beyond what is drawn


def draw_points(panel: Panel, scale: Scale) -> Drawing:
    """One mark a rule set with its 95 % intervals both ways, named at the right.

    The panel's rows have `series`, and `recall` and `false_positive_rate`, each with `_lower` and `_upper`.
    """
    rows = panel.rows.sort_values("recall", ascending=False, kind="stable").reset_index(drop=True)
    low = max(0.0, float(rows["recall_lower"].min()) - ROOM)
    high = min(1.0, float(rows["false_positive_rate_upper"].max()) + ROOM)
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        heights = _spread((rows["recall"].to_numpy(float) - low) / (1.0 + ROOM / 2 - low))
        for row, height in zip(rows.to_dict("records"), heights, strict=True):
            index = scale.series.index(row["series"])
            colour, x, y = SERIES[index % len(SERIES)], row["false_positive_rate"], row["recall"]
            axes.plot([row["false_positive_rate_lower"], row["false_positive_rate_upper"]], [y, y], color=colour, lw=1)
            axes.plot([x, x], [row["recall_lower"], row["recall_upper"]], color=colour, lw=1)
            axes.plot([x], [y], MARKERS[index % len(MARKERS)], color=colour, ms=6, mec="none", clip_on=False, zorder=3)
            axes.annotate(
                row["series"], (x, y), (NAMED_AT, height), textcoords="axes fraction", va="center", color=INK,
                arrowprops={"arrowstyle": "-", "color": MUTED, "lw": 0.5, "shrinkB": 4, "relpos": (0.0, 0.5)},
            )  # fmt: skip
        axes.set(xlim=(-ROOM * high / 2, high), ylim=(low, 1.0 + ROOM / 2), xlabel=scale.x_label, ylabel=scale.y_label)
        _percent(axes)
        parts = [
            f"{r['series']} {100 * r['recall']:.0f} % and {100 * r['false_positive_rate']:.0f} %"
            for r in rows.to_dict("records")
        ]
        return finish(figure, f"Recall and false-positive rate: {'; '.join(parts)}.")


def draw_curve(panel: Panel, scale: Scale) -> Drawing:
    """One line, and the diagonal of a coin."""
    rows = panel.rows.sort_values(["false_positive_rate", "recall"], kind="stable")
    with canvas(*SMALL) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GRID, lw=1.2)
        axes.plot(rows["false_positive_rate"], rows["recall"], color=SERIES[0], lw=1.6)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel=scale.x_label, ylabel=scale.y_label)
        _percent(axes)
        quiet = rows[rows["false_positive_rate"] == 0.0]["recall"].max()
        return finish(figure, f"{panel.title}. It reaches a recall of {100 * quiet:.0f} % without a false positive.")


def _spread(wanted: np.ndarray) -> np.ndarray:
    """Heights of labels, highest first, as near to the wanted ones as a gap between them allows."""
    found = np.clip(wanted, 0.0, 1.0)
    for at in range(1, len(found)):
        found[at] = min(found[at], found[at - 1] - GAP)
    lowest = GAP / 2
    for at in range(len(found) - 1, -1, -1):
        found[at] = max(found[at], lowest)
        lowest = found[at] + GAP
    return np.asarray(found)


def _percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
