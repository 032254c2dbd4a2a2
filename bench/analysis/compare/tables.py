"""Which tables of two results differ at all."""

from __future__ import annotations

import pandas as pd

from bench.analysis.tables import Tables

UNTIMED = ("timings",)  # how long it took is never the same
NAMES = ("suite", "cohort")  # of how runs were grouped, which says nothing of them


def changed_tables(base: Tables, candidate: Tables) -> tuple[str, ...]:
    """The tables whose numbers are not equal to the bit, in any order of rows; NaN equals NaN.

    A column that only one side has counts where it holds anything.
    """
    names = [name for name in base if name in candidate and name not in UNTIMED]
    return tuple(name for name in names if not _equal(base[name], candidate[name]))


def _equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    if len(one) != len(other):
        return False
    shared = [name for name in one if name in other and name not in NAMES]
    lone = [frame[name] for frame in (one, other) for name in frame if name not in shared and name not in NAMES]
    if any(column.notna().any() for column in lone):
        return False
    ordered = [_ordered(frame[shared]) for frame in (one, other)]
    return all(_alike(ordered[0][name], ordered[1][name]) for name in shared)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in one order, whatever the order of files: by what names a row, then as they come."""
    plain = frame.assign(**{name: frame[name].astype(object) for name in frame if frame[name].dtype == "category"})
    keys = [name for name in ("run_id", "step", "layer_index", "split", "group", "direction", "time", "lag", "head",
                              "row", "column", "kind") if name in plain]  # fmt: skip
    return plain.sort_values(keys, kind="stable", ignore_index=True) if keys else plain


def _alike(one: pd.Series, other: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(one.dtype) and pd.api.types.is_numeric_dtype(other.dtype):
        same = (one == other) | (one.isna() & other.isna())
        return bool(same.fillna(False).all())
    ours, theirs = (each.astype(object).where(each.notna(), None).tolist() for each in (one, other))
    return bool(ours == theirs)
