"""What is odd about a suite's dataset, before anything is trained on it."""

from __future__ import annotations

import numpy as np

from bench.data_quality import Data, look
from bench.engine.datasets import load, load_raw, vocabulary_of
from bench.engine.table_files import column_names
from bench.errors import printable
from bench.factors import TABLES, Choice, DataKind


def findings_of(asked: tuple[Choice, bool, bool]) -> list[str]:
    """Of a dataset, whether all its runs scale its inputs, and whether they scale its values; a sentence or two each.

    Raises:
        DataError: it cannot be used.
    """
    choice, scaled, target_scaled = asked
    kind = load(choice, "standardize", "none").kind
    x, y, x_validation, y_validation = load_raw(choice)
    names = tuple(printable(name) for name in column_names(choice)) if choice.name in TABLES else ()
    if y.dtype.kind == "U":  # names of classes, which are numbered in their order
        labels = np.unique(np.concatenate([y, y_validation]))
        y, y_validation = (np.searchsorted(labels, part) for part in (y, y_validation))
    data = Data(
        x, y, x_validation, y_validation, names, scaled, target_scaled, bool(vocabulary_of(choice)),
        kind is DataKind.VALUES,
    )  # fmt: skip
    return [str(each) for each in look(data)]
