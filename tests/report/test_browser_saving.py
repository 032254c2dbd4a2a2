"""What the buttons under the charts save: pictures that stand alone, and the rows that are drawn."""

from __future__ import annotations

import io
import math
import struct
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from bench.report.blocks import Figure
from bench.report.render import csv
from tests.browser import CLAIMING, Report, Visit, twin
from tests.cohorts import of_run
from tests.report.pages import page as page_of

pytestmark = pytest.mark.full  # a browser takes minutes

SVG = "{http://www.w3.org/2000/svg}"
LIVE = ["scatter", "run-heatmap", "run-loss", "run-accuracy"]


@pytest.fixture(scope="module")
def static() -> dict[str, pd.DataFrame]:
    """The rows of one static chart of each kind, by the chart's key."""
    figures = page_of(CLAIMING).of(Figure)
    first = {figure.kind: figure for figure in reversed(figures)}
    return {figure.key: pd.read_csv(io.StringIO(csv(figure))) for figure in first.values()}


def saved(page: Page, chart: str, kind: str) -> bytes:
    """The file that the button of this kind at this chart downloads."""
    row = page.locator(f"#{chart}-downloads" if chart in LIVE else f"#{chart} .downloads")
    with page.expect_download() as waiting:
        row.get_by_text(kind, exact=True).click()
    assert waiting.value.suggested_filename == f"{chart}.{kind.lower()}"
    return waiting.value.path().read_bytes()


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def check_pictures(page: Page, chart: str, box: str) -> None:
    """The SVG stands alone, with a ground and text of its own; the PNG is twice as wide as what is seen."""
    text = saved(page, chart, "SVG").decode()
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert "var(--" not in text
    assert root.find(f"{SVG}rect") is not None
    assert len(list(root.iter(f"{SVG}text"))) + len(list(root.iter(f"{SVG}use"))) > 3
    seen = page.locator(box).bounding_box()
    assert seen is not None
    png = size_of(saved(page, chart, "PNG"))
    assert png[0] == pytest.approx(2 * seen["width"], abs=4)
    assert png[1] == pytest.approx(2 * seen["height"], rel=0.02)
    assert float(root.attrib["width"]) == pytest.approx(seen["width"], abs=2)


def test_static_charts_of_each_kind_are_saved(claiming: Report, visit: Visit, static: dict[str, pd.DataFrame]) -> None:
    assert len(static) >= 4
    for chart, rows in static.items():
        page = visit(claiming)  # anew, for chromium asks before it lets one page save more than ten files
        page.evaluate("id => document.getElementById(id).closest('details')?.setAttribute('open', '')", chart)
        assert rows.equals(pd.read_csv(io.BytesIO(saved(page, chart, "CSV")))), chart
        check_pictures(page, chart, f"#{chart}")


@pytest.mark.parametrize("theme", ["light", twin("dark")])
def test_charts_of_the_explorer_are_saved(claiming: Report, visit: Visit, theme: str) -> None:
    page = visit(claiming, f"#run={claiming.run(outcome='diverged')['run_id']}", color_scheme=theme)
    for chart in LIVE:
        check_pictures(page, chart, f"#{chart} canvas" if chart == "scatter" else f"#{chart} svg")


def test_the_scatter_saves_the_runs_that_it_draws(claiming: Report, visit: Visit) -> None:
    page = visit(claiming, "#where=clipping:none")
    kept = claiming.judged[claiming.judged["clipping"] == "none"].reset_index(drop=True)
    rows = pd.read_csv(io.BytesIO(saved(page, "scatter", "CSV")))
    assert rows["run"].tolist() == kept["run_id"].tolist()
    assert rows["outcome"].tolist() == [each.replace("_", " ") for each in kept["outcome"]]
    for name in ("activation", "initializer"):
        assert rows[name].tolist() == kept[name].tolist()
    np.testing.assert_allclose(rows["x"], kept["signal_ratio_start"], rtol=1e-3)
    np.testing.assert_allclose(rows["y"], kept["final_validation_accuracy"], rtol=1e-3)


def test_a_run_saves_its_rows_of_the_tables(claiming: Report, visit: Visit) -> None:
    run_id = claiming.run(outcome="diverged")["run_id"]
    page = visit(claiming, f"#run={run_id}")
    norms = of_run(claiming.tables, run_id)["gradient_norms"]
    norms = norms[norms["layer_name"] != "head"].sort_values(["layer_index", "step"])
    heat = pd.read_csv(io.BytesIO(saved(page, "run-heatmap", "CSV"))).sort_values(["layer", "step"])
    assert heat[["layer", "step"]].to_numpy().tolist() == norms[["layer_index", "step"]].to_numpy().tolist()
    np.testing.assert_allclose(heat["log10_norm"], np.log10(norms["preactivation_grad_norm"]), atol=0.0051)
    loss = pd.read_csv(io.BytesIO(saved(page, "run-loss", "CSV")))
    losses = of_run(claiming.tables, run_id)["loss_curves"].set_index("step")["loss"]
    losses = losses[losses.map(math.isfinite)]
    np.testing.assert_allclose(loss["loss"], losses[loss["step"]], rtol=0.012)
    accuracy = pd.read_csv(io.BytesIO(saved(page, "run-accuracy", "CSV"))).set_index(["split", "step"])["accuracy"]
    evaluations = of_run(claiming.tables, run_id)["evaluations"].set_index(["split", "step"])["accuracy"]
    np.testing.assert_allclose(accuracy.sort_index(), evaluations.sort_index(), atol=1e-4)
    expect(page.locator("#run")).to_be_visible()
