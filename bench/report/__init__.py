"""The report: a results folder's tables as one HTML file that opens offline, and a page for a run of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.analysis.tables import words_of_python
from bench.errors import ResultsError, SuiteError
from bench.factors import OWN
from bench.report.blocks import Page
from bench.report.compare_page import COMPARED, compare_page
from bench.report.compared import Compared
from bench.report.figures import write_figures
from bench.report.frames import Frames, read_frames
from bench.report.head import Head
from bench.report.index import HEAD_WITHIN, write_index
from bench.report.own_causes import Seen, explained, known_to_help
from bench.report.own_page import own_page
from bench.report.page import SECTIONS, build_page, page_of
from bench.report.render import draw_figures, render
from bench.report.run_page import run_page
from bench.results import find_run, last_run, read_facts, read_manifest, read_run
from bench.results.files import write_atomically

__all__ = [
    "SECTIONS",
    "Seen",
    "build_page",
    "dump_report",
    "explained",
    "is_page",
    "known_to_help",
    "render",
    "report_text",
    "write_comparison",
    "write_index",
    "write_report",
    "write_run",
]

PAGE = "index.html"


def write_report(folder: Path, figures: Path | None = None) -> Path:
    """Write `index.html` into a results folder, list it in the folder above (`write_index`) and return its path.

    Args:
        folder: the results.
        figures: a folder that gets each figure of the page as SVG, PNG and CSV; see `figures.write_figures`.

    Raises:
        ResultsError: there are no results, they cannot be read, or a folder cannot be written to.
    """
    page = _page(folder)
    drawn = draw_figures(page)
    path = _write(folder / PAGE, render(page, drawn))
    write_index(folder)
    if figures is not None:
        write_figures(page, drawn, figures)
    return path


@words_of_python()
def write_run(folder: Path, given: str, path: Path | None = None) -> Path:
    """Write the page of a run, which links to the report where there is one, and return its path.

    Args:
        folder: the results.
        given: the run's name, or its beginning.
        path: where to; `runs/<run_id>.html` in the folder if not given.

    Raises:
        ResultsError: there are no results, they cannot be read, no run of that name, or another file than a page is
            there.
    """
    run_id, cohort = find_run(folder, given)
    path = path or folder / "runs" / f"{run_id}.html"
    if path.exists() and not is_page(path):
        raise ResultsError(f"{path}: is no page of gradtrial's, and is left as it is. Name another file.")
    home = ""
    if (folder / PAGE).is_file():
        home = quote(Path(os.path.relpath(folder / PAGE, path.parent)).as_posix())
    frames, own = _frames(folder), read_run(folder, run_id, cohort)
    if frames.manifest.suite == OWN:
        return _write(path, render(own_page(frames, own, read_facts(folder, run_id), run_id, home)))
    return _write(path, render(run_page(frames, own, run_id, home)))


def is_page(path: Path) -> bool:
    """Whether a file that is there is a page of gradtrial's, and no other's."""
    return path.is_file() and bool(Head.read(path.read_text("utf-8", "replace")[:HEAD_WITHIN]).headline)


def write_comparison(compared: Compared, path: Path) -> Path:
    """Write the page of a comparison, to a file or as `index.html` into a folder, and return its path.

    Raises:
        ResultsError: it cannot be written, or it would replace what is no page of a comparison.
    """
    path = path if path.suffix == ".html" else path / PAGE
    if path.exists() and not (path.is_file() and COMPARED in path.read_text("utf-8", "replace")[:HEAD_WITHIN]):
        raise ResultsError(f"{path}: is no page of a comparison, and is left as it is. Name another file.")
    return _write(path, render(compare_page(compared)))


def _write(path: Path, html: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, html.encode())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written to ({error.strerror or error}).") from error
    return path


def report_text(folder: Path) -> str:
    """The page of a results folder, written nowhere.

    Raises:
        ResultsError: there are no results, or they cannot be read.
    """
    return render(_page(folder))


def dump_report(folder: Path) -> dict[str, Any]:
    """The page's view data as plain dictionaries and lists.

    Raises:
        ResultsError: there are no results, or they cannot be read.
    """
    return _page(folder).as_data()


@words_of_python()
def _page(folder: Path) -> Page:
    with _named(folder):
        frames = _frames(folder)
        if frames.manifest.suite != OWN:
            return page_of(frames)
        run_id, cohort = find_run(folder, last_run(folder))
        return own_page(frames, read_run(folder, run_id, cohort), read_facts(folder, run_id), run_id)


def _frames(folder: Path) -> Frames:
    with _named(folder):
        return read_frames(folder, read_manifest(folder))


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Say which manifest holds what the suite got wrong: its [verdicts] or [report]."""
    try:
        yield
    except SuiteError as error:
        raise ResultsError(f"{folder / 'manifest.json'}: {error}") from error
