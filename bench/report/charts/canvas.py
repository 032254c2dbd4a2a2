"""What every chart shares: a figure without a background, colours that follow the page's theme, SVG with a text.

Ink, muted and grid colours are drawn as fixed substitutes and replaced by CSS variables, so that one SVG reads well in
a light and in a dark page; so are the series colours, the Okabe-Ito set, told apart with any colour vision. Each series
has a dash pattern of its own as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, GRID = "#010203", "#040506", "#070809"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(SERIES)
}
PART = re.compile(r"\(?[^\s(,=_-]*[\s,=_-]*")  # of a name, with what ends it: `random_`, `normal`, `(stddev=`, `0.3)`
DASHES = ((), (4, 1.5), (1, 1.2), (5, 1.5, 1, 1.5), (7, 2), (2, 1), (6, 1, 1, 1, 1, 1), (3, 3))
MARKERS = ("o", "s", "^", "v", "P", "X", "<", ">")  # of the series, where they are points
GLYPHS = "●■▲▼✚✖◀▶"  # the same in a legend

SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gradtrial",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True)
class Drawing:
    """An SVG element and what it shows, in a sentence for those who do not see it."""

    svg: str
    text: str


@contextmanager
def canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of that many inches with one pair of axes, in the page's style."""
    with mpl.rc_context({**sns.axes_style("whitegrid"), **SETTINGS}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def stacked(width: float, heights: Sequence[float]) -> Iterator[tuple[Figure, list[Axes]]]:
    """The same with axes of these heights, in inches, one below the other."""
    with mpl.rc_context({**sns.axes_style("whitegrid"), **SETTINGS}):
        figure = Figure(figsize=(width, sum(heights)), layout="constrained")
        yield figure, list(figure.subplots(len(heights), height_ratios=list(heights), squeeze=False)[:, 0])


def broken(label: str, room: int = 20, most: int = 3) -> str:
    """A level's name in lines of at most `room` characters, broken where its parts meet; what is left over is `…`.

    Text outside the axes takes their room: a name of any length would leave none.
    """
    lines = [""]
    for part in PART.findall(label):
        for start in range(0, len(part), room):
            piece = part[start : start + room]
            if len(lines[-1]) + len(piece.rstrip()) > room:
                lines.append("")
            lines[-1] += piece
    lines = [line.strip() for line in lines]
    return "\n".join(lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][: room - 1] + "…"])


def finish(figure: Figure, text: str) -> Drawing:
    """The figure as an inline SVG with `text` as its alternative."""
    buffer = io.StringIO()
    # As `savefig`, which would draw everything once more before to know a box that nobody asks for.
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for placeholder, variable in VARIABLES.items():
        svg = svg.replace(placeholder, variable)
    opening = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>')
    return Drawing(opening.sub(lambda m: _opening(m.group(1), text), _compact(svg), count=1), text)


def _opening(view_box: str, text: str) -> str:
    label = escape(text, quote=True)
    what = f'role="img" aria-label="{label}" font-family="sans-serif"'
    return f'<svg viewBox="{view_box}" {what} xmlns:xlink="http://www.w3.org/1999/xlink">'


def _compact(svg: str) -> str:
    """Without comments and line breaks, with coordinates to a tenth of a point."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: _plainly(tag.group()), svg)  # never in a label
    return re.sub(r">\s+<", "><", svg).strip()


def _plainly(tag: str) -> str:
    """A tag of short numbers, without its root's font, turns by nothing, and spaces about a path's commands."""
    tag = re.sub(r"(\d+\.\d)\d+", r"\1", tag)
    tag = re.sub(r' font-family: [^;"]*;| transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"\s*([MLCQz])\s*", r"\1", path[0]), tag)


def unique(svg: str, prefix: str) -> str:
    """The SVG with every id that it uses prefixed, and no other, so that many of them share a page."""
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda each: f' id="{prefix}-{each[1]}"' if each[1] in used else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
