"""`bench site`: links lead somewhere, what others put there stays, and what is wrong is one sentence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from bench import reference
from bench.cli import app, guarded
from bench.site.links import BrokenLink, check, links_of
from bench.site.markdown import render

ROOT = Path(__file__).parents[2]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A folder with a page as a report's head is, and with the page of a run."""
    folder = tmp_path / "reports" / "small"
    (folder / "runs").mkdir(parents=True)
    (folder / "index.html").write_text("<title>Small</title>\n<header>\n<h1>It trains</h1>\n</header>", "utf-8")
    (folder / "runs" / "a.html").write_text('<header>\n<a href="../index.html#run=a">The whole report</a>', "utf-8")
    return folder


def site(*words: object) -> int:
    return guarded(lambda: app(["site", *map(str, words)], standalone_mode=False))


def test_the_projects_own_site_is_whole_and_made_anew(report: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    assert site(out, "--report", report) == 0
    docs = {each.stem for each in (ROOT / "docs").glob("*.md")}
    assert docs == {each.stem for each in (out / "docs").glob("*.html")}
    assert (out / ".nojekyll").is_file() and (out / "files/suites/textbook.toml").is_file()
    assert '<a href="reports/small/index.html">Small</a>' in (out / "index.html").read_text("utf-8")
    assert 'href="../../index.html"' in (out / "reports/small/index.html").read_text("utf-8")
    for page in out.rglob("*.html"):
        for link, loaded in links_of(page.read_text("utf-8")).found:
            path = link.partition("#")[0]
            assert link.startswith("data:") or not path or (page.parent / path).is_file(), (page, link, loaded)
    (out / "CNAME").write_text("bench.example")
    assert site(out, "--report", report, "--without", "docs", "--without", "reference") == 0
    assert not (out / "docs").exists() and not (out / "reference").exists()
    assert (out / "CNAME").is_file()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[a](gone.md)", 'docs/a.md: the link "gone.md" leads to no file'),
        ("[a](../../b.md)", "leads out of"),
        ("[a](../docs)", "leads to a folder"),
        ("[a](#nowhere)", 'a.md: the link "#nowhere" leads to no heading'),
        ("![a](https://example.org/a.png)", "would be loaded from elsewhere"),
        ('<a href="x.html">a</a>', 'the link "x.html" leads to nothing in the site'),
    ],
)
def test_a_broken_link_names_file_and_link_and_nothing_is_written(
    page: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(f"# A\n\n{page}\n")
    words = ("--docs", tmp_path / "docs", "--without", "reports", "--without", "reference")
    assert site(tmp_path / "site", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_what_others_made_is_refused_and_stays(
    report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, marked, twin = tmp_path / "other", tmp_path / "marked", tmp_path / "twin" / "small"
    for folder in (other, marked):
        folder.mkdir()
    (other / "mine.txt").write_text("mine")
    (marked / "site.json").write_text("[]")
    shutil.copytree(report, twin)
    few = ("--without", "docs", "--without", "reference")
    for words, said in (
        ((other, *few, "--report", report), "holds files that `bench site` did not make"),
        ((marked, *few, "--report", report), "is not as `bench site` writes it"),
        ((other / "mine.txt", *few, "--report", report), "is a file"),
        ((report.parent, *few, "--report", report), "which is in it"),
        ((tmp_path / "new", *few, "--report", report, "--report", twin), "have one name"),
        ((tmp_path / "new", *few, "--report", other), "holds neither index.html nor manifest.json"),
        ((tmp_path / "new", *few, "--without", "reports"), "nothing is left to show"),
        ((tmp_path / "new", "--without", "doc"), 'Did you mean "docs"?'),
        ((tmp_path / "new", "--docs", other), "holds no Markdown file"),
    ):
        assert site(*words) == 2
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["marked", "other", "reports", "twin"]
    assert (other / "mine.txt").read_text() == "mine"


def test_a_forged_mark_takes_nothing_away_outside(report: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "site").mkdir()
    said = {"made_by": "bench site", "files": ["../kept.txt", str(tmp_path / "kept.txt")]}
    (tmp_path / "site" / "site.json").write_text(json.dumps(said))
    assert site(tmp_path / "site", "--report", report, "--without", "docs", "--without", "reference") == 0
    assert (tmp_path / "kept.txt").is_file()


def test_markdown_has_githubs_anchors_and_a_graph_that_reads_without_a_script() -> None:
    text = "# The `x` of y\n\nFirst *words*.\n\n## Again\n\n## Again\n\n|a|\n|-|\n|b<br>c|\n"
    page = render(f"{text}\n```mermaid\ngraph TD\n    a --> b\n    a --> c\n```\n")
    assert [each.anchor for each in page.headings] == ["the-x-of-y", "again", "again-1"]
    assert (page.title, page.summary) == ("The x of y", "First words.")
    assert "<li>a → b, c</li>" in page.html and "b<br>c" in page.html and '<div class="scroll"' in page.html
    assert "graph TD" in render("```mermaid\ngraph TD\n a -->|no| b\n```").html


def test_links_of_pages_that_run_on_their_own_are_not_asked_for_anchors() -> None:
    files = {"a.html": b'<a href="#run=1">x</a>'}
    check(files, {}, frozenset(files))
    with pytest.raises(BrokenLink):
        check(files, {})


def test_the_docs_say_which_suites_have_reference_results() -> None:
    text = (ROOT / "docs" / "site.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if (line.startswith("| `") and "`default`" in line) or "none:" in line]
    there, none = (set(re.findall(r"`([\w-]+)`", row.split("|")[1])) for row in rows)
    claims = {each.stem for each in (ROOT / "suites" / "claims").glob("*.toml")}
    assert there | claims == set(reference.names()) and there >= set(reference.ADVISING)
    assert there | none == {each.stem for each in (ROOT / "suites").glob("*.toml")}
