"""`bench theory RESULTS` of convolutional networks and transformers: theory of layers beside what step 0 recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.analysis import Tables
from bench.analysis.layer_theory import FACTORS_READ, GRADIENT, QUANTITIES, compared_layers, layer_theory, ranked_layers
from bench.report.axes import Axis
from bench.report.sections.titles import setting_titles
from bench.text import number, of, plural, signed

MOST_ROWS = 40
CAPTION = (
    "Predicted and measured, medians over replicates at step 0. Gradient: log10 of the first compared layer's "
    "pre-activation gradient over the last's; q: mean square of the last layer's pre-activation; cosine: of two tokens "
    "there; entropy: of attention, mean over layers; away: the largest distance of any layer's gradient, in decades."
)


def show_layers(tables: Tables, axes: Sequence[Axis], console: Console) -> None:
    """Print a row for each setting of convolutions or transformers, the furthest from theory first, and the reasons."""
    theory = layer_theory(tables)
    if theory.runs.empty:
        return
    found = compared_layers(tables, theory)
    if len(found):
        ranked = ranked_layers(found)
        titles = setting_titles(tables["runs"], ranked, axes, FACTORS_READ)
        console.print(_table(ranked, titles))
    reasons = theory.runs.loc[theory.runs["reason"] != "", "reason"].value_counts()
    lost = int(reasons.sum())
    told = f"All {plural(len(theory.runs), 'run')} of convolutions and transformers have a prediction of their layers."
    if lost:
        told = f"{of(lost, len(theory.runs))} runs of convolutions and transformers have no prediction of their layers:"
    for line in (told, *(f"  {count}: {reason}" for reason, count in reasons.items())):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(ranked: pd.DataFrame, titles: dict[int, str]) -> Table:
    table = Table(
        title="Layers of convolutions and transformers, the furthest from theory first", title_justify="left",
        caption=CAPTION, caption_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    shown = [each for each in QUANTITIES if ranked[f"{each}_measured"].notna().any()]
    table.add_column("setting", min_width=12)
    for name in (*(QUANTITIES[each] for each in shown), "away"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in ranked.head(MOST_ROWS).to_dict("records"):
        cells = [_both(each, float(row[f"{each}_predicted"]), float(row[f"{each}_measured"])) for each in shown]
        away = "" if np.isnan(row["away"]) else number(row["away"], 2)
        table.add_row(escape(titles[int(row["setting"])]), *cells, away)
    if len(ranked) > MOST_ROWS:
        table.add_row(f"and {plural(len(ranked) - MOST_ROWS, 'setting')} nearer", *[""] * (len(shown) + 1))
    return table


def _both(quantity: str, predicted: float, measured: float) -> str:
    if np.isnan(measured):
        return ""
    said = signed if quantity == GRADIENT else number
    return f"{said(predicted)} | {said(measured)}"
