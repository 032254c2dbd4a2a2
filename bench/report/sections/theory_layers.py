"""Theory beside measurement of convolutions and transformers, layer by layer: a table of the settings, and reasons."""

from __future__ import annotations

import numpy as np

from bench.analysis.layer_theory import (
    FACTORS_READ,
    GRADIENT,
    QUANTITIES,
    LayerTheory,
    compared_layers,
    layer_theory,
    ranked_layers,
)
from bench.report.blocks import Block, Table, Text, blocks_of, numbers
from bench.report.frames import Frames
from bench.report.sections.titles import setting_titles
from bench.text import integer, number, plural, signed

MOST_ROWS = 16
INTRO = Text(
    "Of convolutions theory follows mean square and gradient through every position, zero padding included. Of "
    "transformers it follows the size of the stream and how alike its tokens are, sub-layer by sub-layer. It starts "
    "from what the first layer was measured to be."
)
NOTE = (
    "Predicted, then measured: medians over replicates before the first update. Gradient: log10 of the first compared "
    "layer's over the last's; q: mean square of the last layer's pre-activation, of a transformer's stream; cosine: "
    "of two tokens there; entropy: of attention, mean over layers. Away: the largest distance of any layer's gradient."
)


def layer_blocks(frames: Frames) -> tuple[Block, ...]:
    """What theory says of these layers beside what was measured, and of which runs it says nothing; or no blocks."""
    theory = layer_theory(frames.tables)
    if theory.runs.empty:
        return ()
    found = compared_layers(frames.tables, theory)
    without = _without(theory)
    if found.empty:
        return blocks_of(without) if without else ()
    ranked = ranked_layers(found)
    titles = setting_titles(frames.tables["runs"], ranked, frames.axes, FACTORS_READ)
    shown = [each for each in QUANTITIES if ranked[f"{each}_measured"].notna().any()]
    rows = []
    for row in ranked.head(MOST_ROWS).to_dict("records"):
        cells = [_both(each, float(row[f"{each}_predicted"]), float(row[f"{each}_measured"])) for each in shown]
        rows.append((titles[int(row["setting"])], *cells, "–" if np.isnan(row["away"]) else number(row["away"], 2)))
    left = len(ranked) - MOST_ROWS
    note = (
        f"{NOTE} {plural(left, 'setting')} nearer to theory {'is' if left == 1 else 'are'} left out."
        if left > 0
        else NOTE
    )
    columns = ("setting", *(QUANTITIES[each] for each in shown), "away")
    table = Table(
        "Layers of convolutions and transformers, the furthest from theory first", columns, tuple(rows),
        tuple(range(1, len(columns))), note,
    )  # fmt: skip
    return blocks_of(INTRO, numbers(table, without))


def _both(quantity: str, predicted: float, measured: float) -> str:
    if np.isnan(measured):
        return "–"
    said = signed if quantity == GRADIENT else number
    return f"{said(predicted)}, {said(measured)}"


def _without(theory: LayerTheory) -> Table | None:
    counts = theory.runs.loc[theory.runs["reason"] != "", "reason"].value_counts()
    if counts.empty:
        return None
    rows = tuple((str(reason), integer(int(count))) for reason, count in counts.items())
    return Table("Convolutions and transformers without a prediction of their layers", ("why", "runs"), rows, (1,))
