"""Maps of attention: what each head of each sub-layer does over the recorded steps, and where runs were lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from bench.report.blocks import Panel, Scale
from bench.report.charts import decades
from bench.report.charts.canvas import Drawing, canvas, finish
from bench.report.charts.heatmap import TICKS, fit, hatch, pixels
from bench.report.charts.lines import HEIGHT, WIDTH
from bench.text import integer, number

FEW_BLOCKS = 8  # between which lines are drawn
LIGHT, DARK = "#ffffff", "#000000"  # on colours that are the same in either theme


def draw_entropy(panel: Panel, scale: Scale) -> Drawing:
    """Recorded steps from left to right at equal distances, heads from the first block's (bottom) to the last's.

    The panel's rows have step, block, head, value, measured, lost, and ended: the median last step of lost runs, the
    same in every row. `scale.x_limits` is the range of the colours. Hatched where more runs were lost than left; a
    dashed line stands at `ended`.
    """
    return _map(panel, scale, lambda value: number(value, 2))


def draw_logits(panel: Panel, scale: Scale) -> Drawing:
    """The same of values in decades."""
    return _map(panel, scale, lambda value: decades.said(round(value, 1)))


def _map(panel: Panel, scale: Scale, said: Callable[[float], str]) -> Drawing:
    rows = panel.rows
    values, measured, lost = (
        rows.pivot(index=["block", "head"], columns="step", values=name) for name in ("value", "measured", "lost")
    )
    hatched = (lost > measured).to_numpy(bool)
    steps, blocks = values.columns.tolist(), values.index.get_level_values(0).to_numpy()
    with canvas(WIDTH, HEIGHT) as (figure, axes):
        axes.grid(visible=False)
        fit(axes, len(steps), len(values), 40.0, 34.0)
        extent = (-0.5, len(steps) - 0.5, -0.5, len(values) - 0.5)
        drawn = pixels(values.to_numpy(float), hatched, scale.x_limits)
        axes.imshow(drawn, origin="lower", aspect="auto", interpolation="none", extent=extent)
        hatch(axes, hatched)
        for edge in np.flatnonzero(np.diff(blocks)) if len(set(blocks)) <= FEW_BLOCKS else ():
            axes.axhline(edge + 0.5, color=LIGHT, lw=0.6)
        ended = float(rows["ended"].iloc[0]) if len(rows) else np.nan
        if np.isfinite(ended):
            at = float(np.interp(ended, steps, range(len(steps))))
            axes.axvline(at, color=LIGHT, lw=2.4)
            axes.axvline(at, color=DARK, lw=1.6, ls=(0, (2, 1.2)))
        places = np.unique(np.linspace(0, len(steps) - 1, TICKS).round().astype(int))
        axes.xaxis.set_ticks(places, [integer(int(steps[place])) for place in places])
        known = list(dict.fromkeys(blocks.tolist()))
        shown = [known[k] for k in np.unique(np.linspace(0, len(known) - 1, TICKS).round().astype(int))]
        axes.yaxis.set_ticks([float(np.flatnonzero(blocks == each).mean()) for each in shown], [str(e) for e in shown])
        axes.set(xlabel=scale.x_label, ylabel=scale.y_label)
        axes.tick_params(axis="y", length=0)
        return finish(figure, f"{panel.name or 'All runs'}. {_said(values.mask(hatched), ended, said)}.")


def _said(values: pd.DataFrame, ended: float, said: Callable[[float], str]) -> str:
    """The range over heads at the first and at the last step with a number, and when runs were lost."""
    full = values.dropna(how="all", axis=1)
    parts = [
        f"step {integer(int(step))}: {said(float(full[step].min()))} to {said(float(full[step].max()))} over heads"
        for step in dict.fromkeys([*full.columns[:1], *full.columns[-1:]])
    ]
    if np.isfinite(ended):
        parts.append(f"half of the lost runs were lost by step {integer(round(ended))}")
    return "; ".join(parts) or "Nothing was measured"
