"""Pages of results made by formula, each made once, and how tests read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa

from bench.report.blocks import Page, Section, Sentences
from bench.report.frames import Frames
from bench.report.page import page_of
from bench.report.render import render
from bench.results import Results
from bench.schema import TABLES
from tests.dry_results import DryResults, dry_results

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr", "path", "use", "rect", "circle", "line", "image", "stop"}


@cache
def frames(suite: str) -> Frames:
    """A suite's results, judged."""
    return altered(suite)


def altered(suite: str, manifest: dict[str, Any] | None = None, **tables: pd.DataFrame) -> Frames:
    """The same with other tables, or another manifest."""
    results = dry_results(suite)
    return Frames.of(results.tables | tables, replace(results.manifest, **manifest or {}))


@cache
def chapter(made: Callable[[Frames], Section | None], suite: str) -> Section:
    """One section of a suite's page."""
    found = made(frames(suite))
    assert found is not None
    return found


@cache
def page(suite: str) -> Page:
    return page_of(frames(suite))


@cache
def html(suite: str) -> str:
    return render(page(suite))


def save(results: DryResults, folder: Path) -> Path:
    """A results folder with the tables as one cohort's and the manifest."""
    store = Results(folder)
    store.write("all", {n: pa.Table.from_pandas(f, TABLES[n].arrow) for n, f in results.tables.items()})
    store.write_manifest(results.manifest)
    return folder


def said(page: Page) -> list[str]:
    """The answer's sentences."""
    return [sentence.text for sentence in page["answer"].of(Sentences)[0].items]


class Nesting(HTMLParser):
    """Collects what is opened and complains of what is closed out of turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

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


def without_scripts(html: str) -> str:
    """What stands in the page's body, but for the scripts at its end."""
    main, closing, _ = html.partition("<body>")[2].partition("</main>")
    return main + closing


def text_of(html: str) -> str:
    """The text of the page, its scripts and styles aside."""
    return "".join(Nesting(without_scripts(html)).text)


def drawings(html: str) -> list[tuple[str, ElementTree.Element]]:
    """Each SVG of the page, as it stands and as the well-formed XML that it is."""
    found = re.findall(r"<svg .*?</svg>", without_scripts(html), flags=re.DOTALL)
    return [(svg, ElementTree.fromstring(svg)) for svg in found]
