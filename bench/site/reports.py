"""Reports for a site: the page of each results folder as it stands, or made where there is none, with a link home."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from urllib.parse import quote

from bench.errors import ResultsError
from bench.report import report_text
from bench.report.index import PAGE, Entry, Unread, describe

MANIFEST = "manifest.json"
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
HOME = '<p class="note"><a href="{}">All reports</a></p>\n'


@dataclass(frozen=True)
class Report:
    """A report: its folder's path in the site, its pages by their path from there, and what the list says of it."""

    source: Path
    path: str
    pages: dict[str, str]
    entry: Entry | Unread


def found_below(folder: Path) -> list[Path]:
    """Every folder below that holds a page or results, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return [each for each in sorted(folder.iterdir()) if (each / PAGE).is_file() or (each / MANIFEST).is_file()]


def read_reports(folders: Sequence[Path]) -> tuple[Report, ...]:
    """The reports of these folders.

    Raises:
        ResultsError: a folder holds neither a page nor results, or cannot be read; or two have one name.
    """
    reports: dict[str, Report] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in reports:
            raise ResultsError(
                f"{folder} and {reports[name].source} have one name, and a site has room for one: rename a folder."
            )
        reports[name] = _read(folder, name)
    return tuple(reports.values())


def _read(folder: Path, name: str) -> Report:
    if not (folder / PAGE).is_file() and not (folder / MANIFEST).is_file():
        raise ResultsError(f"{folder}: no report, for it holds neither {PAGE} nor {MANIFEST}. Name a results folder.")
    try:
        page = (folder / PAGE).read_text("utf-8") if (folder / PAGE).is_file() else report_text(folder)
        runs = {f"runs/{each.name}": each.read_text("utf-8") for each in sorted(folder.glob("runs/*.html"))}
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{folder}: the report cannot be read ({error}).") from error
    entry = describe(folder, page) if (folder / MANIFEST).is_file() else Unread("", _title(page) or name, "")
    path, pages = f"reports/{name}", {PAGE: _linked(page), **runs}
    return Report(folder, path, pages, replace(entry, href=f"reports/{quote(name)}/{PAGE}"))


def _title(page: str) -> str:
    found = TITLE.search(page)
    return unescape(found[1]).strip() if found else ""


def _linked(page: str) -> str:
    """The page with a link to the site's first page above its heading; one without a header stays as it is."""
    return page.replace("<header>\n", f"<header>\n{HOME.format(f'../../{PAGE}')}", 1)


def texts(reports: Sequence[Report]) -> Iterator[tuple[str, str]]:
    """Every page with its path in the site."""
    for report in reports:
        yield from ((f"{report.path}/{name}", page) for name, page in report.pages.items())
