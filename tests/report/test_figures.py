"""Figures as files: whole, in the light colours, as sharp as a paper asks, and with the rows that they draw."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import pandas as pd
import pytest

from bench.errors import ResultsError
from bench.report.blocks import Figure, Page
from bench.report.figures import composed, named, wrapped, write_figures
from bench.report.render import draw_figures
from tests.dry_results import EXPLODING
from tests.report import pages


@pytest.fixture(scope="module")
def page() -> Page:
    whole = pages.page(EXPLODING)
    return replace(whole, sections=(whole["gradients"], whole["loss"]))


def test_each_figure_is_three_files_with_its_rows_and_replaces_its_own_alone(page: Page, tmp_path: Path) -> None:
    one = replace(page, sections=(page["loss"],))
    (tmp_path / "mine.txt").write_text("mine")
    for _ in range(2):
        written = write_figures(one, draw_figures(one), tmp_path)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} - {"mine.txt"}
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    for (name, figure), svg in zip(named(one), written[::3], strict=True):
        rows = pd.read_csv(tmp_path / f"{name}.csv")
        assert len(rows) == sum(len(panel.rows) for panel in figure.panels)
        width = ElementTree.fromstring(svg.read_text("utf-8")).attrib["width"]
        pixels = matplotlib.image.imread(io.BytesIO((tmp_path / f"{name}.png").read_bytes()))
        assert pixels.shape[1] == pytest.approx(300 * float(width.removesuffix("in")), abs=1)
        assert pixels[2, 2, :3].tolist() == [1.0, 1.0, 1.0]  # on white


def test_a_figure_has_title_source_and_panels_and_no_variable_of_the_page(page: Page) -> None:
    drawn = draw_figures(page)
    for figure in page.of(Figure):
        svg = composed(drawn[figure.key], figure, page)
        root = ElementTree.fromstring(svg)
        assert "var(" not in svg and "--" not in svg
        said = " ".join(each.text or "" for each in root.iter() if each.tag.endswith("text"))
        for text in (figure.title, figure.source, *(panel.title for panel in figure.panels)):
            assert set(text.split()) <= set(said.split())
        for each in root:  # nothing hangs over the edge
            if each.tag.endswith("}svg"):
                right, bottom = (
                    float(each.attrib[a]) + float(each.attrib[b]) for a, b in (("x", "width"), ("y", "height"))
                )
                assert right <= 518.0 and bottom <= float(root.attrib["viewBox"].split()[3])


def test_lines_are_broken_where_they_no_longer_fit() -> None:
    lines = list(wrapped("one two three four five six seven", 10.0, 70.0))
    assert " ".join(lines) == "one two three four five six seven"
    assert 3 <= len(lines) <= 5


def test_a_folder_that_cannot_be_made_is_said(page: Page, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="file: cannot be written to"):
        write_figures(page, {}, tmp_path / "file")
