"""The reference results of a suite as tables: what became of its runs, by level and by cell, with what made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis import Outcome
from bench.analysis.recipes import with_trained
from bench.factors import FACTORS
from bench.reference import Reference
from bench.report.axes import level_label
from bench.text import UNKNOWN, integer, number, plural, spoken

COUNTED = ("runs", "learned", "trained", "diverged", "failed")
MEDIANS = {  # columns and what heads them
    "final_validation_accuracy": "median accuracy",
    "final_validation_loss": "median loss",
    "signal_ratio_start": "median gradient ratio (decades)",
}
NAMES = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "pandas": "pandas",
         "onednn": "oneDNN", "gpus": "GPUs", "memory_gib": "memory (GiB)", "scikit-learn": "scikit-learn"}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """A table: its heads, of which the first `words` are over words and all others over numbers, and its rows."""

    heads: tuple[str, ...]
    words: int
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Shipped:
    """What the page of a suite's reference results shows.

    Attributes:
        made: versions and machine, each with its name.
        every, levels, cells: counts and medians of all runs, by level of each factor that varies, and by cell.
        summary: runs and cells, counted.
        same_file: whether the suite's file is still the one that was trained.
    """

    suite: str
    title: str
    question: str
    made: tuple[tuple[str, str], ...]
    every: Rows
    levels: Rows
    cells: Rows
    summary: str
    same_file: bool


def shipped(reference: Reference, sha256: str) -> Shipped:
    """The tables of a suite's reference results, whose file has this digest today."""
    runs, *_ = with_trained(reference.runs)
    medians = [name for name in MEDIANS if name in runs and runs[name].notna().any()]
    varied = [name for name in FACTORS if name in runs and runs[name].nunique(dropna=False) > 1]
    heads = (*COUNTED, *(MEDIANS[name] for name in medians))
    levels = [
        (spoken(factor), level_label(level), *_numbers(own, medians))
        for factor in varied
        for level, own in runs.groupby(factor, observed=True, dropna=False)
    ]
    cells = [
        (*(level_label(own[name].iloc[0]) for name in varied),
         *_numbers(own, medians))
        for _, own in runs.groupby("cell_key", sort=False)
    ]  # fmt: skip
    return Shipped(
        suite=reference.suite,
        title=reference.title,
        question=reference.question,
        made=tuple(_named(reference.versions)) + tuple(_named(reference.machine)),
        every=Rows(heads, 0, (_numbers(runs, medians),)),
        levels=Rows(("factor", "level", *heads), 2, tuple(levels)),
        cells=Rows((*map(spoken, varied), *heads), len(varied), tuple(cells)),
        summary=f"{plural(len(runs), 'run')} in {plural(len(cells), 'cell')}",
        same_file=reference.sha256 == sha256,
    )


def _numbers(runs: pd.DataFrame, medians: Iterable[str]) -> tuple[str, ...]:
    """A row's counts and medians; lost runs have no number, and are counted beside."""
    counts = (
        len(runs), (runs["outcome"] == Outcome.LEARNED).sum(), runs["trained"].sum(),
        (runs["outcome"] == Outcome.DIVERGED).sum(), (runs["outcome"] == Outcome.FAILED).sum(),
    )  # fmt: skip
    middles = [runs[name].astype(np.float64).median() for name in medians]
    shown = (number(each) if pd.notna(each) else UNKNOWN for each in middles)
    return (*(integer(int(each)) for each in counts), *shown)


def _named(words: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ((NAMES.get(name, spoken(name)), value) for name, value in words.items())
