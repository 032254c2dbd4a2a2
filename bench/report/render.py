"""From the page's data to the one HTML file, which carries the scripts of others within itself and opens offline.

Vega, Vega-Lite and vega-embed come from vl-convert, DataTables from itables: both pinned in constraints.txt. Each
bundle names its licences in its own text. They stand in the page as gzip in base64, like the explorer's data, and are
run when that opens.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pandas as pd
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from bench.report.blocks import Figure, Page
from bench.report.charts import CHARTS
from bench.report.charts.canvas import DASHES, GLYPHS, SERIES, VARIABLES, unique
from bench.report.charts.claim import thumbnail
from bench.report.charts.heatmap import colour_bar
from bench.report.charts.strip import STYLES, SWATCHES
from bench.report.charts.vega import specifications
from bench.report.head import Head
from bench.report.sections.claims import Claims
from bench.report.sections.explorer import Explorer
from bench.text import integer

WIDE_LEVELS = 5
MAPS = {  # kinds with a bar of colours: what it is labelled, and called in a sentence
    "heatmap": ("gradient norm", "gradient norms"), "lag_map": ("gradient over lag 0's", "gradients over lag 0's"),
    "entropy_map": ("entropy over the largest possible", "shares of the largest entropy"),
    "logit_map": ("largest logit", "largest logits"),
}  # fmt: skip
MARKED = re.compile(r"(`|\*)(.+?)\1")  # `code` and *emphasis* in a paragraph


@dataclass(frozen=True)
class DrawnPanel:
    """A panel's title, its SVG, and what heads it and those after it."""

    title: str
    svg: Markup
    strip: str


@dataclass(frozen=True)
class DrawnFigure:
    """A figure ready for the template: `legend` pairs a series with a small SVG of its line."""

    key: str
    title: str
    panels: tuple[DrawnPanel, ...]
    legend_title: str
    legend: tuple[tuple[str, Markup], ...]
    captions: tuple[str, ...]
    subtitle: str
    source: str
    kind: str
    bar: Markup  # of colours, where they are a scale
    wide: bool  # panels with many levels across need more room
    columns: int


def render(page: Page, drawn: Mapping[str, DrawnFigure] | None = None) -> str:
    """The page as HTML; the same page gives the same text. Its figures are drawn, unless they are given."""
    figures = page.of(Figure)
    drawn = drawn or draw_figures(page)
    style = Markup(_template("page.css"))
    scripts = _scripts(page.of(Explorer), figures)
    thumbs = {
        card.id: Markup(unique(thumbnail(card.figure.panels).svg, f"thumb-{card.id}"))
        for claims in page.of(Claims)
        for card in claims.cards
    }
    head = Head.of(page)
    shown = {"page": page, "charts": drawn, "style": style, "scripts": scripts, "head": head, "thumbs": thumbs}
    return environment().get_template("page.html.j2").render(shown)


def _template(name: str) -> str:
    return resources.files("bench.report").joinpath(f"templates/{name}").read_text("utf-8")


def _scripts(explorers: Sequence[Explorer], figures: Sequence[Figure]) -> dict[str, Markup]:
    """What the page needs, each ready to stand in a <script> element; nothing for an explorer that is not there."""
    found = {
        "downloads": _template("folds.js") + _template("blobs.js") + _template("downloads.js"),
        "figures": packed(json.dumps({figure.key: csv(figure) for figure in figures}).encode()),
    }
    for explorer in explorers[:1]:
        charts = json.dumps(specifications(explorer.data["factors"], explorer.data["unit"]), separators=(",", ":"))
        data = json.dumps(explorer.data, separators=(",", ":"), allow_nan=False)
        found |= {
            "vega": _packed(vega_script),
            "table": _packed(table_script),
            "table_style": packed(table_style().encode()),
            "explorer": _template("blobs.js") + _template("explorer.js"),
            "charts": charts.replace("<", "\\u003c"),
            "data": packed(data.encode()),
            "traces": packed(explorer.traces.packable()),
        }
    return {name: Markup(text) for name, text in found.items()}


def csv(figure: Figure) -> str:
    """The rows that a figure draws, with the panel that each belongs to."""
    panels = [panel.rows.assign(panel=panel.name) for panel in figure.panels]
    return pd.concat(panels, ignore_index=True).to_csv(index=False, float_format="%.6g") if panels else ""


def packed(data: bytes) -> str:
    """Gzip in base64, the same for the same bytes."""
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode("ascii")


@cache
def _packed(script: Callable[[], str]) -> str:
    """A script of others, which is the same on every page."""
    return packed(script().encode())


@cache
def environment() -> Environment:
    """Where the page's templates are found; what they show is escaped."""
    made = Environment(
        loader=PackageLoader("bench.report"), autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"marked": marked, "integer": integer}
    return made


def marked(text: str) -> Markup:
    """Escaped text, with `code` and *emphasis* as elements."""
    names = {"`": "code", "*": "em"}
    return Markup(MARKED.sub(lambda m: f"<{names[m[1]]}>{m[2]}</{names[m[1]]}>", str(escape(text))))


def draw_figures(page: Page) -> dict[str, DrawnFigure]:
    """Every figure of a page, drawn, by its key."""
    return {figure.key: draw_figure(figure) for figure in page.of(Figure)}


def draw_figure(figure: Figure) -> DrawnFigure:
    """Draw every panel of a figure."""
    panels = []
    for index, panel in enumerate(figure.panels):
        drawing = CHARTS[panel.kind or figure.kind](panel, panel.scale or figure.scale)
        panels.append(DrawnPanel(panel.title, Markup(unique(drawing.svg, f"{figure.key}-{index}")), panel.strip))
    wide = len(figure.scale.x_levels) > WIDE_LEVELS
    legend = _legend(figure) if figure.legend_title else ()
    bar = Markup("")
    if figure.kind in MAPS:
        lost, plain = any((panel.rows["lost"] > 0).any() for panel in figure.panels), figure.kind == "entropy_map"
        bar = Markup(unique(colour_bar(figure.scale, lost, *MAPS[figure.kind], plain=plain).svg, f"{figure.key}-bar"))
    return DrawnFigure(
        figure.key, figure.title, tuple(panels), figure.legend_title, legend, figure.captions, figure.subtitle,
        figure.source, figure.kind, bar, wide, figure.columns,
    )  # fmt: skip


def _legend(figure: Figure) -> tuple[tuple[str, Markup], ...]:
    swatch = {"against": _glyph, "forest": _glyph, "events": _glyph, "strip": _box}.get(figure.kind, _swatch)
    return tuple((series, swatch(index)) for index, series in enumerate(figure.scale.series))


def _glyph(index: int) -> Markup:
    colour = VARIABLES[SERIES[index % len(SERIES)]]
    return Markup('<span style="color: {}">{}</span>').format(colour, GLYPHS[index % len(GLYPHS)])


def _box(index: int) -> Markup:
    """A box of a strip chart: its face where it is filled, lines or dots where not."""
    face, edge, _ = STYLES[index]
    path, more = SWATCHES[index]
    painted = f'fill="{VARIABLES[face]}"' if face != "none" else f'fill="none" stroke="{VARIABLES[edge]}" {more}'
    return Markup(
        f'<svg viewBox="0 0 16 10" width="20" height="12" aria-hidden="true"><path d="{path}" {painted}/></svg>'
    )


def _swatch(index: int) -> Markup:
    dash = ",".join(str(2 * part) for part in DASHES[index % len(DASHES)]) or "none"
    colour = VARIABLES[SERIES[index % len(SERIES)]]
    line = '<svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true"><path d="M0 4H28" stroke="{}"'
    return Markup(line + ' stroke-width="2.5" stroke-dasharray="{}" fill="none"/></svg>').format(colour, dash)


@cache
def vega_script() -> str:
    """A module that defines `window.vegaEmbed`."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def table_script() -> str:
    """A module that defines `window.DataTable`.

    Raises:
        ValueError: the bundle no longer names its default export as it did.
    """
    bundle = resources.files("itables").joinpath("html/dt_bundle.js").read_text("utf-8")
    export = re.search(r"export\{([^}]*)\};?", bundle)
    default = re.search(r"([\w$]+) as default", export.group(1)) if export else None
    if not export or not default:
        raise ValueError("itables: html/dt_bundle.js has no default export; its version in constraints.txt changed.")
    return bundle[: export.start()] + f"window.DataTable={default.group(1)};" + bundle[export.end() :]


@cache
def table_style() -> str:
    """The style sheet of DataTables."""
    return resources.files("itables").joinpath("html/dt_bundle.css").read_text("utf-8")
