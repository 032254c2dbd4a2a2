"""The page: which sections it has, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis import Tables
from bench.report.blocks import Page, Section
from bench.report.frames import Frames
from bench.report.sections import (
    answer,
    claims,
    definitions,
    divergence,
    explorer,
    factors,
    gradients,
    lesson,
    losses,
    remedies,
    rules,
    suite,
    theory,
    trainability,
)
from bench.results import Manifest

Chapter = Callable[[Frames], Section | None]

# In the page's order, below the answer. Each makes its section of the frames, or None where there is nothing to say.
SECTIONS: tuple[Chapter, ...] = (
    claims.section,
    trainability.section,
    factors.section,
    remedies.section,
    gradients.section,
    theory.section,
    losses.section,
    divergence.section,
    rules.section,
    explorer.section,
    lesson.section,
    definitions.section,
    suite.section,
)


def build_page(tables: Tables, manifest: Manifest, sections: Sequence[Chapter] = SECTIONS) -> Page:
    """Everything that the page shows, computed from the tables.

    Raises:
        SuiteError: the suite chose rule sets that are not known.
    """
    return page_of(Frames.of(tables, manifest), sections)


def page_of(frames: Frames, sections: Sequence[Chapter] = SECTIONS) -> Page:
    """The same of runs that are judged."""
    manifest = frames.manifest
    found = [section for chapter in sections if (section := chapter(frames)) is not None]
    return Page(
        suite=manifest.suite,
        title=manifest.heading,
        question=manifest.question.strip(),
        remarks=("These numbers were made by formula, not by training.",) if manifest.dry else (),
        sections=(answer.section(frames, found), *found),
    )
