"""The page: true to the tables, whole, offline, and safe whatever a suite is called."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bench.analysis import judge
from bench.report import build_page, render
from bench.report.blocks import Counts, Definitions, Figure, Sentences, Table
from bench.results import Manifest
from tests import dry_results as dry
from tests.dry_results import EXPLODING, SMALL

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "use", "rect", "circle", "line", "image", "stop"}


Results = tuple[dict[str, pd.DataFrame], Manifest]


def dry_results(suite: str) -> Results:
    results = dry.dry_results(suite)
    return results.tables, results.manifest


class Nesting(HTMLParser):
    """Collects what is opened and complains of what is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Nesting:
    page = Nesting()
    page.feed(html)
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def small() -> Results:
    return dry_results(SMALL)


@pytest.fixture(scope="module")
def html(small: Results) -> str:
    return render(build_page(*small))


def test_counts_on_the_page_are_those_of_the_tables(small: Results, html: str) -> None:
    tables, manifest = small
    judged = judge(tables)
    learned = int((judged["outcome"] == "learned").sum())
    page = build_page(tables, manifest)
    counts = {count.name: count.value for count in page["answer"].of(Counts)[0].items}
    assert counts["runs planned"] == len(tables["runs"])
    assert counts["diverged"] == (tables["runs"]["status"] == "diverged").sum()
    assert counts["learned"] == learned
    assert page["answer"].of(Sentences)[0].items[0].text.startswith(f"{learned} of {len(judged)} runs learned")
    assert page["answer"].of(Sentences)[0].items[0].text in "".join(parsed(html).text)
    tiles = pd.concat([panel.rows for panel in page["map"].figure("trainability").panels])
    assert (tiles["runs"].sum(), tiles["learned"].sum()) == (len(judged), learned)


def test_the_page_asks_nothing_of_the_network(html: str) -> None:
    for tag, attributes in parsed(html).found:
        for name in ("src", "href", "xlink:href", "action", "data"):
            target = attributes.get(name) or ""
            assert not target or target.startswith(("#", "data:")), (tag, name, target)
    shown = html.partition("</main>")[0]  # the scripts after it are tried in a browser without a network
    assert "<script" not in shown
    assert "@import" not in shown
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\([\"']?([^)]*)\)", shown))


def test_every_figure_has_a_text_and_every_id_is_its_own(html: str) -> None:
    found = parsed(html).found
    figures = [attributes for tag, attributes in found if tag == "svg" and not attributes.get("aria-hidden")]
    assert len(figures) > 5
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 20 for each in figures)
    ids = [attributes["id"] for _, attributes in found if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_the_same_tables_make_the_same_bytes(small: Results, html: str) -> None:
    assert render(build_page(*small)) == html


def test_markup_in_a_suite_is_text_on_the_page(small: Results) -> None:
    tables, manifest = small
    evil = '<script>alert("x")</script>'
    renamed = tables | {"runs": tables["runs"].assign(activation=tables["runs"]["activation"].replace("relu", evil))}
    html = render(build_page(renamed, replace(manifest, title=evil, question=evil, text=evil, suite=evil)))
    assert evil not in html
    assert "<script" not in html.partition("</main>")[0]
    assert "".join(parsed(html).text).count(evil) >= 3


HEAD = '[suite]\nname = "o"\nquestion = "?"\nreplicates = 2\n[factors]\n'
NEVER = "".join(f'{t} = "never"\n' for t in ("gradient_norms", "activations", "loss_curves", "evaluations"))
ODD = {
    "one cell": f'{HEAD}clipping = ["none"]\n[fixed]\nsteps = 5\n',
    "no depth": f'{HEAD}activation = ["relu", "tanh"]\ninitializer = ["he_normal", "zeros"]\n[fixed]\nsteps = 5\n',
    "little recorded": f"{HEAD}depth = [2, 3]\n[fixed]\nsteps = 5\n[record]\n{NEVER}",
    "exploding": EXPLODING,
}


@pytest.mark.parametrize("suite", ODD.values(), ids=list(ODD))
def test_odd_suites_have_pages_too(suite: str) -> None:
    page = build_page(*dry_results(suite))
    parsed(render(page))
    json.dumps(page.as_data())


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_suite_of_which_nothing_came_has_a_page(small: Results, status: str) -> None:
    tables, manifest = small
    kept = {name: frame.iloc[:0] for name, frame in tables.items()}
    page = build_page(kept | {"runs": tables["runs"].assign(status=status, steps_completed=0)}, manifest)
    parsed(render(page))
    assert page["answer"].of(Sentences)[0].items[0].text.startswith(f"0 of {len(tables['runs'])} runs learned (0 %)")


def test_norms_that_are_not_finite_do_not_break_the_page(small: Results) -> None:
    tables, manifest = small
    norms = tables["gradient_norms"].copy()
    norms.loc[::3, "preactivation_grad_norm"] = np.inf
    norms.loc[1::3, "preactivation_grad_norm"] = np.nan
    parsed(render(build_page(tables | {"gradient_norms": norms}, manifest)))


def test_theory_has_a_section_with_charts_ranking_and_rules(small: Results, html: str) -> None:
    page = build_page(*small)
    theory = page["theory"]
    (sentences,), (ranking,), (causes,) = theory.of(Sentences), theory.of(Table), theory.of(Definitions)
    told = "".join(parsed(html).text)
    assert all(sentence.text in told for sentence in (*sentences.items, *theory.short))
    assert all(cell in told for row in ranking.rows for cell in row)
    assert all(cause.meaning in told for cause in causes.items)
    assert [figure.key for figure in theory.of(Figure)] == ["theory-furthest", "theory-typical"]
    assert f"All {len(small[0]['runs'])} runs have a prediction." in told
    panels = [panel for figure in theory.of(Figure) for panel in figure.panels]
    assert len({panel.title for panel in panels}) == len(panels) == 12
    assert all((panel.rows["kind"] == "measured").any() for panel in panels)


def test_without_any_prediction_the_section_on_theory_says_why(small: Results) -> None:
    tables, manifest = small
    page = build_page(tables | {"runs": tables["runs"].assign(architecture="mine:network")}, manifest)
    (said,), (reasons,) = page["theory"].of(Sentences), page["theory"].of(Table)
    runs = len(tables["runs"])
    assert said.items[0].text == f"{runs} of {runs} runs have no prediction, for the reasons below."
    assert "mine:network" in reasons.rows[0][0] and reasons.rows[0][1] == str(runs)
    assert page["theory"].of(Figure) == [] and page["theory"].short == ()


def test_runs_without_an_accuracy_are_not_said_to_have_failed_to_learn(small: Results) -> None:
    tables, manifest = small
    known = tables["evaluations"]
    page = build_page(tables | {"evaluations": known.assign(accuracy=np.nan)}, manifest)
    parsed(render(page))
    said = [sentence.text for sentence in page["answer"].of(Sentences)[0].items]
    runs = len(tables["runs"])
    gone = int((tables["runs"]["status"] == "diverged").sum())
    assert said[0].startswith(f"No accuracy was recorded of {runs - gone} of {runs} runs:")
    assert said[0].endswith(f" {gone} left the finite numbers.")
    assert not [text for text in said if text.startswith("Runs that learned")]
    lost = known["run_id"].isin(tables["runs"]["run_id"].iloc[:5])
    page = build_page(tables | {"evaluations": known[~lost]}, manifest)
    assert "Of 5 no accuracy was recorded" in page["answer"].of(Sentences)[0].items[0].text


def test_the_page_stays_small() -> None:
    suite = SMALL.replace("[2, 12, 40]", "[4, 16, 32]").replace("replicates = 3", "replicates = 18")
    tables, manifest = dry_results(suite)
    assert len(tables["runs"]) == 648
    assert len(render(build_page(tables, manifest)).encode()) < 5e6
