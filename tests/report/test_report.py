"""The report of a results folder: what is written and dumped, and the numbers on it against the tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bench.analysis import Measurements, Moment, gradient_profile, loss_bands
from bench.quantities import OF_RUNS, quantity
from bench.report import dump_report
from bench.report.blocks import Counts, Lead, Table, Text
from bench.report.charts.canvas import canvas, finish
from bench.report.frames import read_frames
from bench.report.page import page_of
from bench.report.render import draw_figure
from bench.report.sections import gradients, losses
from bench.results import read_manifest
from tests.dry_results import EXPLODING, SMALL, dry_results
from tests.report.pages import chapter, drawings, frames, html, page, said, save

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(dry_results(EXPLODING), tmp_path_factory.mktemp("report") / "reports" / "exploding")


def of_kind(section: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The blocks of one kind in a section of the dump, those within others too."""
    held = [each for block in section["blocks"] for each in [block, *of_kind({"blocks": block.get("blocks", [])}, "")]]
    return [block for block in held if kind in ("", block["block"])]


# A folder


@pytest.mark.full
def test_another_process_writes_the_same_page_over_the_one_that_is_there_and_lists_it(folder: Path) -> None:
    path = folder / "index.html"
    path.write_text("an older page")
    program = "import sys, pathlib, bench.report; print(bench.report.write_report(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", program, folder], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == f"{path}\n"
    assert path.read_text("utf-8") == html(EXPLODING)  # of tables that were read whole, not in little memory as there
    assert not list(folder.glob("*.writing"))
    listed = (folder.parent / "index.html").read_text("utf-8")
    assert "24 of 24 runs: 21 completed, 3 diverged, 0 failed" in listed
    assert sorted(each.name for each in folder.parent.iterdir()) == ["exploding", "index.html"]


def test_the_dump_is_json_and_says_what_the_page_says(folder: Path) -> None:
    again = json.loads(json.dumps(dump_report(folder), allow_nan=False))
    shown, text = page(EXPLODING), unescape(html(EXPLODING))
    assert json.dumps(again) == json.dumps(shown.as_data())
    sections = {section["id"]: section for section in again["sections"]}
    assert list(sections) == [section.id for section in shown.sections]
    (counts,), (answer,) = of_kind(sections["answer"], "counts"), of_kind(sections["answer"], "sentences")
    assert counts["items"] == [vars(count) for count in shown["answer"].of(Counts)[0].items]
    assert [each["text"] for each in answer["items"]] == said(shown)
    told = [each["text"] for section in sections.values() for block in of_kind(section, "sentences")
            for each in block["items"]]  # fmt: skip
    assert len(told) > 10 and all(each in text for each in told)
    tables = shown.of(Table)
    assert len(tables) > 10
    assert all(cell in text for table in tables for row in table.rows for cell in row)
    tiles, strip, *_ = of_kind(sections["map"], "figure")
    for row in [row for panel in tiles["panels"] for row in panel["rows"]]:
        assert f"{row['y']} {row['x']}: {row['learned']}/{row['runs']}" in text
    for row in [row for panel in strip["panels"] for row in panel["rows"]]:
        assert f"{row['state']} at {row['x']} ({row['part']} of {row['runs']})" in text


def test_a_chapter_that_reads_a_column_which_frames_lack_is_told_to_name_it(folder: Path) -> None:
    found = read_frames(folder, read_manifest(folder))
    for asked in ("dead_fraction", ["run_id", "dead_fraction"]):
        with pytest.raises(KeyError, match=r"activations\.dead_fraction is not read: add it to DRAWN"):
            page_of(found, (lambda given, asked=asked: given.tables["activations"][asked],))
    with pytest.raises(KeyError, match=r"^'unknown'$"):
        page_of(found, (lambda given: given.tables["activations"]["unknown"],))


def test_what_was_not_measured_before_its_table_was_cut_is_refused_by_name() -> None:
    ratio, other = quantity("signal_ratio_start"), quantity("signal_ratio_end")
    measured = Measurements(dry_results(SMALL).tables)
    measured.settle(ratio.table, [ratio])
    assert len(measured.by_run(ratio)) == 108
    with pytest.raises(KeyError, match=f"{other.name}: gradient_norms was settled without it"):
        measured.by_run(other)
    elsewhere = next(each for each in OF_RUNS if each.table == "loss_curves")
    assert len(measured.by_run(elsewhere)) == 108  # of other tables all can be asked


# Numbers


def test_diverged_runs_are_counted_alike_everywhere() -> None:
    shown, runs = page(EXPLODING), dry_results(EXPLODING).tables["runs"]
    lost = runs[runs["status"] == "diverged"]
    assert len(lost) == 3  # orthogonal with gain 1.5 at depth 30, unclipped
    counts = {count.name: (count.value, count.remark) for count in shown["answer"].of(Counts)[0].items}
    assert counts["diverged"] == (3, "12 %")
    assert counts["completed"] == (21, "88 %")
    assert shown["events"].of(Text)[0].text.startswith("3 of 24 runs met a NaN or an infinity.")
    why, cells = shown["events"].of(Table)[:2]
    assert [row[:2] for row in why.rows] == [("values too large at the start", "3 of 3")]
    assert [row[:3] for row in cells.rows] == [(lost["cell_key"].iloc[0], "3/3", "12")]
    assert (
        shown["events"].of(Lead)[0].sentence.text.startswith("3 of 24 runs left the finite numbers, most often with ")
    )
    figure = shown["events"].figure("divergence")
    assert len(figure.panels[0].rows) == 3 and figure.title == "3 runs left the finite numbers at step 12"
    assert sum(panel.rows["runs"].sum() for panel in shown["map"].figure("trainability").panels) == 24


def test_lines_are_the_medians_of_the_tables() -> None:
    tables, judged = dry_results(SMALL).tables, frames(SMALL).plain
    deep = judged[judged["depth"] == 40]
    by = ["activation", "normalization", "initializer"]
    for moment in Moment:
        drawn = pd.concat(
            [panel.rows for panel in chapter(gradients.section, SMALL).figure(f"gradients-{moment}").panels]
        )
        expected = gradient_profile(tables, deep, by, moment)
        assert len(drawn) == len(expected) == 40 * 12
        for column in ("median", "lower", "upper"):
            np.testing.assert_allclose(sorted(10 ** drawn[column]), sorted(expected[column]), rtol=1e-9)
    drawn = pd.concat([panel.rows for panel in chapter(losses.section, SMALL).figure("losses").panels])
    bands = loss_bands(tables, deep, by)
    np.testing.assert_allclose(sorted(10 ** drawn["median"]), sorted(bands["median"]), rtol=1e-9)


def test_a_median_over_lost_runs_is_off_the_chart_and_named_there() -> None:
    drawn = chapter(losses.section, EXPLODING).figure("losses")
    ends = [panel.rows for panel in drawn.panels if np.isposinf(panel.rows["median"]).any()]
    assert ends
    for rows in ends:
        assert (rows.loc[np.isposinf(rows["median"]), "lost"] >= 2).all()
    assert any("diverged: " in panel.svg for panel in draw_figure(drawn).panels)


# Drawings


def test_every_chart_is_well_formed_and_labelled_alone() -> None:
    charts = [(text, svg) for text, svg in drawings(html(EXPLODING)) if svg.get("role") == "img"]
    assert len(charts) >= 7
    ids: list[str] = []
    for text, svg in charts:
        assert svg.get("aria-label")
        own = [element.get("id") for element in svg.iter() if element.get("id")]
        ids += [each for each in own if each]
        used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
        assert {one or other for one, other in used} <= set(own)  # what it draws with is its own
    assert len(ids) == len(set(ids))


def test_a_label_keeps_its_decimals_when_coordinates_lose_theirs() -> None:
    with canvas(3, 2) as (figure, axes):
        axes.set(ylim=(0.9, 1.0), yticks=[0.925, 0.975])
        drawing = finish(figure, "Two values, 0.925 and 0.975.")
    labels = [element.text for element in ElementTree.fromstring(drawing.svg).iter() if element.tag.endswith("text")]
    assert {"0.925", "0.975"} <= set(labels)
    assert 'aria-label="Two values, 0.925 and 0.975."' in drawing.svg
    assert not re.search(r'd="[^"]*\d\.\d\d', drawing.svg)
