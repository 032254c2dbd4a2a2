"""The report of a results folder: what is written and dumped, and the numbers on it against the tables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.analysis import Moment, gradient_profile, judge, loss_bands
from bench.errors import ResultsError
from bench.report import build_page, dump_report, render, write_report
from bench.report.blocks import Counts, Figure, Page, Sentences, Table, Text
from bench.report.charts.canvas import canvas, finish
from bench.report.render import draw_figure
from bench.results import Planned, Results
from bench.schema import TABLES
from tests.dry_results import EXPLODING, SMALL, DryResults, dry_results

ROOT = Path(__file__).parents[2]


def save(results: DryResults, folder: Path) -> Path:
    """A results folder with the tables as one cohort's and the manifest."""
    store = Results(folder)
    store.write("all", {n: pa.Table.from_pandas(f, TABLES[n].arrow) for n, f in results.tables.items()})
    store.write_manifest(results.manifest)
    return folder


@pytest.fixture(scope="module")
def exploding() -> DryResults:
    return dry_results(EXPLODING)


@pytest.fixture(scope="module")
def small() -> DryResults:
    return dry_results(SMALL)


@pytest.fixture(scope="module")
def folder(exploding: DryResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(exploding, tmp_path_factory.mktemp("report") / "out")


def page_of(results: DryResults, **changed: pd.DataFrame) -> Page:
    return build_page(results.tables | changed, results.manifest)


def said(page: Page) -> list[str]:
    """The answer's sentences."""
    return [sentence.text for sentence in page["answer"].of(Sentences)[0].items]


def of_kind(section: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The blocks of one kind in a section of the dump."""
    return [block for block in section["blocks"] if block["block"] == kind]


# A folder


def test_the_page_is_written_whole_and_the_same_again_in_another_process(folder: Path) -> None:
    path = write_report(folder)
    first = path.read_bytes()
    assert path == folder / "index.html"
    assert not list(folder.glob("*.writing"))
    program = f"from pathlib import Path; from bench.report import write_report; write_report(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
    assert path.read_bytes() == first


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        write_report(tmp_path)
    with pytest.raises(ResultsError):
        dump_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_dump_is_json_and_says_what_the_page_says(folder: Path, exploding: DryResults) -> None:
    dump = dump_report(folder)
    again = json.loads(json.dumps(dump, allow_nan=True))
    page, html = page_of(exploding), write_report(folder).read_text("utf-8")
    sections = {section["id"]: section for section in again["sections"]}
    assert list(sections) == [section.id for section in page.sections]
    (counts,), (answer,) = of_kind(sections["answer"], "counts"), of_kind(sections["answer"], "sentences")
    assert counts["items"] == [vars(count) for count in page["answer"].of(Counts)[0].items]
    assert [each["text"] for each in answer["items"]] == said(page)
    told = [each["text"] for section in sections.values() for block in of_kind(section, "sentences")
            for each in block["items"]]  # fmt: skip
    assert len(told) > 10 and all(text in unescape(html) for text in told)
    tables = [table for section in page.sections for table in section.of(Table)]
    assert len(tables) > 10
    for table in tables:
        for row in table.rows:
            assert all(cell in unescape(html) for cell in row), row
    (figure,) = of_kind(sections["map"], "figure")
    for row in [row for panel in figure["panels"] for row in panel["rows"]]:
        assert f"{row['y']} {row['x']}: {row['learned']}/{row['runs']}" in html


def test_the_dump_has_theory_s_section_and_runs_without_a_prediction(exploding: DryResults) -> None:
    runs = exploding.tables["runs"].copy()
    runs.loc[runs["depth"] == 4, "activation"] = "mine:phi"
    page = page_of(exploding, runs=runs)
    dump = next(section for section in page.as_data()["sections"] if section["id"] == "theory")
    assert [row[1] for row in of_kind(dump, "table")[-1]["rows"]] == ["12"]
    told = {sentence["text"] for sentence in of_kind(dump, "sentences")[0]["items"]}
    assert "12 of 24 runs have no prediction, for the reasons below." in told
    rows = [row for figure in of_kind(dump, "figure") for panel in figure["panels"] for row in panel["rows"]]
    assert {row["kind"] for row in rows} == {"predicted", "measured", "trained"}


def test_a_dump_has_no_number_that_json_lacks(folder: Path) -> None:
    json.dumps(dump_report(folder), allow_nan=False)


# Numbers


def test_diverged_runs_are_counted_alike_everywhere(exploding: DryResults) -> None:
    page, runs = page_of(exploding), exploding.tables["runs"]
    lost = runs[runs["status"] == "diverged"]
    assert len(lost) == 3  # orthogonal with gain 1.5 at depth 30, unclipped
    counts = {count.name: (count.value, count.remark) for count in page["answer"].of(Counts)[0].items}
    assert counts["diverged"] == (3, "12 %")
    assert counts["completed"] == (21, "88 %")
    assert page["events"].of(Text)[0].text.startswith("3 of 24 runs met a NaN or an infinity.")
    assert [row[:3] for row in page["events"].of(Table)[0].rows] == [(lost["cell_key"].iloc[0], "3/3", "12")]
    assert len(page["events"].figure("divergence").panels[0].rows) == 3
    assert sum(panel.rows["runs"].sum() for panel in page["map"].figure("trainability").panels) == 24


def test_remaining_runs_are_said_to_be_missing(exploding: DryResults) -> None:
    manifest = replace(exploding.manifest, planned=Planned(cells=10, runs=30, cohorts=2))
    counts = build_page(exploding.tables, manifest)["answer"].of(Counts)[0].items
    assert (counts[0].value, counts[0].remark) == (30, "6 not run yet")


def test_lines_are_the_medians_of_the_tables(small: DryResults) -> None:
    page = page_of(small)
    judged = judge(small.tables)
    deep = judged[judged["depth"] == 40]
    by = ["activation", "normalization", "initializer"]
    for moment in Moment:
        drawn = pd.concat([panel.rows for panel in page["gradients"].figure(f"gradients-{moment}").panels])
        expected = gradient_profile(small.tables, deep, by, moment)
        assert len(drawn) == len(expected) == 40 * 12
        for column in ("median", "lower", "upper"):
            np.testing.assert_allclose(sorted(10 ** drawn[column]), sorted(expected[column]), rtol=1e-9)
    drawn = pd.concat([panel.rows for panel in page["loss"].figure("losses").panels])
    bands = loss_bands(small.tables, deep, by)
    np.testing.assert_allclose(sorted(10 ** drawn["median"]), sorted(bands["median"]), rtol=1e-9)


def test_a_median_over_lost_runs_is_off_the_chart_and_named_there(exploding: DryResults) -> None:
    losses = page_of(exploding)["loss"].figure("losses")
    ends = [panel.rows for panel in losses.panels if np.isposinf(panel.rows["median"]).any()]
    assert ends
    for rows in ends:
        assert (rows.loc[np.isposinf(rows["median"]), "lost"] >= 2).all()
    assert any("diverged: " in panel.svg for panel in draw_figure(losses).panels)


# Markup


def test_every_chart_is_well_formed_and_labelled_alone(exploding: DryResults) -> None:
    drawn = [panel for figure in page_of(exploding).of(Figure) for panel in draw_figure(figure).panels]
    assert len(drawn) >= 7
    ids: list[str] = []
    for panel in drawn:
        svg = ElementTree.fromstring(panel.svg)
        assert svg.get("role") == "img"
        assert svg.get("aria-label")
        own = [element.get("id") for element in svg.iter() if element.get("id")]
        ids += [each for each in own if each]
        used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', panel.svg)
        assert {one or other for one, other in used} <= set(own)  # what it draws with is its own
    assert len(ids) == len(set(ids))


HOSTILE = '<script>alert("1&2")</script>'


@pytest.mark.parametrize("factor", ["activation", "initializer"])
def test_a_hostile_level_is_text_wherever_it_is_drawn(small: DryResults, factor: str) -> None:
    runs = small.tables["runs"]
    first = runs[factor].iloc[0]
    renamed = runs.assign(**{factor: runs[factor].replace(first, HOSTILE)})
    factors = {name: list(levels) for name, levels in small.manifest.factors.items()}
    factors[factor] = [HOSTILE if level == first else level for level in factors[factor]]
    html = render(build_page(small.tables | {"runs": renamed}, replace(small.manifest, factors=factors)))
    assert HOSTILE not in html
    assert "<script" not in visible(html)
    assert "&lt;script&gt;alert(" in visible(html)
    for svg in re.findall(r"<svg .*?</svg>", visible(html), flags=re.DOTALL):
        ElementTree.fromstring(svg)


def test_a_hostile_manifest_is_text(small: DryResults) -> None:
    fields = ("suite", "title", "question", "text", "command")
    planted = {field: f"<script>{field}</script>" for field in fields}
    html = render_without_charts(build_page(small.tables, replace(small.manifest, **planted)))
    assert [field for field in fields if f"&lt;script&gt;{field}&lt;" not in html] == []
    assert "<script" not in html


def visible(html: str) -> str:
    """The page without the scripts at its end."""
    return html.partition("</main>")[0]


def render_without_charts(page: Page) -> str:
    sections = [
        replace(each, blocks=tuple(block for block in each.blocks if not isinstance(block, Figure)))
        for each in page.sections
    ]
    return visible(render(replace(page, sections=tuple(sections))))


def test_made_up_numbers_are_said_to_be_made_up(small: DryResults) -> None:
    warning = "These numbers were made by formula, not by training."
    assert warning in render_without_charts(build_page(small.tables, replace(small.manifest, dry=True)))
    assert warning not in render_without_charts(build_page(small.tables, small.manifest))


# Odd results


def with_infinite_losses(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {"loss_curves": tables["loss_curves"].assign(loss=np.inf)}


def with_no_losses_that_are_numbers(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {"loss_curves": tables["loss_curves"].assign(loss=np.nan)}


def with_norms_of_0(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {"gradient_norms": tables["gradient_norms"].assign(preactivation_grad_norm=0.0)}


def with_norms_of_nan(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {"gradient_norms": tables["gradient_norms"].assign(preactivation_grad_norm=np.nan)}


def with_one_run(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    first = tables["runs"]["run_id"].iloc[0]
    return {name: frame[frame["run_id"] == first] for name, frame in tables.items() if "run_id" in frame}


def with_everything_diverged_at_once(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    runs = tables["runs"].assign(status="diverged", steps_completed=0)
    event = {"step": 0, "kind": "nan", "tensor": "loss", "layer_index": np.nan, "value": np.nan, "limit": np.nan}
    kept = {name: frame[frame["step"] == 0] for name, frame in tables.items() if "step" in frame}
    return kept | {"runs": runs, "divergence_events": pd.DataFrame([{"run_id": r, **event} for r in runs["run_id"]])}


@pytest.mark.parametrize(
    "change",
    [with_infinite_losses, with_no_losses_that_are_numbers, with_norms_of_0, with_norms_of_nan, with_one_run,
     with_everything_diverged_at_once],
)  # fmt: skip
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_results_have_a_page(exploding: DryResults, change: Any) -> None:
    page = page_of(exploding, **change(exploding.tables))
    html = render(page)
    for svg in re.findall(r"<svg .*?</svg>", visible(html), flags=re.DOTALL):
        ElementTree.fromstring(svg)
    json.dumps(page.as_data(), allow_nan=False)


@pytest.mark.parametrize("change", [with_everything_diverged_at_once, with_norms_of_0, with_norms_of_nan])
def test_words_for_numbers_that_are_none_never_reach_the_page(exploding: DryResults, change: Any) -> None:
    page = page_of(exploding, **change(exploding.tables))
    for text in said(page) + [count.remark for count in page["answer"].of(Counts)[0].items]:
        assert not re.search(r"\bnan\b", text), text


def test_a_suite_whose_every_run_diverged_says_so(exploding: DryResults) -> None:
    page = page_of(exploding, **with_everything_diverged_at_once(exploding.tables))
    assert said(page)[0].startswith("0 of 24 runs learned (0 %)")
    assert page["events"].of(Text)[0].text.startswith("24 of 24 runs met a NaN or an infinity.")


def test_where_a_quarter_of_the_runs_vanished_to_nothing_the_quartile_is_minus_infinity(exploding: DryResults) -> None:
    norms = exploding.tables["gradient_norms"]
    lost = norms["run_id"].isin(exploding.tables["runs"]["run_id"].iloc[:12])
    zeroed = norms["preactivation_grad_norm"].mask(lost & (norms["layer_index"] == 0), 0.0)
    page = page_of(exploding, gradient_norms=norms.assign(preactivation_grad_norm=zeroed))
    (found,) = [text for text in said(page) if "half of the runs lie between" in text]
    assert re.search(r"changed by −∞ to \S+ decades; half of the runs lie between −∞ and [-−+\d.]+\.$", found), found


def test_a_label_keeps_its_decimals_when_coordinates_lose_theirs() -> None:
    with canvas(3, 2) as (figure, axes):
        axes.set(ylim=(0.9, 1.0), yticks=[0.925, 0.975])
        drawing = finish(figure, "Two values, 0.925 and 0.975.")
    labels = [element.text for element in ElementTree.fromstring(drawing.svg).iter() if element.tag.endswith("text")]
    assert {"0.925", "0.975"} <= set(labels)
    assert 'aria-label="Two values, 0.925 and 0.975."' in drawing.svg
    assert not re.search(r'd="[^"]*\d\.\d\d', drawing.svg)
