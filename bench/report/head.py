"""What a page says of itself in its head, so that a list of pages judges nothing again: answer, map and claims."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

from markupsafe import Markup, escape

from bench.report.blocks import Page
from bench.report.sections.answer import First
from bench.report.sections.claims import Claims
from bench.text import of

SAID = re.compile(r'<meta name="grad(?:trial|bench)-(headline|claims|map)" content="([^"<]*)">')

# A tile of the map: the letter in the head, and the colour that the same has on the first screen.
CODES = {"c0": "0", "c1": "1", "c2": "2", "learned": "l", "none": "n", "": "-"}
COLOURS = {"0": "--change-0", "1": "--change-1", "2": "--change-2", "l": "--only-learned", "n": "--no-way"}
BREAK = "."  # between depths
TRAINED = "012"
ROWS = re.compile(r"(?:[012ln-]{1,12}|\.)(?: (?:[012ln-]{1,12}|\.)){0,40}")
WIDE, HIGH, GAP = 22, 9, 2


@dataclass(frozen=True)
class Head:
    """Ready text; "" of what a page has not.

    Attributes:
        headline: its answer.
        claims: how many came out how.
        map: the rows of the first screen's map, a letter a tile (`CODES`), `.` between depths.
    """

    headline: str = ""
    claims: str = ""
    map: str = ""

    @classmethod
    def of(cls, page: Page) -> Head:
        """What a page says."""
        claims = next((claims.summary for claims in page.of(Claims)), "")
        rows: list[str] = []
        for row in next((first.map for first in page.of(First)), ()):
            rows += [BREAK] if row.depth and rows else []
            rows.append("".join(CODES[kind] for _, kind in row.cells))
        return cls(page.headline or page.question, claims, " ".join(rows))

    @classmethod
    def read(cls, text: str) -> Head:
        """What stands at the beginning of a page; a map that is none is left out."""
        said = {name: unescape(content) for name, content in SAID.findall(text)}
        if not ROWS.fullmatch(said.get("map", "")):
            said["map"] = ""
        return cls(**said)

    @property
    def drawn(self) -> Markup:
        """The map as an SVG with a path for each colour."""
        if not self.map:
            return Markup("")
        tiles: dict[str, list[str]] = {code: [] for code in COLOURS}
        y, across = 0, 0
        for row in self.map.split():
            for k, code in enumerate(row if row != BREAK else ""):
                if code in tiles:
                    tiles[code].append(f"M{k * (WIDE + GAP)} {y}h{WIDE}v{HIGH}h-{WIDE}z")
                across = max(across, k + 1)
            y += HIGH // 2 if row == BREAK else HIGH + GAP
        trained, all_tried = (sum(len(tiles[code]) for code in codes) for codes in (TRAINED, COLOURS))
        label = f"Map of the first screen: {of(trained, all_tried)} tiles trained."
        paths = [f'<path fill="var({COLOURS[code]})" d="{"".join(d)}"/>' for code, d in tiles.items() if d]
        size = f'viewBox="0 0 {across * (WIDE + GAP) - GAP} {y - GAP}" width="{across * (WIDE + GAP) - GAP}"'
        return Markup(f'<svg {size} role="img" aria-label="{escape(label)}">{"".join(paths)}</svg>')
