"""Whether arrays are samples and targets that can be trained on; what is refused, and what would mend it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.errors import DataError
from bench.factors import DataKind

MAX_CLASSES = 100_000
FEW_CLASSES = 100  # more classes than this, and than half the rows, are values to predict


def kind_in(x: np.ndarray, y: np.ndarray, *, tokens: bool) -> DataKind:
    """What targets ask for by themselves: floats are values; of sequences whole numbers [rows, steps] a class a step.

    Floats that are few whole numbers may be classes as well: they are left to be refused.
    """
    if y.dtype.kind == "f" and not _class_numbers(y):
        return DataKind.VALUES
    each = y.ndim == 2 and y.dtype.kind in "iub" and (tokens or x.ndim == 3)
    return DataKind.CLASSES_EACH if each else DataKind.CLASSES


def _class_numbers(y: np.ndarray) -> bool:
    return bool(np.isfinite(y).all() and (y == np.round(y)).all() and len(np.unique(y)) <= FEW_CLASSES)


def unequal_lengths(part: object) -> str:
    """What is wrong with sequences that are not of one length, and what to do; empty of anything else."""
    try:
        lengths = sorted({len(sample) for sample in part})  # type: ignore[attr-defined]
    except TypeError:
        return ""
    if len(lengths) < 2:
        return ""
    return (
        f"its sequences have unequal lengths, {lengths[0]} to {lengths[-1]} steps: pad or cut them to one length, "
        f"such as {lengths[-1]}."
    )


def check_steps(where: str, x: np.ndarray, y: np.ndarray) -> None:
    """Refuse classes at each step that are not one a step.

    Raises:
        DataError: their second axis is not that of the steps.
    """
    if y.shape[1] != x.shape[1]:
        raise DataError(
            f"{where}: x has shape {x.shape} and y {y.shape}; allowed of whole numbers are [rows] for y, a class a "
            f"sequence, or [rows, {x.shape[1]}], a class at each step.{_hint_for_shape(y)}"
        )


def check_part(where: str, x: np.ndarray, y: np.ndarray, kind: DataKind) -> None:
    """Refuse what is not finite samples [rows, ...] and as many targets of a kind; the hint mends it.

    Raises:
        DataError: the message says which array and what it holds.
    """
    if x.dtype.kind not in "fiub":
        hint = f" {unequal.capitalize()}" if x.dtype.kind == "O" and (unequal := unequal_lengths(x)) else ""
        raise DataError(f"{where}: x is {x.dtype}; allowed are numbers for x.{hint}")
    if x.ndim < 2 or not len(x):
        raise DataError(f"{where}: x has shape {x.shape}; allowed is [rows, ...].{_hint_for_samples(x)}")
    if not x[0].size:
        raise DataError(f"{where}: x has shape {x.shape}: a sample holds no number.")
    if kind is DataKind.VALUES:
        _check_values(where, x, y)
    elif kind is DataKind.CLASSES_EACH and (y.ndim != 2 or len(y) != len(x) or not y.size):
        raise DataError(f"{where}: x has shape {x.shape} and y {y.shape}; allowed is [rows, steps] for y.")
    elif kind is DataKind.CLASSES and y.shape != (len(x),):
        raise DataError(f"{where}: x has shape {x.shape} and y {y.shape}; allowed is [rows] for y.{_hint_for_shape(y)}")
    elif y.dtype.kind not in "iub":
        raise DataError(f"{where}: y is {y.dtype}; allowed are whole numbers for y.{_hint_for_labels(y)}")
    wrong = int((~np.isfinite(x)).sum()) if x.dtype.kind == "f" else 0
    if wrong:
        row = next(row for row, sample in enumerate(x) if not np.isfinite(sample).all())
        step = f", time step {np.argwhere(~np.isfinite(x[row]))[0, 0]}" if x.ndim == 3 else ""
        raise DataError(
            f"{where}: x holds {wrong} NaN or infinite numbers, the first in row {row}{step} (counted from 0)."
        )


def check_tokens(where: str, x: np.ndarray, vocabulary: int) -> None:
    """Refuse what is not tokens [rows, steps], whole numbers from 0 to vocabulary - 1.

    Raises:
        DataError: the message names the first row and step with another number, and what would mend it.
    """
    if x.dtype.kind not in "iu" or x.ndim != 2:
        raise DataError(
            f"{where}: x is {x.dtype} of shape {x.shape}; allowed for tokens are whole numbers [rows, steps]."
        )
    wrong = (x < 0) | (x >= vocabulary)
    if wrong.any():
        row, step = map(int, np.argwhere(wrong)[0])
        raise DataError(
            f"{where}: {int(wrong.sum())} of its tokens outside 0 to {vocabulary - 1}, the first {x[row, step]} in "
            f"row {row}, step {step} (counted from 0). The largest is {int(x.max())}: "
            f"{_hint_for_tokens(x, vocabulary)}"
        )


def _hint_for_tokens(x: np.ndarray, vocabulary: int) -> str:
    if x.min() < 0:
        return "give what is negative, such as padding, a number of its own from 0 on."
    return "number tokens from 0 on." if x.min() == 1 and x.max() == vocabulary else f"tokens = {int(x.max()) + 1}?"


def _check_values(where: str, x: np.ndarray, y: np.ndarray) -> None:
    if y.dtype.kind not in "fiub" or y.ndim not in (1, 2) or len(y) != len(x) or not y.size:
        raise DataError(f"{where}: y is {y.dtype} of shape {y.shape}; allowed are numbers [rows] or [rows, k].")
    if not (np.abs(y) <= np.finfo(np.float32).max).all():
        raise DataError(f"{where}: y holds NaN, infinite numbers or numbers beyond float32.")


def _hint_for_samples(x: np.ndarray) -> str:
    return " One feature a sample: save x.reshape(-1, 1)." if x.ndim == 1 and len(x) else ""


def _hint_for_shape(y: np.ndarray) -> str:
    if y.ndim == 2 and y.shape[1] == 1:
        return " A column: save y.ravel()."
    if y.ndim == 2 and y.dtype.kind in "fiub" and y.size and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        return " It is one-hot: save y.argmax(axis=1)."
    return ""


def _hint_for_labels(y: np.ndarray) -> str:
    if y.dtype.kind in "US":
        return " Names of classes: save np.unique(y, return_inverse=True)[1]."
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        return ' Class numbers as floats: save y.astype("int64"). Values: a function whose kind is "values".'
    return CUT_INTO_CLASSES if y.dtype.kind == "f" else ""


CUT_INTO_CLASSES = (
    " Values to predict are not classes: save all y as floats, or cut them into classes, as in "
    "np.digitize(y, np.quantile(y_train, [0.25, 0.5, 0.75]))."
)


def check_labels(where: str, labels: Sequence[int], rows: int) -> None:
    """Refuse one class, and numbers that count or measure something.

    Raises:
        DataError: the message says what y holds.
    """
    if len(labels) < 2:
        raise DataError(f"{where}: y holds one class only; it takes two or more.")
    if len(labels) > MAX_CLASSES or len(labels) > max(FEW_CLASSES, rows / 2):
        raise DataError(f"{where}: y holds {len(labels)} different numbers in {rows} rows.{CUT_INTO_CLASSES}")
