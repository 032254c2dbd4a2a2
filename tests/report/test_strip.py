"""Strip charts: a box where something was run, in the look of its state, and headings for groups."""

from __future__ import annotations

import pandas as pd

from bench.report.axes import Axis
from bench.report.blocks import Figure, Panel, Scale
from bench.report.charts import CHARTS
from bench.report.render import draw_figure
from bench.report.sections.onsets import _panels as panels_of

COLUMNS = ["group", "row", "x", "state", "part", "runs"]
ROWS = [
    ("relu", "he_normal", "4", "healthy", 3, 3), ("relu", "he_normal", "16", "vanishing", 2, 3),
    ("relu", "glorot_uniform", "16", "exploding", 3, 3), ("tanh", "he_normal", "4", "healthy", 3, 3),
]  # fmt: skip
SCALE = Scale("depth", "", x_levels=("4", "16"), series=("healthy", "vanishing", "exploding"))


def test_boxes_of_one_state_are_one_path_and_lines_stand_under_their_groups() -> None:
    drawing = CHARTS["strip"](Panel("", pd.DataFrame(ROWS, columns=COLUMNS)), SCALE)
    (filled,) = [part for part in drawing.svg.split("<path ") if "fill: var(--series-0)" in part]
    assert filled.split('"')[1].count("M") == 2
    assert drawing.svg.count("<pattern") == 1 and "stroke-dasharray" in drawing.svg
    names = ("relu", "he_normal", "glorot_uniform", "tanh")
    assert [drawing.svg.count(f">{name}<") for name in names] == [1, 2, 1, 1]
    assert drawing.text.startswith(
        "All runs. By depth: relu he_normal: healthy at 4 (3 of 3), vanishing at 16 (2 of 3); relu glorot_uniform: "
    )
    assert len(drawing.svg) < 8_000


def test_the_legend_shows_each_state_and_one_line_without_names_is_drawn() -> None:
    rows = pd.DataFrame([("", "", "4", "vanishing", 1, 2)], columns=COLUMNS)
    drawn = draw_figure(Figure("onset", "strip", "", SCALE, (Panel("", rows),), legend_title="most runs"))
    assert [name for name, _ in drawn.legend] == list(SCALE.series)
    assert len({swatch for _, swatch in drawn.legend}) == 3
    assert "all: vanishing at 4 (1 of 2)" in CHARTS["strip"](Panel("", rows), SCALE).text


def test_panels_of_many_factors_are_those_that_were_run() -> None:
    facets = [Axis(f"factor_{number}", ("a", "b", "c"), False) for number in range(24)]
    rows = pd.DataFrame(ROWS, columns=COLUMNS)
    named = pd.concat([rows.assign(**{axis.factor: level for axis in facets}) for level in "ba"], ignore_index=True)
    assert [panel.title[:5] for panel in panels_of(named, facets, None)] == ["a · a", "b · b"]
    assert [len(panel.rows) for panel in panels_of(named, (), None)] == [8]
