"""Predicted and measured gradients by layer: the profile above, and below it what is left after the prediction."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts.canvas import DASHES, INK, SERIES, Drawing, finish, stacked
from bench.text import signed

WIDTH, UPPER, LOWER = 3.1, 1.75, 1.35


def draw(panel: Panel, scale: Scale) -> Drawing:
    """`scale.series` names the three kinds of line: predicted, measured, after training.

    The panel's rows have `kind` (predicted, measured or trained), `replicate`, `layer_index`, `value`, and for the
    prediction `low` and `high`; all in decades relative to the last hidden layer. Each panel has its own limits.
    """
    rows = panel.rows
    predicted = rows[rows["kind"] == "predicted"].set_index("layer_index")
    with stacked(WIDTH, (UPPER, LOWER)) as (figure, (upper, lower)):
        _draw(upper, rows, predicted, 0.0 * predicted["value"])
        _draw(lower, rows[rows["kind"] != "trained"], predicted, predicted["value"])
        upper.set(ylabel="log10 ratio", xticklabels=[])
        lower.set(ylabel="less predicted", xlabel=scale.x_label)
        lower.axhline(0.0, color=INK, lw=0.6)
        figure.align_ylabels([upper, lower])
        return finish(figure, _text(panel, predicted))


def _draw(axes: Axes, rows: pd.DataFrame, predicted: pd.DataFrame, base: pd.Series) -> None:
    band = predicted[["low", "high", "value"]].sub(base, axis=0)
    axes.fill_between(band.index, band["low"], band["high"], color=SERIES[0], alpha=0.2, lw=0)
    axes.plot(band.index, band["value"], color=SERIES[0], lw=1.6)
    for index, kind in enumerate(("measured", "trained"), start=1):
        for _, line in rows[rows["kind"] == kind].groupby("replicate"):
            value = line["value"] - line["layer_index"].map(base)
            axes.plot(
                line["layer_index"], value, color=SERIES[index], dashes=DASHES[index], lw=1.1 if index == 1 else 1.6
            )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.02)


def _text(panel: Panel, predicted: pd.DataFrame) -> str:
    """The totals: first hidden layer over last."""
    rows = panel.rows
    first = rows[(rows["kind"] == "measured") & (rows["layer_index"] == rows["layer_index"].min())]["value"]
    at = predicted.iloc[0]
    measured = f"{signed(first.min())} to {signed(first.max())}" if len(first) else "nothing"
    return (
        f"{panel.title}. log10 of the first hidden layer's gradient over the last's: predicted {signed(at['value'])}, "
        f"band {signed(at['low'])} to {signed(at['high'])}; measured {measured}."
    )
