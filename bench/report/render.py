"""From view data to the one HTML file."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bench.report.bundles import table_script, table_style, vega_script
from bench.report.charts import CHARTS
from bench.report.charts.canvas import DASHES, SERIES, VARIABLES, unique
from bench.report.charts.heatmap import colour_bar
from bench.report.explorer import Explorer
from bench.report.explorer_charts import specifications
from bench.report.view import ChartGroup, Page

WIDE_LEVELS = 5


@dataclass(frozen=True)
class DrawnPanel:
    """A panel's title and its SVG."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class DrawnGroup:
    """A chart group ready for the template: `legend` pairs a series with a small SVG of its line."""

    key: str
    title: str
    panels: tuple[DrawnPanel, ...]
    legend_title: str
    legend: tuple[tuple[str, Markup], ...]
    captions: tuple[str, ...]
    kind: str
    bar: Markup  # of colours, where they are a scale
    wide: bool  # panels with many levels across need more room


def render(page: Page) -> str:
    """The page as HTML; the same page gives the same text."""
    groups = [group for group in page.chart_groups() if group is not None]
    drawn = {group.key: draw_group(group) for group in groups}
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            charts=drawn,
            style=Markup(table_style() + _template("page.css")),
            scripts=_scripts(page.explorer, groups),
        )
    )


def _template(name: str) -> str:
    return resources.files("bench.report").joinpath(f"templates/{name}").read_text("utf-8")


def _scripts(explorer: Explorer, groups: Sequence[ChartGroup]) -> dict[str, Markup]:
    """What the explorer needs, each ready to stand in a <script> element."""
    charts = json.dumps(specifications(explorer.data["factors"]), separators=(",", ":"))
    data = json.dumps(explorer.data, separators=(",", ":"), allow_nan=False)
    found = {
        "vega": vega_script(),
        "table": table_script(),
        "explorer": _template("blobs.js") + _template("explorer.js"),
        "downloads": _template("blobs.js") + _template("downloads.js"),
        "figures": packed(json.dumps({group.key: csv(group) for group in groups}).encode()),
        "charts": charts.replace("<", "\\u003c"),
        "data": packed(data.encode()),
        "traces": packed(explorer.traces.values.astype("<i2").tobytes()),
    }
    return {name: Markup(text) for name, text in found.items()}


def csv(group: ChartGroup) -> str:
    """The rows that a group of charts draws, with the panel that each belongs to."""
    panels = [panel.rows.assign(panel=panel.title) for panel in group.panels]
    return pd.concat(panels, ignore_index=True).to_csv(index=False, float_format="%.6g") if panels else ""


def packed(data: bytes) -> str:
    """Gzip in base64, the same for the same bytes."""
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode("ascii")


@cache
def environment() -> Environment:
    """Where the page's templates are found; what they show is escaped."""
    return Environment(
        loader=PackageLoader("bench.report"), autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def draw_group(group: ChartGroup) -> DrawnGroup:
    """Draw every panel of a group."""
    panels = []
    for index, panel in enumerate(group.panels):
        drawing = CHARTS[group.kind](panel, group.scale)
        panels.append(DrawnPanel(panel.title, Markup(unique(drawing.svg, f"{group.key}-{index}"))))
    wide = len(group.scale.x_levels) > WIDE_LEVELS
    legend = tuple((series, _swatch(k)) for k, series in enumerate(group.scale.series)) if group.legend_title else ()
    bar = Markup(unique(colour_bar(group.scale).svg, f"{group.key}-bar")) if group.kind == "heatmap" else Markup("")
    return DrawnGroup(
        group.key, group.title, tuple(panels), group.legend_title, legend, group.captions, group.kind, bar, wide
    )


def _swatch(index: int) -> Markup:
    dash = ",".join(str(2 * part) for part in DASHES[index % len(DASHES)]) or "none"
    colour = VARIABLES[SERIES[index % len(SERIES)]]
    line = '<svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true"><path d="M0 4H28" stroke="{}"'
    return Markup(line + ' stroke-width="2.5" stroke-dasharray="{}" fill="none"/></svg>').format(colour, dash)


def as_data(page: Page) -> dict[str, Any]:
    """The view data as plain dictionaries and lists, for JSON."""
    return {name: _plain(value) for name, value in asdict(page).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        clean = value.astype(object).where(value.notna(), None)
        return [{k: _plain(v) for k, v in row.items()} for row in clean.to_dict("records")]
    if isinstance(value, np.ndarray):
        return {"numbers": value.size}  # curves: the tables hold them better
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
