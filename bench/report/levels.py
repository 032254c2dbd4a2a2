"""Which factors vary in the results, and their levels in the suite's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.analysis.comparison import factor_columns
from bench.results import Manifest
from bench.text import spoken


@dataclass(frozen=True)
class Axis:
    """A factor that varies: its name and its levels as labels, numbers ascending, words in the suite's order."""

    factor: str
    levels: tuple[str, ...]
    numeric: bool


def varied_axes(runs: pd.DataFrame, manifest: Manifest) -> tuple[Axis, ...]:
    """One axis per factor with more than one level in `runs`, in the order of the table's columns."""
    axes = []
    for factor in factor_columns(runs):
        numeric = bool(is_numeric_dtype(runs[factor]))
        found = runs[factor].drop_duplicates()
        if numeric:
            levels = [level_label(value) for value in sorted(found.dropna())]
        else:
            known = [level_label(label) for label in manifest.factors.get(factor, ())]
            present = {level_label(value) for value in found}
            levels = [label for label in known if label in present] + sorted(present - set(known))
        if found.isna().any() and numeric:
            levels.append(level_label(None))
        if len(levels) > 1:
            axes.append(Axis(factor, tuple(levels), numeric))
    return tuple(axes)


def level_label(value: object) -> str:
    """A level as text: 0.01, 32, he_normal; `–` for none recorded."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)  # no two levels have one label
    return str(value)


def level_title(axis: Axis, level: str) -> str:
    """A level over a panel: a number or `none` with its factor, a word alone."""
    if axis.numeric or level == "none":
        return f"{spoken(axis.factor)} {level}"
    return level.replace("(", " (")  # where a long title may break


def labelled(frame: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """The frame with each axis's column as an ordered category of its labels."""
    columns = {
        axis.factor: pd.Categorical(
            [level_label(value) for value in frame[axis.factor].tolist()], categories=list(axis.levels), ordered=True
        )
        for axis in axes
    }
    return frame.assign(**columns)
