"""A whole site in memory: reports, docs and reference results, a page that lists them, and every link looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from bench import reference
from bench.errors import SuiteError, nearest
from bench.report.index import listed_index
from bench.report.sections.answer import LEGEND
from bench.site.docs import Doc, Docs, read_docs
from bench.site.links import check
from bench.site.reports import Report, read_reports, texts
from bench.site.shipped import Shipped, shipped
from bench.suite.load import SHIPPED
from bench.text import shortened

DOCS, REFERENCE = "docs", "reference"
PARTS = ("reports", DOCS, REFERENCE)
MANY = 4  # headings of a page that list themselves at its side
SENTENCE = re.compile(r"(?<=[.?!])\s")  # between sentences
SUMMARY = 220  # characters of a page's first sentence
STACK = ("keras", "tensorflow")


@dataclass(frozen=True)
class Asked:
    """What a site is to hold.

    Attributes:
        reports: results folders.
        docs: a folder of Markdown, if any.
        reference: whether the shipped reference results are in it.
        title: what heads its first page.
    """

    reports: Sequence[Path]
    docs: Path | None
    reference: bool
    title: str


@dataclass(frozen=True)
class Site:
    """The files of a site by path from its root, and what it holds, counted."""

    files: Mapping[str, bytes]
    reports: int
    docs: int
    references: int


@dataclass(frozen=True)
class _Listed:
    suite: str
    title: str
    question: str
    summary: str
    stack: str


def build(asked: Asked) -> Site:
    """Make every page and look at every link.

    Raises:
        BrokenLink: a link of a page leads nowhere, or a page would load something from elsewhere.
        ResultsError: results or docs cannot be read, or two reports have one name.
    """
    reports = read_reports(asked.reports)
    docs = read_docs(asked.docs) if asked.docs else Docs((), {})
    suites = reference.names() if asked.reference else ()
    places = [("Reports", "index.html#reports")] if reports else []
    places += [("Docs", "index.html#docs")] if docs.pages else []
    places += [("Reference results", "index.html#reference")] if suites else []
    pages = _Pages(asked.title, tuple(places))
    files = {".nojekyll": b"", "style.css": _style().encode(), **docs.files}
    files |= {path: text.encode() for path, text in texts(reports)}
    files |= {each.path: pages.doc(each) for each in docs.pages}
    listed = []
    for suite in suites:
        made, own = _reference(suite)
        files |= own | {f"{REFERENCE}/{suite}.html": pages.shipped(made)}
        listed.append(_listed(made, reference.read(suite).versions))
    files["index.html"] = pages.home(reports, docs, listed)
    named = {each.path: str(each.source) for each in docs.pages}
    named |= {f"{each.path}/{name}": str(each.source / name) for each in reports for name in each.pages}
    check(files, named, frozenset(path for path, _ in texts(reports)))
    return Site(files, len(reports), len(docs.pages), len(suites))


def parts_without(left_out: Sequence[str]) -> frozenset[str]:
    """The parts of a site, less those.

    Raises:
        SuiteError: one is no part.
    """
    for each in left_out:
        if each not in PARTS:
            raise SuiteError(f'--without "{each}" is no part of a site. {nearest(each, PARTS)}')
    return frozenset(PARTS) - frozenset(left_out)


def _reference(suite: str) -> tuple[Shipped, dict[str, bytes]]:
    """The tables of a suite's reference results, and its files: the runs, and the suite itself."""
    file = next(iter(sorted(SHIPPED.rglob(f"{suite}.toml"))))
    text = file.read_bytes()
    files = {
        f"{REFERENCE}/{suite}.toml": text,
        f"{REFERENCE}/{suite}.parquet": (reference.DATA / f"{suite}.parquet").read_bytes(),
    }
    return shipped(reference.read(suite), hashlib.sha256(text).hexdigest()), files


def _listed(made: Shipped, versions: Mapping[str, str]) -> _Listed:
    stack = " · ".join(f"{name} {versions.get(name, 'unknown')}" for name in STACK)
    return _Listed(made.suite, made.title, made.question, made.summary, stack)


@dataclass(frozen=True)
class _Pages:
    """Pages from templates, each with the site's title and the way to its parts."""

    title: str
    places: tuple[tuple[str, str], ...]

    def doc(self, doc: Doc) -> bytes:
        headings = [each for each in doc.page.headings if each.level == 2]
        chapters = headings if len(headings) >= MANY else []
        return self._made("doc.html.j2", doc.path.count("/"), chapters, doc=doc)

    def shipped(self, shown: Shipped) -> bytes:
        return self._made("shipped.html.j2", 1, [], shown=shown)

    def home(self, reports: Sequence[Report], docs: Docs, references: Sequence[_Listed]) -> bytes:
        index = listed_index([each.entry for each in reports])
        return self._made("home.html.j2", 0, [], index=index, docs=docs.pages, references=references, legend=LEGEND)

    def _made(self, template: str, depth: int, chapters: Sequence[object], **shown: object) -> bytes:
        """A page that stands so many folders below the site's root."""
        places = ((self.title, "index.html"), *self.places) if template != "home.html.j2" else self.places
        words = {"title": self.title, "places": places, "up": "../" * depth, "chapters": chapters}
        return _environment().get_template(template).render(words | shown).encode()


def _style() -> str:
    """The reports' own style, and what pages of the site have beside it."""
    return "".join(
        resources.files(package).joinpath(f"templates/{name}").read_text("utf-8")
        for package, name in (("bench.report", "page.css"), ("bench.site", "site.css"))
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=ChoiceLoader([PackageLoader("bench.site"), PackageLoader("bench.report")]),
        autoescape=select_autoescape(default=True, default_for_string=True), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["shortened"] = lambda text: shortened(SENTENCE.split(text, maxsplit=1)[0], SUMMARY)
    return made
