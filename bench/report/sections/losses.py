"""How the loss fell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis import Tables, loss_bands
from bench.report.axes import LineLayout
from bench.report.blocks import Figure, Scale, Section
from bench.report.frames import Frames

LOSS_CEILING = 3.0  # times the largest median of the first step: beyond it a curve is off the chart


def section(frames: Frames) -> Section:
    """The training loss over steps."""
    return Section("loss", "How the loss fell", "Loss", (losses(frames.tables, frames.labelled, frames.lines),))


def losses(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> Figure:
    """Training loss over steps; a run that was lost counts as infinite from then on."""
    bands = loss_bands(tables, layout.grouped(judged), layout.by)
    finite = bands.loc[np.isfinite(bands["median"]), "median"]
    start = bands[bands["step"] == bands["step"].min()]["median"].replace(np.inf, np.nan)
    top = float(np.nanmin([finite.max(), LOSS_CEILING * np.nanmedian(start)])) if len(finite) else 1.0
    bottom = float(np.log10(max(finite.min(), 1e-4))) if len(finite) else -1.0
    for column in ("median", "lower", "upper"):
        bands[column] = np.log10(bands[column].clip(lower=1e-6))
    x_limits = (0.0, float(max(1, bands["step"].max() if len(bands) else 1)))
    y_limits = (bottom - 0.1, float(np.log10(max(top, 1e-3))) + 0.2)
    scale = Scale("step", "log10 cross-entropy (nat)", x_limits=x_limits, y_limits=y_limits)
    caption = (
        "Median and band over runs as above. A run that diverged counts as infinite from then on, so a median never "
        "shows the survivors alone. From the table loss_curves."
    )
    return layout.figure(bands, Figure("losses", "curve", "Loss of the training batch", scale, (), captions=(caption,)))
