"""From each sentence a link leads to what it rests on: a fold, a table, a chapter, or its runs in the explorer."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from bench.report.blocks import Lead, Page, Sentence, Sentences
from bench.report.sections.answer import First
from bench.report.sections.explorer import Explorer
from tests.browser import CLAIMING, Report, Visit
from tests.dry_results import EXPLODING, SMALL
from tests.report.pages import Nesting, html, page, without_scripts


def statements(shown: Page) -> list[Sentence]:
    """Every sentence of a page."""
    found = [lead.sentence for lead in shown.of(Lead)]
    found += [each for block in shown.of(Sentences) for each in block.items]
    return found + [each for section in shown.sections for each in section.short]


def unknown(shown: Page, ids: set[str | None], link: str) -> bool:
    """Whether a link leads nowhere."""
    if not link.startswith("#where="):
        return link[1:] not in ids
    levels = {each["name"]: each["levels"] for each in shown.of(Explorer)[0].data["factors"]}
    asked = [part.partition(":")[::2] for part in link.removeprefix("#where=").split(";")]
    return any(unquote(level) not in levels.get(name, ()) for name, some in asked for level in some.split("|"))


@pytest.mark.parametrize("suite", [SMALL, EXPLODING, CLAIMING], ids=["small", "exploding", "claiming"])
def test_every_statement_has_a_link_and_every_link_leads_somewhere(suite: str) -> None:
    shown, found = page(suite), Nesting(without_scripts(html(suite))).found
    ids = {attributes.get("id") for _, attributes in found}
    told = statements(shown)
    assert len(told) > 10
    assert [each.text for each in told if not each.link] == []
    links = {each.link for each in told} | {way.link for way in shown["answer"].of(First)[0].avoid}
    links |= {attributes["href"] or "" for tag, attributes in found if tag == "a" and attributes.get("href")}
    assert [link for link in sorted(links) if unknown(shown, ids, link)] == []


@pytest.mark.full
def test_a_link_into_a_fold_opens_it(claiming: Report, visit: Visit) -> None:
    shown = visit(claiming)
    table = shown.locator("#causes table")
    expect(table).to_be_hidden()
    shown.evaluate("location.hash = '#causes'")
    expect(table).to_be_visible()
    shown.locator("#answer-numbers > summary").click()
    expect(table).to_be_hidden()
    shown.evaluate("document.body.insertAdjacentHTML('beforeend', '<a id=again href=\"#causes\">again</a>')")
    shown.locator("#again").click()
    expect(table).to_be_visible()
