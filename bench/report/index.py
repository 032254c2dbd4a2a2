"""The list of all reports of a folder: `reports/index.html` beside `reports/<suite>/index.html`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.errors import ResultsError
from bench.report.head import Head
from bench.report.render import environment
from bench.report.sections.answer import LEGEND
from bench.results import count_statuses, read_manifest
from bench.text import integer, of

FOLDER_NAME = "reports"  # a folder of this name is made for reports; any other must hold a list already
PAGE = "index.html"
MARK = '<meta name="generator" content="gradtrial reports">'
MARKS = (MARK, MARK.replace("gradtrial", "gradbench"))  # lists of the project's former name are its own too
HEAD_WITHIN = 4000  # characters from the start of a page
STACK = ("keras", "tensorflow")


@dataclass(frozen=True)
class Entry:
    """One report, as ready text. `moment` is when it ended, or started where it has not ended."""

    href: str
    title: str
    question: str
    suite: str
    moment: datetime
    ended: str
    runs: str
    said: Head
    versions: str
    remark: str


@dataclass(frozen=True)
class Unread:
    """A folder that holds a page but not what it takes to describe it, and why."""

    href: str
    name: str
    reason: str


@dataclass(frozen=True)
class Index:
    """Everything on the page: reports, the newest first, and the folders that could not be read, by name."""

    entries: tuple[Entry, ...]
    unread: tuple[Unread, ...]


def write_index(results: Path) -> Path | None:
    """List the reports of the folder that holds a results folder in its `index.html`; None if it is left alone.

    It is written where the folder is named `reports` or holds such a list already. A page that gradtrial did not
    write is never replaced, a results folder's own page neither. A folder that cannot be written to keeps what it has:
    the list is an extra, and the report itself stands.
    """
    folder = results.resolve().parent
    page = folder / PAGE
    try:
        if not (_is_list(page) if page.exists() else folder.name == FOLDER_NAME):
            return None
        html = environment().get_template("index.html.j2").render(index=build_index(folder), mark=MARK, legend=LEGEND)
        aside = folder / f"{PAGE}.{os.getpid()}.writing"  # two suites may end at once
        try:
            aside.write_text(html, encoding="utf-8")
            return aside.replace(page)
        finally:
            aside.unlink(missing_ok=True)
    except OSError:
        return None


def build_index(folder: Path) -> Index:
    """Every subfolder that holds a manifest and a page.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    return listed_index(
        [
            describe(results)
            for results in sorted(folder.iterdir())
            if (results / "manifest.json").is_file() and (results / PAGE).is_file()
        ]
    )


def listed_index(found: Sequence[Entry | Unread]) -> Index:
    """The list of what `describe` said of each."""
    entries = sorted((each for each in found if isinstance(each, Entry)), key=lambda each: each.moment, reverse=True)
    return Index(tuple(entries), tuple(each for each in found if isinstance(each, Unread)))


def describe(results: Path, page: str | None = None) -> Entry | Unread:
    """What the list says of a results folder, whose page is that in it if none is given."""
    try:
        return _entry(results, _head(results / PAGE) if page is None else page[:HEAD_WITHIN])
    except (ResultsError, OSError) as error:
        reason = str(error).replace(f"{results}{os.sep}", "").replace(f"{results}: ", "")
        reason = reason.replace(str(results), results.name)
        return Unread(_href(results), results.name, reason)
    except (TypeError, ValueError, AttributeError) as error:
        reason = f"manifest.json is not as `bench run` writes it ({error})."
        return Unread(_href(results), results.name, reason)


def _is_list(page: Path) -> bool:
    head = _head(page)
    return any(mark in head for mark in MARKS)


def _head(page: Path) -> str:
    with page.open(encoding="utf-8", errors="replace") as text:
        return text.read(HEAD_WITHIN)


def _entry(results: Path, head: str) -> Entry:
    manifest = read_manifest(results)
    moment = _moment(str(manifest.ended or manifest.started))
    return Entry(
        href=_href(results),
        title=manifest.heading,
        question=manifest.question.strip(),
        suite=manifest.suite,
        moment=moment,
        ended=f"{'ended' if manifest.ended else 'not ended, started'} {moment:%Y-%m-%d %H:%M} UTC",
        runs=_runs(count_statuses(results), manifest.planned.runs),
        said=Head.read(head),
        versions=_versions(manifest.versions),
        remark="Dry: these numbers were made by formula, not by training." if manifest.dry else "",
    )


def _href(results: Path) -> str:
    return f"{quote(results.name)}/{PAGE}"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _runs(counts: Mapping[str, int], planned: int) -> str:
    """`864 of 864 runs: 810 completed, 54 diverged, 0 failed`."""
    by_status = ", ".join(f"{integer(count)} {status}" for status, count in counts.items())
    return f"{of(sum(counts.values()), planned, 'run')}: {by_status}"


def _versions(versions: Mapping[str, Any]) -> str:
    return " · ".join(f"{name} {versions.get(name, 'unknown')}" for name in STACK)
