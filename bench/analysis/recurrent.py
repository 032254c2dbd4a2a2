"""Which runs are of recurrent networks, and which have layers whose gradients can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

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


@lru_cache(maxsize=128)
def sequence_length(dataset: str) -> int | None:
    """Time steps of the sequences of a dataset, by its label; None where only the data can tell."""
    try:
        level = dataset_level(read_label(FACTORS["dataset"], dataset))
    except SuiteError:  # from another version, or an older one
        return None
    return (level.steps or None) if level is not None else None


def length_of(datasets: Iterable[object]) -> int | None:
    """Time steps of the longest sequences of these datasets, by their labels; None where only the data can tell."""
    return max((each for label in set(datasets) if (each := sequence_length(str(label)))), default=None)
