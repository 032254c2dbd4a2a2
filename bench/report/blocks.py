"""What a section is made of, as plain data: what the template shows and what `--dump` writes. No markup, no drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Block:
    """A part of a section; the template has a macro for each kind."""

    @property
    def block(self) -> str:
        """Its kind, as the template and the dump name it."""
        return type(self).__name__.lower()

    def within(self) -> Sequence[Block]:
        """The blocks that it holds."""
        held: Sequence[Block] = getattr(self, "blocks", ())
        return held


B = TypeVar("B", bound=Block)
NUMBERS = "Show the numbers"  # what every chapter's fold is called


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; `style` is a class of the page's style sheet: note, warning, formula."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Heading(Block):
    """What the blocks after it are about."""

    text: str


@dataclass(frozen=True)
class Code(Block):
    """Lines to be typed or read as they are."""

    text: str


@dataclass(frozen=True)
class Sentence:
    """A statement computed from the tables, and how: which table, which rule, which runs.

    `link` leads to what is behind it: a section, or `#where=...`, the runs in the explorer.
    """

    text: str
    basis: str = ""
    link: str = ""


def based(sentences: Sequence[Sentence], basis: str) -> tuple[Sentence, ...]:
    """Sentences with one basis, said once, after the last of them."""
    return (*sentences[:-1], replace(sentences[-1], basis=basis)) if sentences else ()


@dataclass(frozen=True)
class Sentences(Block):
    """Statements as a list."""

    items: tuple[Sentence, ...]


@dataclass(frozen=True)
class Lead(Block):
    """The one sentence with which a chapter opens."""

    sentence: Sentence


@dataclass(frozen=True)
class Count:
    """A number that stands on its own, with its name and a remark."""

    name: str
    value: int
    remark: str = ""


@dataclass(frozen=True)
class Counts(Block):
    """Numbers side by side."""

    items: tuple[Count, ...]


@dataclass(frozen=True)
class Table(Block):
    """Its caption, column heads and rows of ready text. `numeric` columns are set flush right.

    Without column heads the first cell of each row is its head. `links` say where the first cell of each row leads.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    note: str = ""
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """What panels of a figure share, so that they can be compared."""

    x_label: str
    y_label: str
    x_levels: tuple[str, ...] = ()  # of a categorical axis
    y_levels: tuple[str, ...] = ()
    x_limits: tuple[float, float] = (0.0, 1.0)
    y_limits: tuple[float, float] = (0.0, 1.0)
    series: tuple[str, ...] = ()  # what the colours stand for, in order


@dataclass(frozen=True)
class Panel:
    """One small chart: its title and the frame it draws; its kind and scale where they are not its figure's.

    Panels of one `strip` stand together under it.
    """

    title: str
    rows: pd.DataFrame
    kind: str = ""
    scale: Scale | None = None
    strip: str = ""

    @property
    def name(self) -> str:
        """What tells it from the figure's other panels: its title and its strip."""
        return " · ".join(part for part in (self.title, self.strip) if part)


@dataclass(frozen=True)
class Figure(Block):
    """Small multiples of one kind (see `charts.CHARTS`) on one scale, in as many columns as fit up to `columns`.

    Its title says what is found, `subtitle` what is drawn, `source` which table and rule it comes from.
    """

    key: str
    kind: str
    title: str
    scale: Scale
    panels: tuple[Panel, ...]
    columns: int = 1
    legend_title: str = ""
    captions: tuple[str, ...] = ()
    subtitle: str = ""
    source: str = ""


@dataclass(frozen=True)
class Definition:
    """A word of the page and what it means here; `value` for a threshold, `here` for what the data say of it."""

    name: str
    meaning: str
    value: str = ""
    source: str = ""
    here: str = ""


@dataclass(frozen=True)
class Definitions(Block):
    """Words and what they mean."""

    items: tuple[Definition, ...]


@dataclass(frozen=True)
class Fold(Block):
    """Blocks that are shown on demand; a link to its `id` opens it."""

    summary: str
    blocks: tuple[Block, ...]
    id: str = ""


def numbers(*blocks: Block | None) -> Fold | None:
    """What a chapter's figure and sentence rest on, shown on demand; nothing where there is nothing."""
    held = blocks_of(*blocks)
    return Fold(NUMBERS, held) if held else None


def linked(section: Section) -> Section:
    """The section with a link from each of its sentences: those without one lead to its folded numbers."""
    folds = [block for block in section.blocks if isinstance(block, Fold) and block.summary == NUMBERS]
    place = f"{section.id}-numbers"
    target = f"#{place if folds else section.id}"
    blocks = [replace(block, id=place) if folds and block is folds[0] else block for block in section.blocks]
    short = tuple(_led(each, target) for each in section.short)
    return replace(section, blocks=tuple(_led_all(block, target) for block in blocks), short=short)


def _led(sentence: Sentence, target: str) -> Sentence:
    return sentence if sentence.link else replace(sentence, link=target)


def _led_all(block: Block, target: str) -> Block:
    if isinstance(block, Lead):
        return replace(block, sentence=_led(block.sentence, target))
    if isinstance(block, Sentences):
        return replace(block, items=tuple(_led(each, target) for each in block.items))
    if isinstance(block, Fold | Place):
        return replace(block, blocks=tuple(_led_all(each, target) for each in block.blocks))
    return block


@dataclass(frozen=True)
class Place(Block):
    """Blocks that a link leads to."""

    id: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Section:
    """A chapter of the page.

    Attributes:
        id: where links to it lead.
        title: its heading.
        name: the same in the list of sections, in a word.
        blocks: what it shows, in order.
        short: the most important of it, for the answer.
        template: a file of `templates/` that shows it, where the common one does not do.
    """

    id: str
    title: str
    name: str
    blocks: tuple[Block, ...]
    short: tuple[Sentence, ...] = ()
    template: str = ""

    def of(self, kind: type[B]) -> list[B]:
        """Every block of one kind, in order, those within others too."""
        return [each for each in _all(self.blocks) if isinstance(each, kind)]

    def figure(self, key: str) -> Figure:
        """The figure of that key.

        Raises:
            KeyError: it has none.
        """
        return {figure.key: figure for figure in self.of(Figure)}[key]


@dataclass(frozen=True)
class Page:
    """Everything on the page, in its order.

    Attributes:
        suite, title, question: what it is about.
        remarks: warnings about all of it.
        sections: its chapters.
        headline: its answer.
        home: where the page that it belongs to is; "" where it stands alone.
    """

    suite: str
    title: str
    question: str
    remarks: tuple[str, ...]
    sections: tuple[Section, ...]
    headline: str = ""
    home: str = ""

    def __contains__(self, key: str) -> bool:
        """Whether there is a section of that id."""
        return any(section.id == key for section in self.sections)

    def __getitem__(self, key: str) -> Section:
        """The section of that id.

        Raises:
            KeyError: there is none.
        """
        return {section.id: section for section in self.sections}[key]

    def of(self, kind: type[B]) -> list[B]:
        """Every block of one kind, in the page's order."""
        return [block for section in self.sections for block in section.of(kind)]

    def as_data(self) -> dict[str, Any]:
        """The page as plain dictionaries and lists, for JSON; each block names its kind."""
        found = _plain(asdict(replace(self, sections=())))
        for each in self.sections:
            found["sections"].append({**_plain(asdict(replace(each, blocks=()))), "blocks": _data(each.blocks)})
        return dict(found)


def blocks_of(*blocks: Block | None) -> tuple[Block, ...]:
    """Those that there are."""
    return tuple(block for block in blocks if block is not None)


def sentences(items: Sequence[Sentence]) -> Sentences | None:
    """A list of statements; nothing where there are none."""
    return Sentences(tuple(items)) if items else None


def _all(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        yield from _all(block.within())


def _data(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    found = []
    for block in blocks:
        shallow = replace(block, blocks=()) if isinstance(block, Fold | Place) else block
        data = {"block": block.block, **_plain(asdict(shallow))}
        found.append(data | ({"blocks": _data(block.blocks)} if isinstance(block, Fold | Place) else {}))
    return found


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
    return str(value) if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
