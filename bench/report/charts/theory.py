"""Predicted and measured gradients: all layers at once, and profiles with what is left after the prediction."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import DASHES, INK, SERIES, Drawing, canvas, finish, stacked
from bench.text import number, plural, ratio

WIDTH, UPPER, LOWER = 3.1, 1.75, 1.35
SIDE = 2.7  # inches
DOT = 2.6  # points
GRAIN = 1.5  # points: two dots as near as that are one
NEAR = 0.003  # of the height: a line that moves by less looks the same
BINS = 24  # stretches of the prediction whose bands are summed up


def draw_agreement(panel: Panel, scale: Scale) -> Drawing:
    """A dot for each layer: measured against predicted, in decades, on the line where both are equal.

    The panel's rows have predicted, measured, low, high, series (one of the scale's) and label, empty for most. The
    band is that of the predictions near by, the median.
    """
    rows = panel.rows
    with canvas(WIDTH, SIDE) as (figure, axes):
        limits = scale.x_limits
        axes.plot(limits, limits, color=INK, lw=0.8, zorder=2)
        band = rows.groupby(_bins(rows["predicted"].to_numpy(float)))[["predicted", "low", "high"]].median()
        axes.fill_between(band["predicted"], band["low"], band["high"], color=INK, alpha=0.12, lw=0, zorder=1)
        _dots(axes, rows["predicted"], rows["measured"], rows, scale)
        axes.set(xlim=limits, ylim=limits, xlabel=scale.x_label, ylabel=scale.y_label)
        decades.label(axes.xaxis, limits)
        decades.label(axes.yaxis, limits)
        return _dotted(finish(figure, f"{panel.name}. {_counted(rows, scale)}."))


def draw_departures(panel: Panel, scale: Scale) -> Drawing:
    """The same by layer: distance from the middle of the band in half widths; the band reaches from −1 to 1.

    The panel's rows have layer_index, departure, series and label; what is beyond `scale.y_limits` lies on its edge.
    """
    rows, (low, high) = panel.rows, scale.y_limits
    with canvas(WIDTH, SIDE) as (figure, axes):
        axes.axhspan(-1.0, 1.0, color=INK, alpha=0.12, lw=0, zorder=1)
        axes.axhline(0.0, color=INK, lw=0.8, zorder=2)
        axes.set(xlim=(scale.x_limits[0] - 0.7, scale.x_limits[1] + 0.7), ylim=(1.04 * low, 1.04 * high))
        _dots(axes, rows["layer_index"].astype(float), rows["departure"].clip(low, high), rows, scale)
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        return _dotted(finish(figure, f"{panel.name}. {_counted(rows, scale)}."))


def _dots(axes: Axes, x: pd.Series, y: pd.Series, rows: pd.DataFrame, scale: Scale) -> None:
    """One path of dots a series, each place once, and the labels beside theirs."""
    for index, series in enumerate(scale.series):
        own = (rows["series"] == series).to_numpy(bool)
        points = np.unique(np.stack([_grained(x[own], 72.0 * WIDTH), _grained(y[own], 72.0 * SIDE)], axis=1), axis=0)
        if len(points):
            ends = np.repeat(points, 2, axis=0)
            path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], len(points)))
            path.should_simplify = False  # which would leave out lines without a length
            axes.add_patch(
                PathPatch(path, fill=False, edgecolor=SERIES[index], lw=DOT, capstyle="round", alpha=0.75, zorder=3)
            )
    for place in np.flatnonzero(rows["label"] != ""):
        at = (float(x.iloc[place]), float(y.iloc[place]))
        axes.annotate(rows["label"].iloc[place], at, xytext=(5, 1), textcoords="offset points", fontsize=9, zorder=4)


def _dotted(drawing: Drawing) -> Drawing:
    """Each dot as a line of no length, which takes half the letters of one that ends where it began."""
    return replace(drawing, svg=re.sub(r"M([-\d.]+ [-\d.]+)L\1(?=[M\"])", r"M\1h0", drawing.svg))


def _bins(predicted: np.ndarray) -> np.ndarray:
    """A number from 0 for each, ascending with it."""
    span = float(np.ptp(predicted)) if len(predicted) else 0.0
    return np.asarray(np.floor((predicted - predicted.min()) / span * BINS)) if span else np.zeros(len(predicted))


def _grained(values: pd.Series, points: float) -> np.ndarray:
    """Values on a grid of which a figure of so many points shows no more."""
    known: np.ndarray = values.to_numpy(float)
    span = float(np.ptp(known)) if len(known) else 0.0
    grain = span * GRAIN / points
    return np.asarray(np.round(known / grain) * grain) if grain > 0.0 else known


def _counted(rows: pd.DataFrame, scale: Scale) -> str:
    counts = rows["series"].value_counts()
    parts = [f"{series}: {plural(int(counts[series]), 'layer')}" for series in scale.series if series in counts]
    return "; ".join(parts) or "Nothing to compare"


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
        upper.set(ylabel="over the last", xticklabels=[])
        lower.set(ylabel="over predicted", xlabel=scale.x_label)
        lower.axhline(0.0, color=INK, lw=0.6)
        for axes in (upper, lower):
            decades.label(axes.yaxis, axes.get_ylim())
        figure.align_ylabels([upper, lower])
        return finish(figure, _text(panel, predicted))


def _draw(axes: Axes, rows: pd.DataFrame, predicted: pd.DataFrame, base: pd.Series) -> None:
    band = predicted[["low", "high", "value"]].sub(base, axis=0)
    axes.fill_between(band.index, band["low"], band["high"], color=SERIES[0], alpha=0.2, lw=0)
    axes.plot(band.index, band["value"], color=SERIES[0], lw=1.6)
    for index, kind in enumerate(("measured", "trained"), start=1):
        for _, line in rows[rows["kind"] == kind].groupby("replicate"):
            known = line.assign(value=line["value"] - line["layer_index"].map(base)).dropna(subset=["value"])
            if len(known):
                x, y = known["layer_index"].to_numpy(float), known["value"].to_numpy(float)
                kept = decades.thinned(x, y, NEAR * max(float(np.ptp(band.to_numpy())), float(np.ptp(y)), 1e-9))
                axes.plot(x[kept], y[kept], color=SERIES[index], dashes=DASHES[index], lw=1.1 if index == 1 else 1.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(x=0.02)


def _text(panel: Panel, predicted: pd.DataFrame) -> str:
    """The totals: first hidden layer over last."""
    rows = panel.rows
    first = rows[(rows["kind"] == "measured") & (rows["layer_index"] == rows["layer_index"].min())]["value"]
    at = predicted.iloc[0]
    measured = f"{_ratio(first.min())} to {_ratio(first.max())}" if len(first) else "nothing"
    return (
        f"{panel.name}. The first hidden layer's gradient over the last's: predicted {_ratio(at['value'])}, "
        f"band {_ratio(at['low'])} to {_ratio(at['high'])}; measured {measured}."
    )


def _ratio(exponent: float) -> str:
    return ratio(10.0**exponent) if np.isfinite(exponent) else number(10.0**exponent)
