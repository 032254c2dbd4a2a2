"""The page: which sections it has, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module

from bench.analysis import Tables
from bench.report.blocks import (
    NUMBERS,
    Block,
    Figure,
    Fold,
    Lead,
    Page,
    Section,
    Sentences,
    Text,
    blocks_of,
    linked,
    numbers,
)  # fmt: skip
from bench.report.frames import DRAWN, Frames
from bench.report.sections import answer
from bench.results import Manifest
from bench.schema import TABLES

Chapter = Callable[[Frames], Section | None]

# Files of `bench/report/sections/` in the page's order, below the answer. The function `section` of each makes its
# section of the frames, or None where there is nothing to say.
ORDER = (
    "claims", "remedies", "factors", "trainability", "gradients", "through_time", "convolution", "stream", "attention",
    "losses", "divergence", "rules", "theory", "explorer",
    "lesson", "definitions", "suite",
)  # fmt: skip
SECTIONS: tuple[Chapter, ...] = tuple(import_module(f"bench.report.sections.{name}").section for name in ORDER)


def build_page(tables: Tables, manifest: Manifest, sections: Sequence[Chapter] = SECTIONS) -> Page:
    """Everything that the page shows, computed from the tables.

    Raises:
        SuiteError: the suite chose rule sets that are not known.
    """
    return page_of(Frames.of(tables, manifest), sections)


def page_of(frames: Frames, sections: Sequence[Chapter] = SECTIONS) -> Page:
    """The same of runs that are judged.

    Raises:
        KeyError: a section reads a column of a table with layers that `DRAWN` lacks; the message names it.
    """
    manifest = frames.manifest
    found = [linked(folded(section)) for chapter in sections if (section := _made(chapter, frames)) is not None]
    first = linked(answer.section(frames, found))
    return Page(
        suite=manifest.suite,
        title=manifest.heading,
        question=manifest.question.strip(),
        remarks=("These numbers were made by formula, not by training.",) if manifest.dry else (),
        sections=(first, *found),
        headline=next((block.headline for block in first.of(answer.First)), ""),
    )


def folded(section: Section) -> Section:
    """A chapter that is read at a glance: its text and first figure, with all that they rest on folded below.

    Claims fold one by one, the explorer has a form of its own.
    """
    if section.template or section.id == "claims":
        return section
    seen: list[Block] = []
    below: list[Block] = []
    for block in section.blocks:
        first = isinstance(block, Figure) and not any(isinstance(each, Figure) for each in seen)
        said = isinstance(block, Lead | Text | Sentences) and not below
        if isinstance(block, Fold) and block.summary == NUMBERS:
            below += block.blocks
        else:
            (seen if first or said else below).append(block)
    return replace(section, blocks=blocks_of(*seen, numbers(*below)))


def _made(chapter: Chapter, frames: Frames) -> Section | None:
    try:
        return chapter(frames)
    except KeyError as error:
        for table in DRAWN:
            for name in TABLES[table].columns:
                if name not in frames.tables[table] and repr(name) in str(error):
                    raise KeyError(f"{table}.{name} is not read: add it to DRAWN in bench/report/frames.py") from error
        raise
