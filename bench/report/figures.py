"""A page's figures as files: each as it would stand in a paper, on white, as SVG and as PNG, with the rows it draws.

The panels are those of the page, with the colours of its light theme written into them instead of CSS variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from math import ceil
from pathlib import Path

import matplotlib as mpl
import vl_convert
from markupsafe import escape
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from bench.errors import ResultsError
from bench.report.blocks import Figure, Page
from bench.report.render import DrawnFigure, DrawnPanel, csv
from bench.report.sections.claims import Claims
from bench.results.files import write_atomically

WIDTH, MARGIN, GAP = 518.0, 8.0, 12.0  # points: 7.2 inches, two columns of a journal
SMALLEST, LARGEST = 0.7, 1.3  # of a panel, beside its size on the canvas
BAR = 0.6  # of the width, for a bar of colours
INCH, DPI = 72.0, 300.0
FONTS = "'DejaVu Sans', Arial, sans-serif"
COLOUR = re.compile(r"(--[\w-]+): (#[0-9a-f]{3,6})")
BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
GLYPH = re.compile(r'<span style="color: (.*?)">(.*?)</span>')


@dataclass
class Sheet:
    """What stands on a figure, from the top, and how far down that is."""

    parts: list[str]
    y: float = MARGIN

    def text(self, said: str, size: float, *, bold: bool = False, muted: bool = False) -> None:
        """A paragraph as wide as the figure."""
        face = f'font-weight="{600 if bold else 400}" fill="var({"--muted" if muted else "--ink"})"'
        for line in wrapped(said, size, WIDTH - 2 * MARGIN, bold=bold):
            self.y += 1.3 * size
            self.parts.append(f'<text x="{MARGIN}" y="{self.y:.1f}" font-size="{size}" {face}>{escape(line)}</text>')

    def place(self, svg: str, x: float, y: float, width: float, height: float) -> None:
        """A drawing of the page in a box."""
        opening, rest = str(svg).split(">", 1)
        where = f'<svg x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        self.parts.append(re.sub(r' (?:width|height)="[^"]*"', "", opening).replace("<svg ", where, 1) + ">" + rest)


def write_figures(page: Page, drawn: Mapping[str, DrawnFigure], folder: Path) -> list[Path]:
    """Write each figure of a page as SVG, PNG and CSV; files of these names are replaced, others left.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    written = []
    vl_convert.register_font_directory(str(Path(mpl.get_data_path()) / "fonts" / "ttf"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in named(page):
            svg = composed(drawn[figure.key], figure, page)
            contents = {"svg": svg.encode(), "png": _png(svg), "csv": csv(figure).encode()}
            for kind, content in contents.items():
                written.append(folder / f"{name}.{kind}")
                write_atomically(written[-1], content)
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be written to ({error.strerror or error}).") from error
    return written


def named(page: Page) -> Iterator[tuple[str, Figure]]:
    """Each figure with its file's name: chapter and key."""
    for section in page.sections:
        for figure in section.of(Figure):
            whole = figure.key if figure.key.split("-")[0] == section.id else f"{section.id}-{figure.key}"
            yield re.sub(r"[^\w.-]+", "_", whole), figure


def composed(drawn: DrawnFigure, figure: Figure, page: Page) -> str:
    """Title, what is drawn, legend, panels and source, below each other."""
    stated = {
        card.figure.key: f"{card.statement}: {card.verdict}" for claims in page.of(Claims) for card in claims.cards
    }
    title, sheet = stated.get(figure.key, drawn.title), Sheet([])
    sheet.text(title, 11.0, bold=True)
    if drawn.subtitle:
        sheet.text(drawn.subtitle, 9.0, muted=True)
    sheet.y += 4.0
    _legend(sheet, drawn)
    if drawn.bar:
        wide, high = _box(drawn.bar)
        sheet.place(drawn.bar, MARGIN, sheet.y, BAR * WIDTH, BAR * WIDTH * high / wide)
        sheet.y += BAR * WIDTH * high / wide + 4.0
    strips = [(strip, list(panels)) for strip, panels in groupby(drawn.panels, key=lambda panel: panel.strip)]
    across = _across(drawn.panels, figure.columns, max(len(panels) for _, panels in strips)) if strips else 1
    for strip, panels in strips:
        if strip:
            sheet.text(strip, 9.0, bold=True, muted=True)
            sheet.y += 3.0
        _panels(sheet, panels, across)
    for remark in (*drawn.captions, f"{drawn.source} gradtrial, suite {page.suite}.".strip()):
        sheet.text(remark, 7.5, muted=True)
    height = sheet.y + MARGIN
    size = f'width="{WIDTH / INCH:g}in" height="{height / INCH:.3f}in" viewBox="0 0 {WIDTH:g} {height:.1f}"'
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    opening = f'<svg {names} {size} font-family="{FONTS}"><title>{escape(title)}</title>'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return coloured(f"{opening}{ground}{''.join(sheet.parts)}</svg>\n")


def _legend(sheet: Sheet, drawn: DrawnFigure) -> None:
    x, size = MARGIN, 9.0
    if not drawn.legend:
        return
    sheet.y += 1.3 * size
    for name, swatch in (("", ""), *drawn.legend):
        said = name or f"{drawn.legend_title}:"
        wide = 22.0 if swatch else 0.0
        room = wide + _width(said, size)
        if x + room > WIDTH - MARGIN:
            x, sheet.y = MARGIN, sheet.y + 1.4 * size
        glyph = GLYPH.search(str(swatch))
        if glyph:
            face = f'font-size="{size}" fill="{glyph[1]}"'
            sheet.parts.append(f'<text x="{x + 6:.1f}" y="{sheet.y:.1f}" {face}>{glyph[2]}</text>')
        elif swatch:
            across, down = _box(str(swatch))
            sheet.place(str(swatch), x, sheet.y - 7.0, 18.0, 18.0 * down / across)
        ink = "--ink" if name else "--muted"
        sheet.parts.append(
            f'<text x="{x + wide:.1f}" y="{sheet.y:.1f}" font-size="{size}" fill="var({ink})">{escape(said)}</text>'
        )
        x += room + 12.0
    sheet.y += 6.0


def _across(panels: Sequence[DrawnPanel], columns: int, most: int) -> int:
    """How many columns: the figure's own where they fit, else so many that its rows are broken evenly."""
    widest = max(_box(panel.svg)[0] for panel in panels)
    fit = max(1, int((WIDTH - 2.0 * MARGIN + GAP) // (SMALLEST * widest + GAP)))
    wanted = min(columns if columns > 1 else fit, most)
    return ceil(wanted / ceil(wanted / fit))


def _panels(sheet: Sheet, panels: list[DrawnPanel], across: int) -> None:
    """Panels in rows of equal columns, each as large as its column, within bounds."""
    column = (WIDTH - 2.0 * MARGIN - (across - 1) * GAP) / across
    scale = min(column / max(_box(panel.svg)[0] for panel in panels), LARGEST)
    for start in range(0, len(panels), across):
        row = panels[start : start + across]
        titles = [list(wrapped(panel.title, 8.5, column, bold=True)) for panel in row]
        head = 11.0 * max(map(len, titles))
        heights = [scale * _box(panel.svg)[1] for panel in row]
        for place, (panel, lines, height) in enumerate(zip(row, titles, heights, strict=True)):
            x = MARGIN + place * (column + GAP)
            for k, line in enumerate(lines):
                y = sheet.y + 9.0 + 11.0 * k
                face = 'font-size="8.5" font-weight="600" fill="var(--ink)"'
                sheet.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {face}>{escape(line)}</text>')
            sheet.place(panel.svg, x, sheet.y + head + 2.0, scale * _box(panel.svg)[0], height)
        sheet.y += head + max(heights) + 8.0


def wrapped(text: str, size: float, room: float, *, bold: bool = False) -> Iterator[str]:
    """Lines that fit; a word that does not stands alone."""
    line = ""
    for word in text.split():
        if line and _width(f"{line} {word}", size, bold=bold) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line


@cache
def _width(text: str, size: float, *, bold: bool = False) -> float:
    face = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    wide, _, _ = text_to_path.get_text_width_height_descent(text, face, ismath=False)
    return float(wide)


def _box(svg: str) -> tuple[float, float]:
    found = BOX.search(svg)
    return (float(found[1]), float(found[2])) if found else (1.0, 1.0)


@cache
def light() -> dict[str, str]:
    """The page's colours on white, by their variables."""
    style = resources.files("bench.report").joinpath("templates/page.css").read_text("utf-8")
    return dict(COLOUR.findall(style.partition("}")[0]))


def coloured(svg: str) -> str:
    """With the light colours in place of the page's variables."""
    return re.sub(r"var\((--[\w-]+)\)", lambda found: light()[found[1]], svg)


def _png(svg: str) -> bytes:
    return bytes(vl_convert.svg_to_png(svg, scale=DPI / 96.0, ppi=INCH))  # a pixel of SVG is a 96th of an inch
