"""The report: a results folder's tables as one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import ResultsError, SuiteError
from bench.report.blocks import Page
from bench.report.frames import read_frames
from bench.report.index import write_index
from bench.report.page import SECTIONS, build_page, page_of
from bench.report.render import render
from bench.results import read_manifest
from bench.results.files import write_atomically

__all__ = ["SECTIONS", "build_page", "dump_report", "render", "write_index", "write_report"]


def write_report(folder: Path) -> Path:
    """Write `index.html` into a results folder, list it in the folder above (`write_index`) and return its path.

    Raises:
        ResultsError: there are no results, or they cannot be read.
    """
    html = render(_page(folder))
    path = folder / "index.html"
    try:
        write_atomically(path, html.encode())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written to ({error.strerror or error}).") from error
    write_index(folder)
    return path


def dump_report(folder: Path) -> dict[str, Any]:
    """The page's view data as plain dictionaries and lists.

    Raises:
        ResultsError: there are no results, or they cannot be read.
    """
    return _page(folder).as_data()


def _page(folder: Path) -> Page:
    manifest = read_manifest(folder)
    try:
        return page_of(read_frames(folder, manifest))
    except SuiteError as error:  # of its [verdicts]
        raise ResultsError(f"{folder / 'manifest.json'}: {error}") from error
