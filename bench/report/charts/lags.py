"""What is left of a gradient by lag, measured and predicted, and a final loss by learning rate."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.analysis.through_time import LEFT_DECADES
from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import DASHES, MUTED, SERIES, Drawing, canvas, finish

WIDTH, HEIGHT = 2.9, 2.1
DOT = 2.2  # points: a predicted value
LABELLED, LABEL_HEIGHT = 0.85, 0.14  # from where on, and how high, `1 %` stands, as shares of the axes
CROSS = 5.0  # points: a rate at which runs were lost


def draw(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median over runs, the range as a band, and dots where theory has a prediction.

    The panel's rows have series, lag, median, lower, upper and predicted, in decades. The line across is the horizon.
    """
    low, high = scale.y_limits
    parts = []
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        if low <= LEFT_DECADES:
            axes.axhline(LEFT_DECADES, color=MUTED, lw=0.9, ls=(0, (4, 2)), zorder=1)
            ends = panel.rows[panel.rows["lag"] >= LABELLED * scale.x_limits[1]]["median"]
            crossed = ends.between(LEFT_DECADES, LEFT_DECADES + LABEL_HEIGHT * (high - low)).any()
            axes.annotate(
                "1 %", (1.0, LEFT_DECADES), xycoords=axes.get_yaxis_transform(), xytext=(-2, -2 if crossed else 2),
                textcoords="offset points", ha="right", va="top" if crossed else "bottom", fontsize=8, color=MUTED,
            )  # fmt: skip
        for index, series in enumerate(scale.series):
            own = panel.rows[panel.rows["series"] == series].sort_values("lag", kind="stable")
            if own.empty:
                continue
            colour, lag = SERIES[index % len(SERIES)], own["lag"]
            lower, upper, middle = (own[name].clip(low - 1.0, high + 1.0) for name in ("lower", "upper", "median"))
            axes.fill_between(lag, lower, upper, color=colour, alpha=0.15, lw=0, zorder=1.5)
            axes.plot(lag, middle, color=colour, dashes=DASHES[index % len(DASHES)] or (None, None))
            told = own[own["predicted"].notna()]
            inside = told[told["predicted"].between(low, high)]
            axes.plot(inside["lag"], inside["predicted"], color=colour, ls="", marker="o", ms=DOT, zorder=3)
            last = own.iloc[-1]
            theory = f" (predicted {decades.said(told['predicted'].iloc[-1])})" if len(told) else ""
            parts.append(f"{series} {_left(float(last['median']))} at lag {int(last['lag'])}{theory}")
        axes.set(xlim=_margin(*scale.x_limits), ylim=(low, high), xlabel=scale.x_label, ylabel=scale.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        decades.label(axes.yaxis, (low, high))
        return finish(figure, f"{panel.name or 'All networks'}. Gradient left: {'; '.join(parts) or 'not measured'}.")


def draw_rates(panel: Panel, scale: Scale) -> Drawing:
    """One line a series: the median loss at each rate or depth, the range as a band, crosses where runs were lost.

    The panel's rows have series, rate, median, lower and upper, the four as powers of ten, an infinite one where most
    runs were lost, and lost and runs, their numbers.
    """
    low, high = scale.y_limits
    parts = []
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        for index, series in enumerate(scale.series):
            own = panel.rows[panel.rows["series"] == series].sort_values("rate", kind="stable")
            colour = SERIES[index % len(SERIES)]
            there = own[np.isfinite(own["median"].to_numpy(float))]
            lower, upper = (there[name].clip(low, high) for name in ("lower", "upper"))
            axes.fill_between(there["rate"], lower, upper, color=colour, alpha=0.15, lw=0, zorder=1.5)
            axes.plot(
                there["rate"], there["median"].clip(low, high), color=colour, marker="o", ms=3.0,
                dashes=DASHES[index % len(DASHES)] or (None, None),
            )  # fmt: skip
            gone = own[own["lost"] > 0]
            top = high - (0.04 + 0.07 * index) * (high - low)
            axes.plot(gone["rate"], np.full(len(gone), top), color=colour, ls="", marker="x", ms=CROSS, mew=1.4)
            for row in gone.itertuples():
                axes.annotate(
                    f"{row.lost}/{row.runs}", (row.rate, top), xytext=(5, 0), textcoords="offset points", va="center",
                    fontsize=7, color=colour,
                )  # fmt: skip
            said = [
                f"{decades.said(row.median) if np.isfinite(row.median) else 'lost'} at {decades.said(row.rate)}"
                for row in own.itertuples()
            ]
            parts.append(f"{series}: {', '.join(said)}")
        axes.set(xlim=_margin(*scale.x_limits, 0.12), ylim=(low, high), xlabel=scale.x_label, ylabel=scale.y_label)
        rates = sorted(set(panel.rows["rate"]))
        if len(rates) <= decades.MOST_TICKS:
            axes.set_xticks(rates, [decades.said(rate) for rate in rates])
        else:
            decades.label(axes.xaxis, scale.x_limits)
        decades.label(axes.yaxis, (low, high))
        label = f"{scale.y_label[:1].upper()}{scale.y_label[1:]}"
        return finish(figure, f"{panel.name or 'All networks'}. {label} by {scale.x_label}: {'; '.join(parts)}.")


def _left(median: float) -> str:
    return "0" if np.isneginf(median) else decades.said(round(median, 1))


def _margin(low: float, high: float, share: float = 0.02) -> tuple[float, float]:
    margin = share * (high - low) or 0.5
    return low - margin, high + margin
