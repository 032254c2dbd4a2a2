"""The page's words: short sentences that begin and end as such, numbers and plurals of one form, one term a thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bench.report.blocks import Block, Definitions, Figure, Fold, Lead, Place, Section, Sentences, Table, Text
from bench.report.sections.answer import First
from tests.browser import CLAIMING
from tests.dry_results import EXPLODING, MIXED, RECURRENT, SMALL
from tests.report.pages import page

MOST_WORDS = 25
BANNED = re.compile(
    r"\b(accused|accuse[sd]?|caught|catch(es)?|parted|set (down|aside)|sick|helper|utils|blamed"
    r"|held against|not held|undecided)\b",
    re.IGNORECASE,
)
PROGRAMMERS = re.compile(r"\d[eE][-+]?\d|(?<![\w·–-])-\d|\b(nan|None(?! of)|True|False|inf)\b|(?<![\d.,])\d{5}")
NAME = re.compile(r"\b[A-Za-z][^\s]*[-_]\S*")  # of a run, a cell, a level: no number
SINGULAR = re.compile(
    r"(?<![\d.,])1 (runs|layers|cells|steps|networks|settings|levels|pairs|claims|rates|replicates)\b"
)
ENDS = (". ", "? ", "! ")

# Chapters that still break a rule; this list only shrinks. The suite's digest is a number of its own kind.
ALLOWED = {"answer": {"long"}, "suite": {"numbers"}}


def prose(blocks: tuple[Block, ...]) -> Iterator[str]:
    """The running text of blocks: what a reader takes as sentences."""
    for block in blocks:
        if isinstance(block, Lead):
            yield block.sentence.text
        elif isinstance(block, Sentences):
            yield from (each.text for each in block.items)
        elif isinstance(block, Text) and block.style != "formula":
            yield block.text.replace("`", "").replace("*", "")
        elif isinstance(block, Figure):
            yield from (each for each in (block.subtitle, *block.captions) if each)
        elif isinstance(block, Definitions):
            yield from (text for each in block.items for text in (each.meaning, each.here) if text)
        elif isinstance(block, First):
            yield from (block.headline, *block.trained)
        elif isinstance(block, Fold | Place):
            yield from prose(block.blocks)


def everything(section: Section) -> Iterator[str]:
    """All words of a section, those of tables and heads too."""
    yield from prose(section.blocks)
    for table in section.of(Table):
        yield from (table.caption, table.note, *table.columns, *(cell for row in table.rows for cell in row))
    for figure in section.of(Figure):
        yield from (figure.title, figure.source, *(panel.title for panel in figure.panels))
    for first in section.of(First):
        yield from (each for way in first.avoid for each in (way.name, way.said))
        yield from (each for row in first.rows for card in row.cards for each in (card.change, *card.facts))


def sentences(text: str) -> list[str]:
    """Its sentences; a point before a capital ends one, but for `et al.` and initials."""
    return [each for each in re.split(r"(?<=[.?!])(?<! al\.)\s+(?=[A-Z0-9“÷×]|gradtrial)", text.strip()) if each]


def faults(section: Section) -> dict[str, list[str]]:
    """What breaks which rule."""
    told = [each for text in prose(section.blocks) for each in sentences(text)]
    words = list(everything(section))
    found = {
        "long": [each for each in told if sum(bool(re.search(r"\w", word)) for word in each.split()) > MOST_WORDS],
        "begins": [each for each in told if not re.match(r"[A-Z0-9“(]|log10 |gradtrial", each)],
        "ends": [each for each in told if not re.search(r"[.?!:][”)]?$", each)],
        "banned": [each for each in words if BANNED.search(each)],
        "numbers": [each for each in words if PROGRAMMERS.search(NAME.sub("", each))],
        "plurals": [each for each in words if SINGULAR.search(each)],
    }
    return {rule: texts for rule, texts in found.items() if texts}


SUITES = {"small": SMALL, "exploding": EXPLODING, "claiming": CLAIMING, "recurrent": RECURRENT, "mixed": MIXED}


@pytest.mark.parametrize("name", SUITES)
def test_words_are_those_of_a_reader(name: str) -> None:
    broken = {
        section.id: left
        for section in page(SUITES[name]).sections
        if (left := {rule: texts for rule, texts in faults(section).items() if rule not in ALLOWED.get(section.id, ())})
    }
    assert broken == {}


def test_faults_are_found() -> None:
    texts = (Text("It reached 1e-05 in 1 runs. It ends"), Text("no rule caught it."))
    found = faults(Section("x", "X", "X", (*texts, Text("A very long sentence " + "and on " * 30 + "ends."))))
    assert set(found) == {"long", "begins", "ends", "banned", "numbers", "plurals"}
