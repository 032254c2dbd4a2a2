"""The reference results of a suite as tables: what became of its runs, by level and by cell, with what made them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis import Outcome
from bench.analysis.recipes import with_trained
from bench.factors import FACTORS
from bench.reference import Reference
from bench.report.axes import level_label
from bench.report.headline import level_words
from bench.text import UNKNOWN, integer, number, plural, spoken

SETTINGS = re.compile(r"\s*\(")  # where a level's settings begin
COUNTED = ("runs", "learned", "trained", "diverged", "failed")
MEDIANS = {  # columns and what heads them, in two lines at most
    "final_validation_accuracy": "accuracy",
    "final_validation_loss": "loss",
    "signal_ratio_start": "gradient ratio",
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
        timed: whether times were kept.
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
    timed: bool


def shipped(reference: Reference, sha256: str) -> Shipped:
    """The tables of a suite's reference results, whose file has this digest today."""
    runs, *_ = with_trained(reference.runs)
    medians = [name for name in MEDIANS if name in runs and runs[name].notna().any()]
    varied = [name for name in FACTORS if name in runs and runs[name].nunique(dropna=False) > 1]
    heads = (*COUNTED, *(MEDIANS[name] for name in medians))
    said = {factor: level_names(factor, runs[factor]) for factor in varied}
    levels = [
        (spoken(factor), said[factor][level_label(level)], *_numbers(own, medians))
        for factor in varied
        for level, own in runs.groupby(factor, observed=True, dropna=False)
    ]
    cells = [
        (*(said[name][level_label(own[name].iloc[0])] for name in varied), *_numbers(own, medians))
        for _, own in runs.groupby("cell_key", sort=False)
    ]
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
        timed=reference.timed,
    )


def level_names(factor: str, levels: pd.Series) -> dict[str, str]:
    """Each level's label and what a reader is told, as in a report; numbers stand under their factor as they are."""
    known = list(dict.fromkeys(map(level_label, levels)))
    if FACTORS[factor].number is not None:
        return {label: label for label in known}
    said = {label: _words(level_words(factor, label, known)) for label in known}
    told = Counter(said.values())
    return {label: words if told[words] == 1 else label for label, words in said.items()}


def _words(said: str) -> str:
    """`random normal (stddev 0.3)` of `random_normal(stddev=0.3)`; what has a module's name stays as it is."""
    return said if ":" in said else spoken(SETTINGS.sub(" (", said)).replace("=", " ")


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
