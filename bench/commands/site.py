"""`bench site`: reports, docs and reference results as a folder that any pages host can serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import SuiteError
from bench.site import DOCS, Asked, build, found_below, parts_without, refuse, write
from bench.text import listed, plural

REPORTS = Path("reports")


def make_site(folder: Path, reports: Sequence[Path], docs: Path | None, without: Sequence[str], title: str) -> None:
    """Write a site into a folder and print what is in it.

    Raises:
        SuiteError: an option is none, or nothing is left to show.
        ResultsError: the folder is not a site's to write into, or a source cannot be read.
        BrokenLink: a link leads nowhere.
    """
    parts = parts_without(without)
    shown = (list(reports) or found_below(REPORTS)) if "reports" in parts else []
    found = docs or (DOCS if DOCS.is_dir() else None)
    asked = Asked(shown, found if "docs" in parts else None, "reference" in parts, title)
    if not (asked.reports or asked.docs or asked.reference):
        raise SuiteError("bench site: nothing is left to show. Name a results folder with --report, or leave less out.")
    refuse(folder, [*asked.reports, *([asked.docs] if asked.docs else [])])
    site = build(asked)
    write(folder, site.files)
    told = [plural(site.reports, "report"), plural(site.docs, "page") + " of docs"]
    told.append(plural(site.references, "suite") + " of reference results")
    print(f"{folder / 'index.html'}: {listed(told)}; {sum(map(len, site.files.values())) / 1e6:.1f} MB")
    if not site.docs and "docs" in parts:
        print("An installed package has no docs: --docs FOLDER names some.")
