"""How the loss fell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.analysis import Outcome, Tables, loss_bands
from bench.analysis.parts import deep, depth_unit
from bench.report.axes import LineLayout
from bench.report.blocks import Figure, Lead, Scale, Section, Sentence
from bench.report.frames import Frames
from bench.report.sections.gradients import BANDS
from bench.schema import RunStatus
from bench.text import integer, listed, of, plural, sentence, spoken

MOST_SAID = 5
LOSS_CEILING = 3.0  # times the largest median of the first step: beyond it a curve is off the chart


SOURCE = "From the table loss_curves, log10 in the CSV. Rule: learned, docs/rules.md."


def section(frames: Frames) -> Section:
    """The training loss over steps."""
    frames = frames.training
    figure = losses(frames.tables, frames.labelled, frames.lines)
    return Section("loss", "How the loss fell", "Loss", (Lead(learned_sentence(frames.labelled, frames.lines)), figure))


def learned_sentence(judged: pd.DataFrame, layout: LineLayout) -> Sentence:
    """How many runs of each series learned, with Keras's defaults elsewhere."""
    runs, where = layout.usual(layout.grouped(judged))
    counts = _learned(runs, layout)
    layers = runs["depth"].astype(str).unique()
    one = judged["depth"].astype(str).eq("1").all()  # where no network is deep, depth goes without saying
    deepness = deep(str(int(float(layers[0]))), depth_unit(judged))
    at = "" if one else f"At {deepness} " if len(layers) == 1 else "At all depths "
    lost = int((runs["status"] != RunStatus.COMPLETED).sum())
    basis = f"{plural(len(runs), 'run')}, {integer(lost)} lost (a lost run did not learn); {layout.held_words}"
    text = f"{at}{_told(counts)}{f', with {where}' if where else ''}"
    return Sentence(sentence(text), basis, "")


def _told(counts: Mapping[str, tuple[int, int]]) -> str:
    """`sigmoid learned in 0 of 3 runs, tanh in 3 and relu in 0`."""
    (first, pair), *others = counts.items()
    if not first:
        return f"{of(*pair, 'run')} learned"
    alike = len({total for _, total in counts.values()}) == 1
    rest = [f"{name} in {integer(hits) if alike else of(hits, total)}" for name, (hits, total) in others]
    return listed([f"{first} learned in {of(*pair, 'run')}", *rest], MOST_SAID)


def _learned(runs: pd.DataFrame, layout: LineLayout) -> dict[str, tuple[int, int]]:
    """By series in words, how many runs learned of how many."""
    found = {}
    for level in layout.series:
        own = runs[runs[layout.colour.factor] == level] if layout.colour else runs
        name = layout.colour.words(level) if layout.colour else ""
        if len(own):
            found[name] = (int((own["outcome"] == Outcome.LEARNED).sum()), len(own))
    return found


def _title(judged: pd.DataFrame, layout: LineLayout) -> str:
    """Of which series every run learned, in the panel with Keras's defaults."""
    runs, where = layout.usual(layout.grouped(judged))
    counts = _learned(runs, layout)
    span = f" ({where})" if where else ""
    learned, known = sum(hits for hits, _ in counts.values()), sum(total for _, total in counts.values())
    every = [name for name, (hits, total) in counts.items() if hits == total]
    if learned in (0, known) or layout.colour is None:
        return f"{of(learned, known, 'run')} learned{span}"
    if not every:
        return f"No {spoken(layout.colour.factor)} learned in every run{span}: {of(learned, known)} did"
    if len(every) > MOST_SAID:
        return f"{len(every)} of {len(counts)} {spoken(layout.colour.factor)}s learned in every run{span}"
    return f"Only {listed(every)} learned in every run{span}"


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
    scale = Scale("step", "training loss", x_limits=x_limits, y_limits=y_limits)
    drawn = (
        f"Loss of the training batch. {BANDS} A diverged run counts as infinite from then on, so no median shows "
        "survivors alone."
    )
    figure = Figure("losses", "curve", _title(judged, layout), scale, (), subtitle=drawn, source=SOURCE)
    return layout.figure(bands, figure)
