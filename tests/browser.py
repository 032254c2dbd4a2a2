"""The report in chromium: reports made by formula, and pages that are opened without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.analysis import judge
from bench.report import build_page, render
from tests.cohorts import claim_text, suite_text
from tests.dry_results import dry_results

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "there is no chromium here; `make browser` installs it"

# Of 32 runs some learn, deep sigmoids vanish, and linear layers that explode diverge unless they are clipped.
MIXED = suite_text(
    "mixed", "Which of these networks vanish, explode or learn?", 2, {"steps": 60},
    depth=[4, 30], activation=["linear", "sigmoid"], initializer=["orthogonal", {"level": "orthogonal", "gain": 1.5}],
    clipping=["none", "global_norm"],
)  # fmt: skip

# Claims that are supported, refuted and inconclusive; the last has two parts, of which one has two sides.
VANISH = """
number = { response = "signal_ratio_start" }
where = { depth = 30, activation = "sigmoid", clipping = "none" }
statistic = "each"
most = -5.0
"""
SHALLOW = """
number = { response = "signal_ratio_start" }
where = { depth = 4 }
least = 3.0
"""
PARTS = """
number = { response = "signal_ratio_start" }
where = { depth = 30 }
least = 0.5
all = [
  { name = "sides", of = { activation = "linear" }, against = { activation = "sigmoid" } },
  { name = "alone", number = { column = "loss", table = "evaluations", below = 1e-9 }, least = 500.0 },
]
"""
CLAIMS = "".join([
    claim_text("vanish", VANISH, "The signal of deep sigmoid networks vanishes on its way back."),
    claim_text("shallow", SHALLOW, "Shallow networks explode."),
    claim_text("parts", PARTS, "Deep linear networks keep more of their signal than sigmoid ones, and learn late."),
])  # fmt: skip
CLAIMING = MIXED.replace("replicates = 2", "replicates = 3") + CLAIMS

MANY = suite_text(
    "many", "Does a page of ten thousand runs react?", 200, {"steps": 2},
    depth=[1, 4], activation=["sigmoid", "relu", "tanh", "elu", "selu"],
    initializer=["glorot_uniform", "he_normal", "zeros", "lecun_normal", "orthogonal"],
)  # fmt: skip

HOSTILE = """<img src=x onerror="document.title='run'">"""


def twin(*values: object) -> Any:
    """A case of one kind with another: `make full-test` tries it too, `make browser-test` does not."""
    return pytest.param(*values, id=f"twin-{'-'.join(map(str, values))}")


@dataclass(frozen=True)
class Report:
    """A report's file, the tables behind it, and one row per run with its responses and verdicts."""

    path: Path
    tables: dict[str, pd.DataFrame]
    judged: pd.DataFrame

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def run(self, **levels: Any) -> pd.Series:
        """The first run that has these levels."""
        found = self.judged
        for name, level in levels.items():
            found = found[found[name] == level]
        return found.iloc[0]

    def counts(self, rows: pd.DataFrame) -> str:
        """What the explorer says of these of its runs."""
        cells, of_cells = rows["cell_key"].nunique(), self.judged["cell_key"].nunique()
        learned = int((rows["outcome"] == "learned").sum())
        return (
            f"{cells:,} of {of_cells:,} cells, {len(rows):,} of {len(self.judged):,} runs; "
            f"{learned:,} of these runs learned."
        )


def _report(folder: Path, suite: str, hostile: bool = False) -> Report:
    results = dry_results(suite)
    tables = dict(results.tables)
    if hostile:
        runs = tables["runs"]
        tables["runs"] = runs.assign(activation=runs["activation"].replace("sigmoid", HOSTILE))
    path = folder / "index.html"
    path.write_text(render(build_page(tables, results.manifest)), "utf-8")
    return Report(path, tables, judge(tables))


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _report(tmp_path_factory.mktemp("mixed"), MIXED)


@pytest.fixture(scope="session")
def claiming(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _report(tmp_path_factory.mktemp("claiming"), CLAIMING)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _report(tmp_path_factory.mktemp("hostile"), MIXED, hostile=True)


@pytest.fixture(scope="session", params=[12, pytest.param(200, marks=pytest.mark.full)], ids=["600", "10000"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Hundreds of runs, and with `make full-test` ten thousand."""
    return _report(tmp_path_factory.mktemp("many"), MANY.replace("replicates = 200", f"replicates = {request.param}"))


# A module's browser ends with it: Playwright keeps an event loop running, which other tests must not meet.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("GRADTRIAL_BROWSER") == "required":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:  # launch() gives each browser a user data folder of its own, and removes it
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens a report, offline, and waits for its explorer; what the page asked for or logged fails the test."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []

    def opened(report: Report, address: str = "", width: int = 1200, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 1000}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda request: _asked(request.url, report, heard))
        page.goto(report.url + address)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-explorer=ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


def _asked(url: str, report: Report, heard: list[str]) -> None:
    if url.partition("#")[0] != report.url and not url.startswith(("data:", "blob:")):
        heard.append(f"request: {url[:200]}")


def cells_shown(page: Page) -> list[list[str]]:
    """The texts of the table of cells as it stands, row by row."""
    rows: list[list[str]] = page.eval_on_selector_all(
        "#cells tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows


def mark_at(page: Page) -> tuple[float, float]:
    """Where a mark of the scatter stands in the window: the first pixel in a colour that no text has."""
    page.locator("#scatter").scroll_into_view_if_needed()
    x, y = page.evaluate(
        """() => {
          const canvas = document.querySelector("#scatter canvas"), box = canvas.getBoundingClientRect();
          const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          for (let y = 60; y < height; y++) for (let x = 50; x < width; x++) {
            const rgb = data.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
            if (Math.max(...rgb) - Math.min(...rgb) > 110)
              return [box.left + (x + 2) * box.width / width, box.top + (y + 3) * box.height / height];
          }
        }"""
    )
    return float(x), float(y)
