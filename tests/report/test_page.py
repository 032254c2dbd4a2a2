"""The page: true to the tables, whole, offline, small, and safe whatever a suite is called."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bench.report.blocks import Counts, Definitions, Figure, Page, Sentences, Table
from bench.report.page import build_page, page_of
from bench.report.render import render
from tests import dry_results as made
from tests.dry_results import MIXED, SMALL, dry_results
from tests.report import pages
from tests.report.pages import Nesting, altered, drawings, said, without_scripts

LARGE = SMALL.replace("replicates = 3", "replicates = 18")
RUNS = 108
DRY = "These numbers were made by formula, not by training."


@pytest.fixture(scope="module")
def page() -> Page:
    return pages.page(SMALL)


@pytest.fixture(scope="module")
def html() -> str:
    return pages.html(SMALL)


@pytest.fixture(scope="module")
def parsed(html: str) -> Nesting:
    return Nesting(html)


@pytest.mark.full
@pytest.mark.parametrize("suite", [SMALL, MIXED], ids=["small", "mixed"])
def test_a_page_is_the_same_whatever_holds_its_words(suite: str) -> None:
    found = []
    for storage in ("python", "pyarrow"):
        with pd.option_context("mode.string_storage", storage):
            results = made._made.__wrapped__(suite)
            assert results.tables["runs"]["status"].dtype.storage == storage
            found.append(render(build_page(results.tables, results.manifest)))
    assert found[0] == found[1]


def test_counts_on_the_page_are_those_of_the_tables(page: Page, parsed: Nesting) -> None:
    judged, runs = pages.frames(SMALL).plain, dry_results(SMALL).tables["runs"]
    learned = int((judged["outcome"] == "learned").sum())
    counts = {count.name: count.value for count in page["answer"].of(Counts)[0].items}
    assert counts["runs planned"] == len(runs)
    assert counts["diverged"] == (runs["status"] == "diverged").sum()
    assert counts["learned"] == learned
    assert said(page)[0].startswith(f"{learned} of {len(judged)} runs learned")
    assert said(page)[0] in "".join(parsed.text)
    tiles = pd.concat([panel.rows for panel in page["map"].figure("trainability").panels])
    assert (tiles["runs"].sum(), tiles["learned"].sum()) == (len(judged), learned)


def test_the_page_asks_nothing_of_the_network(parsed: Nesting, html: str) -> None:
    for tag, attributes in parsed.found:
        for name in ("src", "href", "xlink:href", "action", "data"):
            target = attributes.get(name) or ""
            assert not target or target.startswith(("#", "data:")), (tag, name, target)
    shown = html.partition("</main>")[0]  # the scripts after it are tried in a browser without a network
    assert "<script" not in shown
    assert "@import" not in shown
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\([\"']?([^)]*)\)", shown))


def test_every_figure_has_a_text_and_every_id_is_its_own(parsed: Nesting) -> None:
    figures = [attributes for tag, attributes in parsed.found if tag == "svg" and not attributes.get("aria-hidden")]
    assert len(figures) > 5
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 20 for each in figures)
    ids = [attributes["id"] for _, attributes in parsed.found if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_theory_has_a_section_with_charts_ranking_and_rules(page: Page, parsed: Nesting) -> None:
    theory, told = page["theory"], "".join(parsed.text)
    (sentences,), (ranking,), (causes,) = theory.of(Sentences), theory.of(Table), theory.of(Definitions)
    assert all(sentence.text in told for sentence in (*sentences.items, *theory.short))
    assert all(cell in told for row in ranking.rows for cell in row)
    assert all(cause.meaning in told for cause in causes.items)
    first, *figures = theory.of(Figure)
    assert (first.key, *(figure.key for figure in figures)) == ("theory-agreement", "theory-furthest", "theory-typical")
    assert f"All {RUNS} runs have a prediction." in told
    panels = [panel for figure in figures for panel in figure.panels]
    assert len({panel.title for panel in panels}) == len(panels) == 12
    assert all((panel.rows["kind"] == "measured").any() for panel in panels)


@pytest.mark.parametrize(
    ("suite", "runs", "most"), [(SMALL, RUNS, 2.6e6), pytest.param(LARGE, 648, 3e6, marks=pytest.mark.full)], ids=str
)
def test_the_page_of_hundreds_of_runs_is_small(suite: str, runs: int, most: float) -> None:
    assert len(dry_results(suite).tables["runs"]) == runs
    assert len(pages.html(suite).encode()) < most


def test_a_suite_without_claims_has_no_section_of_them(page: Page, html: str) -> None:
    assert "claims" not in page
    assert 'id="claims"' not in html and "#claims" not in html and "gradtrial-claims" not in html


@pytest.mark.filterwarnings("error:constrained_layout")  # long names leave the axes their room
def test_markup_in_a_suite_is_text_wherever_it_is_shown_or_drawn(html: str) -> None:
    suite = SMALL.replace('"sigmoid", "relu", "tanh"', '"sigmoid", "relu"').replace("[2, 12, 40]", "[2, 12]")
    suite = suite.replace('normalization = ["none", "batch_normalization"]\n', "")
    results = dry_results(suite)
    runs, factors = results.tables["runs"], {name: list(levels) for name, levels in results.manifest.factors.items()}
    evil = {factor: f'<script>alert("{factor} & 2")</script>' for factor in ("activation", "initializer")}
    for factor, level in evil.items():
        first = runs[factor].iloc[0]
        runs = runs.assign(**{factor: runs[factor].replace(first, level)})
        factors[factor] = [level if each == first else each for each in factors[factor]]
    fields = {field: f"<script>{field}</script>" for field in ("suite", "title", "question", "text", "command")}
    shown = render(page_of(altered(suite, {"factors": factors, "dry": True, **fields}, runs=runs)))
    assert "<script" not in without_scripts(shown)
    told = "".join(Nesting(shown).text)
    drawn = {each for svg, _ in drawings(shown) for each in ("activation &", "initializer &") if each in svg}
    assert len(drawn) == 2  # both stand in charts, which are well-formed
    for level in evil.values():
        assert level not in shown and level in told
    assert [field for field in fields if f"&lt;script&gt;{field}&lt;" not in shown] == []
    assert DRY in shown and DRY not in html
