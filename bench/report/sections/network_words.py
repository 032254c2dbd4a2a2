"""Networks of one architecture in words: the factors that vary among their runs, and their levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.analysis.parts import depth_unit
from bench.analysis.through_time import AFTER_START
from bench.report.axes import Axis
from bench.report.blocks import Sentence
from bench.report.frames import Frames
from bench.schema import RunStatus
from bench.text import integer, of

MOST_WORDS = 25


def of_architecture(frames: Frames, name: str) -> pd.DataFrame:
    """The labelled runs of networks of an architecture, by its name without settings."""
    own = frames.plain["architecture"].astype(str).str.partition("(")[0] == name
    return frames.labelled[own.to_numpy(bool)]


def learned_sentence(runs: pd.DataFrame, which: str) -> Sentence:
    """How many of these runs learned, where a chapter has nothing else to open with."""
    hits, lost = int((runs["outcome"] == "learned").sum()), int((runs["status"] != RunStatus.COMPLETED).sum())
    said = f"{of(hits, len(runs), 'run')} {which} learned, {integer(lost)} lost."
    return Sentence(said, "a lost run did not learn")


def varying(frames: Frames, runs: pd.DataFrame, without: Sequence[str] = ()) -> list[Axis]:
    """The axes of the suite along which some of its runs differ, with the words that fit these runs."""
    unit = depth_unit(runs)
    return [
        replace(axis, unit=unit)
        for axis in frames.axes
        if axis.factor not in without and runs[axis.factor].astype(str).nunique() > 1
    ]


def at_start(axes: Sequence[Axis]) -> list[Axis]:
    """Those on which a network's first gradient depends by more than the draw of its batch."""
    return [axis for axis in axes if axis.factor not in (*AFTER_START, "batch_size")]


def words_of(levels: Mapping[str, object], axes: Sequence[Axis], absent: bool = False) -> str:
    """`batch normalization, 56 layers`: without what is absent, unless that is asked for or nothing else is left."""
    said = [
        (level, axis.change(level).replace("(", " (")) for axis in axes for level in (str(levels[axis.factor]),)
    ]  # a long name may break before its settings
    kept = [words for level, words in said if absent or level != "none"]
    return ", ".join(kept or [words for _, words in said])


def shortest(texts: Sequence[str]) -> str:
    """The first text of at most 25 words; else the last."""
    return next((text for text in texts if len(text.split()) <= MOST_WORDS), texts[-1])
