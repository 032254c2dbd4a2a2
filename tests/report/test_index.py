"""The list of all reports: what it says of each, where it is written, and what it never replaces."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bench.errors import ResultsError
from bench.report import write_index
from bench.report.head import Head
from bench.report.index import HEAD_WITHIN, MARK, MARKS, build_index
from bench.report.sections.answer import First
from bench.results import Manifest, Planned, Results, count_statuses
from bench.schema import TABLES
from tests.dry_results import SMALL
from tests.report import pages
from tests.report.pages import Nesting

MANIFEST = Manifest(
    suite="small",
    title="Small networks",
    question=" Which keep their signal? ",
    text="",
    replicates=3,
    factors={},
    fixed={},
    planned=Planned(cells=2, runs=6, cohorts=2),
    versions={"keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4"},
    started="2026-01-01T00:00:00+00:00",
    ended="2026-01-01T00:01:00+00:00",
)


def report(folder: Path, statuses: tuple[str, ...] = ("completed",) * 6, **changed: Any) -> Path:
    """A results folder with a page, a manifest and the `runs` of two cohorts."""
    store = Results(folder)
    store.write_manifest(replace(MANIFEST, **changed))
    empty = {name: spec.arrow.empty_table() for name, spec in TABLES.items()}
    for cohort in range(2):
        rows = [{"run_id": f"{cohort}-{k}", "status": status} for k, status in enumerate(statuses[cohort::2])]
        store.write(str(cohort), empty | {"runs": pa.Table.from_pylist(rows, TABLES["runs"].arrow)})
    (folder / "index.html").write_text("a report")
    return folder


def links(page: Path) -> list[str | None]:
    """The targets of a page's links."""
    return [attributes["href"] for tag, attributes in Nesting(page.read_text("utf-8")).found if tag == "a"]


# What it says


def test_an_entry_says_what_its_manifest_and_runs_say(tmp_path: Path) -> None:
    statuses = ("completed", "completed", "diverged", "failed", "completed")
    report(tmp_path / "small", statuses)
    (entry,) = build_index(tmp_path).entries
    assert (entry.title, entry.question, entry.suite) == ("Small networks", "Which keep their signal?", "small")
    assert entry.runs == "5 of 6 runs: 3 completed, 1 diverged, 1 failed"
    assert entry.ended == "ended 2026-01-01 00:01 UTC"
    assert entry.versions == "keras 3.15.1 · tensorflow 2.21.0"
    assert entry.remark == entry.said.headline == entry.said.drawn == ""


def test_an_entry_says_the_answer_of_its_page(tmp_path: Path) -> None:
    said = {"headline": "Only tanh trains &amp; lasts.", "map": "0n . 12 l-"}
    head = "".join(f'<meta name="gradtrial-{name}" content="{content}">' for name, content in said.items())
    (report(tmp_path / "reports" / "small") / "index.html").write_text(head)
    written = write_index(tmp_path / "reports" / "small")
    assert written is not None
    shown = written.read_text("utf-8")
    assert "<strong>Only tanh trains &amp; lasts.</strong>" in shown
    assert 'aria-label="Map of the first screen: 3 of 5 tiles trained."' in shown
    assert re.findall(r'<path fill="var\((.*?)\)" d="(.*?)"', shown) == [
        ("--change-0", "M0 0h22v9h-22z"), ("--change-1", "M0 15h22v9h-22z"), ("--change-2", "M24 15h22v9h-22z"),
        ("--only-learned", "M0 26h22v9h-22z"), ("--no-way", "M24 0h22v9h-22z"),
    ]  # fmt: skip


def test_a_page_says_of_itself_what_its_first_screen_shows_and_nothing_else_is_drawn() -> None:
    said = Head.of(pages.page(SMALL))
    (first,) = pages.page(SMALL).of(First)
    rows = said.map.replace(". ", "").split()
    assert [len(row) for row in rows] == [len(row.cells) for row in first.map]
    assert Head.read(pages.html(SMALL)[:HEAD_WITHIN]) == said
    for evil in ("<script>", "0n 1x", "0" * 5000):
        assert Head.read(f'<meta name="gradtrial-map" content="{escape(evil)}">') == Head()


def test_the_newest_comes_first_whatever_the_zone_and_one_that_goes_on_counts_from_its_start(tmp_path: Path) -> None:
    report(tmp_path / "a", ended="2026-01-01T12:00:00+00:00")
    report(tmp_path / "b", ended="2026-01-01T12:30:00+02:00")  # 10:30 UTC
    report(tmp_path / "c", started="2026-01-03T00:00:00+00:00", ended=None)
    report(tmp_path / "d", ended="2026-01-02T00:00:00")
    found = build_index(tmp_path)
    assert [entry.href[0] for entry in found.entries] == ["c", "d", "a", "b"]
    assert found.entries[0].ended == "not ended, started 2026-01-03 00:00 UTC"


def test_only_folders_with_a_manifest_and_a_page_are_listed(tmp_path: Path) -> None:
    report(tmp_path / "whole")
    (report(tmp_path / "unwritten") / "index.html").unlink()
    (report(tmp_path / "foreign") / "manifest.json").unlink()
    (tmp_path / "file").write_text("")
    found = build_index(tmp_path)
    assert [entry.href for entry in found.entries] == ["whole/index.html"]
    assert found.unread == ()


ODD = "manifest.json is not as `bench run` writes it"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("{", "manifest.json: cannot be read"),
        ("[1]", "manifest.json: cannot be read"),
        ('{"suite": "x"}', "manifest.json lacks question, text, replicates, factors, fixed, planned, versions"),
        (None, "tables/runs/1.parquet: is not as it was written"),
        ({"ended": "yesterday"}, ODD),
        ({"versions": []}, ODD),
        ({"planned": {"runs": None}}, ODD),
    ],
)
def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(
    tmp_path: Path, manifest: str | dict[str, Any] | None, reason: str
) -> None:
    results = report(tmp_path / "reports" / "whole")
    broken = report(tmp_path / "reports" / "broken & odd")
    path = broken / "manifest.json"
    if manifest is None:
        (broken / "tables" / "runs" / "1.parquet").write_bytes(b"not parquet")
    else:
        path.write_text(manifest if isinstance(manifest, str) else json.dumps(json.loads(path.read_text()) | manifest))
    page = write_index(results)
    assert page is not None
    found = build_index(page.parent)
    assert [entry.href for entry in found.entries] == ["whole/index.html"]
    assert found.unread[0].reason.startswith(reason)
    assert str(tmp_path) not in page.read_text("utf-8")
    assert links(page) == ["whole/index.html", "broken%20%26%20odd/index.html"]


def test_the_page_has_no_script_escapes_what_it_shows_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = write_index(report(tmp_path / "reports" / "a:b", title="<script>alert(1)</script>", dry=True))
    assert page is not None
    text = page.read_text("utf-8")
    assert "made by formula, not by training" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert links(page) == ["a%3Ab/index.html"]
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"https?://|@import|url\(", text)


# Where it is written


@pytest.mark.parametrize("mark", MARKS)
def test_a_folder_of_another_name_is_left_alone_until_it_holds_a_list(tmp_path: Path, mark: str) -> None:
    results = report(tmp_path / "data" / "x")
    assert write_index(results) is None
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["x"]
    (tmp_path / "data" / "index.html").write_text(f"<!doctype html>{mark}")
    assert write_index(results) == tmp_path / "data" / "index.html"
    assert links(tmp_path / "data" / "index.html") == ["x/index.html"]


def test_a_list_is_written_anew_and_forgets_what_is_gone(tmp_path: Path) -> None:
    first = report(tmp_path / "reports" / "first")
    second = report(tmp_path / "reports" / "second")
    write_index(second)
    (first / "manifest.json").unlink()
    page = write_index(second)
    assert page is not None
    assert links(page) == ["second/index.html"]


@pytest.mark.parametrize("name", ["reports", "data"])
def test_a_page_of_someone_else_is_never_replaced(tmp_path: Path, name: str) -> None:
    results = report(tmp_path / name / "x")
    own = tmp_path / name / "index.html"
    own.write_text("<!doctype html><title>My page</title>" + " " * 5000 + MARK)
    assert write_index(results) is None
    assert own.read_text().startswith("<!doctype html><title>My page")


def test_a_results_folder_inside_another_does_not_replace_its_report(tmp_path: Path) -> None:
    outer = report(tmp_path / "reports")
    assert write_index(report(outer / "inner")) is None
    assert (outer / "index.html").read_text() == "a report"


def test_the_folder_is_found_from_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(report(tmp_path / "reports" / "x"))
    assert write_index(Path()) == tmp_path / "reports" / "index.html"


def test_a_list_that_cannot_be_written_spoils_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError("read only")

    results = report(tmp_path / "reports" / "x")
    monkeypatch.setattr(Path, "write_text", refuse)
    assert write_index(results) is None


# What it reads


def test_statuses_are_counted_over_cohorts_and_need_the_runs_alone(tmp_path: Path) -> None:
    results = report(tmp_path / "x", ("completed", "diverged", "diverged"))
    for table in TABLES:
        if table != "runs":
            (results / "tables" / table / "0.parquet").unlink()
    assert count_statuses(results) == {"completed": 1, "diverged": 2, "failed": 0}
    with pytest.raises(ResultsError, match="no table runs"):
        count_statuses(tmp_path)
