"""Which runs are of recurrent networks, and which have layers whose gradients can be compared."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.errors import SuiteError
from bench.factors import FACTORS, dataset_level, read_label


def recurrent(runs: pd.DataFrame) -> pd.Series:
    """Where a row of runs has a recurrent cell."""
    if "cell" not in runs:
        return pd.Series(False, index=runs.index)
    return ~runs["cell"].astype(object).isin(["none", None])


def layered(runs: pd.DataFrame) -> pd.Series:
    """Where what happens from layer to layer says anything: not of one recurrent layer, whose depth is time."""
    return ~(recurrent(runs) & (runs["depth"].astype(str).astype(float) == 1.0))


def length_of(datasets: Iterable[object]) -> int | None:
    """Time steps of the longest sequences of these data, by their labels; None where only the data can tell."""
    found = []
    for label in set(datasets):
        try:
            level = dataset_level(read_label(FACTORS["dataset"], label))
        except SuiteError:  # data from outside
            continue
        found += [level.shape[0]] if level and level.kind == "sequence" else []
    return max(found, default=None)
