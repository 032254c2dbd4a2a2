"""Claims on the page, in its dump and as Markdown: what is said is what the analysis found, whatever a suite writes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from bench.analysis.claims import Judged, Verdict, judge_claims
from bench.analysis.claims.words import readable
from bench.cli import app
from bench.errors import SuiteError
from bench.report import dump_report, render, write_index
from bench.report.blocks import Figure, Lead, Page, Panel, Scale, Text
from bench.report.charts import CHARTS
from bench.report.claims_markdown import JudgedResults, anchors, claims_markdown, escaped
from bench.report.index import build_index
from bench.report.page import page_of
from bench.report.render import csv
from bench.report.sections.claims import Claims, claim_cards, claims_sentence, figure_rows, section
from tests.cohorts import claim_text, suite_text
from tests.dry_results import EXPLODING, DryResults, dry_results
from tests.report import pages
from tests.report.pages import Nesting, altered, drawings, frames, save, text_of
from tests.report.test_odd_results import Tables, all_diverged_at_once, norms, only

SUITE = suite_text(
    "claiming", "Do deep networks learn?", 6, {"steps": 60},
    depth=[4, 30], activation=["sigmoid", "relu"], initializer=["glorot_uniform", "he_normal"],
    learning_rate=[0.01, 0.1],
)  # fmt: skip
LEARNED = """
number = { learned = 0.5 }
where = { activation = "relu", depth = 30 }
of = { initializer = "he_normal" }
against = { initializer = "glorot_uniform" }
best = "learning_rate"
least = 0.2
"""
VANISHES = """
number = { response = "signal_ratio_start" }
where = { activation = "sigmoid", depth = 30 }
least = -5.0
"""
STEPS = """
number = { column = "loss", table = "evaluations", below = 0.001 }
where = { depth = 4, initializer = "he_normal", learning_rate = 0.1 }
of = { activation = "sigmoid" }
against = { activation = "relu" }
compare = "ratio"
least = 2.0
"""
PARTS = """
number = { column = "preactivation_grad_norm", transform = "log10", take = "slope", step = "start" }
all = [
  { name = "deep", where.depth = 30, of.activation = "sigmoid", against.activation = "relu", least = 0 },
  { name = "shallow", where = { depth = 4 }, statistic = "each", least = -9.0, most = 9.0 },
]
"""
EVIL = "<script>alert(1)</script> | **bold** [a](b) `c` $x$"
CLAIMING = "".join([
    SUITE, claim_text("learned", LEARNED), claim_text("vanishes", VANISHES), claim_text("steps", STEPS),
    claim_text("parts.two", PARTS, EVIL, "Its numbers | 1 of 2."),
])  # fmt: skip


@pytest.fixture(scope="module")
def results() -> DryResults:
    return dry_results(CLAIMING)


@pytest.fixture(scope="module")
def judged(results: DryResults) -> list[Judged]:
    return judge_claims(results.tables, results.suite.claims)


@pytest.fixture(scope="module")
def page() -> Page:
    return pages.page(CLAIMING)


@pytest.fixture(scope="module")
def html() -> str:
    return pages.html(CLAIMING)


def claims_of(page: Page) -> Claims:
    (claims,) = page["claims"].of(Claims)
    return claims


# The page


def test_counts_and_verdicts_are_those_of_the_analysis(page: Page, html: str, judged: list[Judged]) -> None:
    claims = claims_of(page)
    assert claims.counts == {"supported": 2, "refuted": 1, "inconclusive": 1}
    assert claims.summary == "4 claims: 2 supported, 1 refuted, 1 inconclusive"
    assert [(card.id, card.verdict) for card in claims.cards] == [(each.id, str(each.verdict)) for each in judged]
    assert [card.verdict for card in claims.cards] == ["supported", "refuted", "inconclusive", "supported"]
    shown = text_of(html)
    assert page["claims"].of(Lead)[0].sentence.text in shown
    assert "Of 4 claims put to the test 2 are supported, 1 refuted, and 1 inconclusive." in shown
    for each in judged:
        assert each.source in shown and each.paper in shown and each.differs in shown
        for part in each.parts:
            assert readable(part.rule) in shown


def test_a_card_says_effect_interval_region_counts_and_the_best_levels(page: Page, judged: list[Judged]) -> None:
    learned, vanishes, steps, parts = claims_of(page).cards
    found = judged[0].parts[0]
    (part,) = learned.parts
    assert part.effect.startswith("difference of shares 1 [0.") and part.effect.endswith(", 1], 95 % interval")
    assert part.claimed == "≥ 0.2"
    assert part.counts == f"{found.counts.judged} runs, 6 replicates, 0 lost"
    assert part.best == (
        "learning rate: the best of 2 tried for each of 2 networks (initializer he_normal 0.01 and initializer "
        "glorot_uniform 0.01); 2 of 2 on the edge of those tried, so that a better one may lie beyond",
    )
    assert learned.best is not None and len(learned.best.rows) == 2
    assert {row[-1] for row in learned.best.rows} == {"yes"}
    assert vanishes.best is None and vanishes.table is None
    assert "12 runs, 6 replicates, 0 lost, 12 censored" in steps.parts[0].counts
    assert "leave the interval without its lower and upper end" in steps.why
    assert parts.table is not None and [row[1] for row in parts.table.rows] == ["✓ supported", "✓ supported"]
    assert parts.parts[1].effect.endswith("range over replicates")


def test_a_line_of_a_claim_has_verdict_and_number_of_each_part(results: DryResults, judged: list[Judged]) -> None:
    learned, vanishes, steps, parts = claim_cards(judged).cards
    assert learned.parts[0].short == "✓ +1"
    assert vanishes.parts[0].short.startswith("✗ ÷ ")
    assert steps.parts[0].short == "? × 1"
    assert [part.short.rpartition(" ")[0].split(" +")[0][:6] for part in parts.parts] == ["✓ deep", "✓ shal"]
    again = [replace(each, id=f"textbook-{k}") for k, each in enumerate(judged)]
    assert [claim_cards(again[:1]).textbook, claim_cards([*again, judged[0]]).textbook] == [True, False]
    said = claims_sentence(claim_cards([replace(again[3], verdict=Verdict.REFUTED)]))[0].text
    assert said == (
        "Of 1 textbook statement put to the test 0 are supported, 0 refuted, and 0 inconclusive; "
        "1 holds for some settings only."
    )
    assert claim_cards([replace(again[3], verdict=Verdict.REFUTED)]).cards[0].shown == ("◐", "in part")
    assert [card.shown[1] for card in claim_cards(judged).cards] == [str(claim.verdict) for claim in judged]


def test_the_chapter_of_the_textbook_is_named_so(results: DryResults) -> None:
    text = CLAIMING
    for name in ("learned", "vanishes", "steps", "parts.two"):
        text = text.replace(f'id = "{name}"', f'id = "textbook-{name}"')
    page = page_of(altered(CLAIMING, {"text": text}), (section,))
    assert (page["claims"].name, page["claims"].title) == ("Textbook", "The textbook put to the test")


def test_the_mark_of_a_verdict_is_never_its_colour_alone(page: Page, html: str) -> None:
    assert len({card.mark for card in claims_of(page).cards}) == 3
    for card in claims_of(page).cards:
        assert f'<span aria-hidden="true">{card.mark}</span> {card.verdict}</span>' in html


def test_markup_in_a_statement_is_text(html: str) -> None:
    assert EVIL not in html
    assert text_of(html).count(EVIL) == 2  # on the card and in the suite's own text
    assert "<script" not in html.partition("</main>")[0]


def test_every_claim_has_a_figure_with_a_text_and_an_id_of_its_own(page: Page, html: str) -> None:
    found = Nesting(html).found
    ids = [attributes["id"] for _, attributes in found if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {f"claim-{card.id}" for card in claims_of(page).cards} <= set(ids)
    for card in claims_of(page).cards:
        assert card.figure in page.of(Figure)
        for part, panel in zip(card.parts, card.figure.panels, strict=True):
            drawing = CHARTS["claim"](panel, card.figure.scale)
            ElementTree.fromstring(drawing.svg)
            assert part.effect.partition("[")[2].partition("]")[0] in drawing.text
            assert f"claimed {part.claimed}" in drawing.text


# The numbers behind it


def test_the_figure_shows_every_replicate_as_the_tables_have_it(results: DryResults, judged: list[Judged]) -> None:
    rows = figure_rows(judged[0].parts[0])
    runs, ends = results.tables["runs"], results.tables["evaluations"]
    ends = ends[(ends["split"] == "train") & (ends["step"] == 60)].set_index("run_id")["accuracy"]
    chosen = runs[(runs["activation"] == "relu") & (runs["depth"] == 30)]
    chosen = chosen.assign(learned=(chosen["run_id"].map(ends) >= 0.5).astype(float))
    best = dict(judged[0].parts[0].best[["side", "level"]].to_numpy())
    for side, initializer in (("of", "he_normal"), ("against", "glorot_uniform")):
        own = chosen[(chosen["initializer"] == initializer) & (chosen["learning_rate"] == best[side])]
        shown = rows[rows["what"] == side].sort_values("replicate")
        assert shown["value"].tolist() == own.sort_values("replicate")["learned"].tolist()
        assert shown["series"].unique().tolist() == [f"initializer {initializer}"]
    assert rows["what"].tolist()[-2:] == ["effect", "claimed"]


def test_the_effect_and_the_region_are_rows_of_the_csv(page: Page, judged: list[Judged]) -> None:
    for each, card in zip(judged, claims_of(page).cards, strict=True):
        saved = pd.read_csv(io.StringIO(csv(card.figure)))
        effects = saved[saved["what"] == "effect"]
        for part, row in zip(each.parts, effects.to_dict("records"), strict=True):
            assert row["value"] == pytest.approx(part.effect, rel=1e-5)
            assert (row["low"], row["high"]) == pytest.approx((part.low, part.high), rel=1e-5)
        region = saved[saved["what"] == "claimed"].iloc[0]
        assert (region["low"], region["high"]) == (
            -np.inf if each.parts[0].least is None else each.parts[0].least,
            np.inf if each.parts[0].most is None else each.parts[0].most,
        )


def test_what_is_known_from_one_side_only_is_said_and_drawn_so(page: Page) -> None:
    card = claims_of(page).cards[2]
    assert {cell for row in card.numbers[0].rows for cell in row[1:3]} == {"≥ 60"}
    assert {row[3] for row in card.numbers[0].rows} == {"unknown"}
    assert card.parts[0].effect == "ratio 1 [0, ∞], 95 % interval"
    drawing = CHARTS["claim"](card.figure.panels[0], card.figure.scale)
    ElementTree.fromstring(drawing.svg)
    assert "sigmoid: 60 to 60 in 6 replicates" in drawing.text


def test_numbers_over_many_decades_stand_on_a_logarithmic_axis() -> None:
    def drawn(values: list[float]) -> str:
        rows = [("of", "a", k, v, v, v, "1", "value") for k, v in enumerate(values)]
        told = [("effect", "mean", None, values[0], values[0], values[-1], "1", "value"),
                ("claimed", "claimed", None, np.nan, values[0], np.inf, "1", "value")]  # fmt: skip
        names = ["what", "series", "replicate", "value", "low", "high", "unit", "compare"]
        return CHARTS["claim"](Panel("", pd.DataFrame(rows + told, columns=names)), Scale("", "")).svg

    assert re.search(r">10⁻[³⁴⁵]|>1\.0·10⁻", drawn([1e-6, 1e-3, 1.0]))
    assert "10⁻" not in drawn([0.2, 0.3, 0.4])


# Dump, and pages without claims


def test_the_dump_has_the_claims_and_the_runs_behind_them(
    results: DryResults, page: Page, judged: list[Judged], tmp_path: Path
) -> None:
    again = json.dumps(dump_report(save(results, tmp_path / "out")), allow_nan=False)
    assert again == json.dumps(page.as_data())
    dump = json.loads(again)["sections"][1]["blocks"][1]
    assert dump["counts"] == {"supported": 2, "refuted": 1, "inconclusive": 1}
    known = set(results.tables["runs"]["run_id"])
    for each, card in zip(judged, dump["cards"], strict=True):
        assert (card["id"], card["verdict"], card["rule"]) == (each.id, str(each.verdict), readable(each.rule))
        for part, told in zip(each.parts, card["parts"], strict=True):
            assert [row["run_id"] for row in told["runs"]] == list(part.runs.index)
            assert known >= set(part.runs.index)


def test_claims_that_cannot_be_read_leave_the_page_standing(results: DryResults) -> None:
    text = results.suite.text.replace("signal_ratio_start", "signal_of_another_version")
    page = page_of(altered(CLAIMING, {"text": text}), (section,))
    assert "signal_of_another_version" in page["claims"].of(Text)[0].text
    html = render(page)
    assert "cannot be read by this version" in text_of(html)
    assert "gradtrial-claims" not in html
    assert page["claims"].of(Claims) == []


ODD: dict[str, Callable[[Tables], Tables]] = {
    "no evaluations": lambda tables: {"evaluations": tables["evaluations"].iloc[:0]},
    "one replicate": lambda tables: only(tables, tables["runs"]["replicate"] == 0),
    "all diverged": all_diverged_at_once,
    "no norms": lambda tables: norms(tables, np.nan),
    "no relu": lambda tables: only(tables, tables["runs"]["activation"] != "relu"),
}


@pytest.mark.full
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_results_have_cards_too(results: DryResults) -> None:
    for name, change in ODD.items():
        tables = results.tables | change(results.tables)
        page = page_of(altered(CLAIMING, **tables), (section,))
        html = render(page)
        assert drawings(html), name
        assert not re.search(r"\bnan\b", text_of(html)), name
        judged = judge_claims(tables, results.suite.claims)
        assert "nan" not in claims_markdown([JudgedResults(results.manifest, tables, judged)]), name
        if name == "all diverged":
            assert "12 lost" in claims_of(page).cards[0].parts[0].counts


# The list of reports


def test_the_list_of_reports_says_how_many_claims_came_out_how(html: str, tmp_path: Path) -> None:
    for suite, page in ((CLAIMING, html), (EXPLODING, render(page_of(frames(EXPLODING), ())))):
        found = dry_results(suite)
        folder = save(found, tmp_path / "reports" / found.suite.name)
        (folder / "index.html").write_text(page, "utf-8")
    write_index(folder)
    said = {entry.suite: entry.said.claims for entry in build_index(tmp_path / "reports").entries}
    assert said == {"claiming": "4 claims: 2 supported, 1 refuted, 1 inconclusive", "exploding": ""}
    assert said["claiming"] in (tmp_path / "reports" / "index.html").read_text("utf-8")


# Markdown


def cells(document: str) -> list[list[str]]:
    """The text of the rows of every table, markup taken away."""
    rows: list[list[str]] = []
    inside = False
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(document):
        if token.type == "tr_open":
            rows.append([])
        inside = {"th_open": True, "td_open": True, "th_close": False, "td_close": False}.get(token.type, inside)
        if inside and token.type == "inline":
            rows[-1].append("".join(each.content for each in token.children))
    return rows


@pytest.fixture(scope="module")
def document(results: DryResults, judged: list[Judged]) -> str:
    return claims_markdown([JudgedResults(results.manifest, results.tables, judged)])


def test_the_summary_has_a_row_for_each_claim_whatever_it_says(document: str, judged: list[Judged]) -> None:
    rows = cells(document)
    assert {len(row) for row in rows[:5]} == {7}
    assert [row[0] for row in rows[1:5]] == [each.id for each in judged]
    assert [row[1] for row in rows[1:5]] == [each.statement for each in judged]  # EVIL comes back as it was written
    assert [row[3].split(" ", 1)[1] for row in rows[1:5]] == [str(each.verdict) for each in judged]
    assert rows[5][:2] == ["suite", "runs"]
    assert rows[6][:3] == ["claiming", "96", "60"] and "3.13.0" in rows[6] and "3.15.1" in rows[6]


def test_every_claim_has_its_section_and_the_table_leads_to_it(document: str, judged: list[Judged]) -> None:
    headings = re.findall(r"^### (.*)$", document, flags=re.MULTILINE)
    assert headings == [each.id for each in judged]
    assert re.findall(r"\]\(#([^)]*)\)", document) == anchors(headings) == ["learned", "vanishes", "steps", "partstwo"]
    for each in judged:
        for text in (each.paper, each.differs, *(readable(part.rule) for part in each.parts)):
            assert escaped(text) in document
    assert document.count("- **Why:**") == 4
    assert "4 claims: 2 supported, 1 refuted, 1 inconclusive." in document


def test_the_document_is_the_same_again_and_says_where_numbers_are_by_formula(
    results: DryResults, judged: list[Judged], document: str
) -> None:
    again = JudgedResults(results.manifest, results.tables, judged)
    assert claims_markdown([again]) == document
    assert "by formula" not in document
    dry = JudgedResults(replace(results.manifest, dry=True), results.tables, judged)
    assert "made by formula, not by training" in claims_markdown([again, dry])
    assert "(#learned-1)" in claims_markdown([again, dry])


@pytest.mark.parametrize(
    "text",
    [EVIL, "# no heading", "- no list", "1. no list", "a_b _c_ d*e*f", "p < 0.001 & x > 2", "<b>", "&amp;", "![x](y)",
     "[a, b] [1]: c", "a \\ b | c", "~~gone~~", "one\ntwo"],
)  # fmt: skip
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(escaped(text))
    (paragraph,) = [token for token in tokens if token.type == "inline"]
    assert tokens[0].type == "paragraph_open"
    assert {each.type for each in paragraph.children} <= {"text", "text_special"}
    assert "".join(each.content for each in paragraph.children) == " ".join(text.split())


def test_the_command_prints_the_document(results: DryResults, document: str, tmp_path: Path) -> None:
    folder = save(results, tmp_path / "out")
    done = CliRunner().invoke(app, ["claims", str(folder), "--markdown"])
    assert done.stdout.rstrip() == document.rstrip()
    both = CliRunner().invoke(app, ["claims", str(folder), "--markdown", "--json"])
    assert isinstance(both.exception, SuiteError)
