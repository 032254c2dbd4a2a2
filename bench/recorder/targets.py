"""What the targets of recorded batches ask for: the best answer that looks at no input, by which a run is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bench.factors import DataKind

MOST_CLASSES = 1000
OF_VALUES = ("mean_squared_error", "mean_absolute_error", "huber")
VALUES = ("count", "sum", "squares")  # of targets that are values


@dataclass(frozen=True)
class TargetSums:
    """What a batch's targets ask for, where they are looked at as arrays: `count` sums of a kind."""

    kind: DataKind
    loss: str
    count: int

    @property
    def keys(self) -> list[tuple[str, int, str]]:
        """Of the sums, in a layout."""
        return [("target_sum", k, "sum") for k in range(self.count)]

    def sums(self, y: Any) -> np.ndarray:
        """As `target_sums.target_sums`, of a batch's targets."""
        (target,) = keras.tree.flatten(y)
        target = np.asarray(target)
        if self.loss == "sparse_categorical_crossentropy":
            numbers = target.ravel().astype(np.int64)
            known = numbers[(numbers >= 0) & (numbers < self.count)]
            return np.bincount(known, minlength=self.count).astype(np.float64)
        wide = target.astype(np.float64)
        if self.loss == "categorical_crossentropy":
            return np.asarray(wide.reshape(-1, self.count).sum(axis=0))
        if self.loss == "binary_crossentropy":
            return np.array([wide.size - wide.sum(), wide.sum()])
        return np.array([wide.size, wide.sum(), np.square(wide).sum()])


def asked_for(y: Any, answers: Any, loss: str) -> TargetSums | None:
    """What targets ask for by the shape of the answers, of which no number is looked at; None where nobody can tell."""
    targets = [] if y is None else keras.tree.flatten(y)
    made = keras.tree.flatten(answers)
    if len(targets) != 1 or len(made) != 1 or not getattr(made[0], "shape", ()):
        return None
    (target,), (answers,) = targets, made
    classes = answers.shape[-1]
    if loss == "categorical_crossentropy" and len(target.shape) == len(answers.shape) - 1:
        loss = "sparse_categorical_crossentropy"
    if loss in ("sparse_categorical_crossentropy", "categorical_crossentropy") and 1 < classes <= MOST_CLASSES:
        return TargetSums(DataKind.CLASSES_EACH if len(answers.shape) > 2 else DataKind.CLASSES, loss, classes)
    if loss == "binary_crossentropy" and classes == 1:
        return TargetSums(DataKind.CLASSES, loss, 2)
    if loss in OF_VALUES:
        return TargetSums(DataKind.VALUES, loss, len(VALUES))
    return None


def naive(kind: DataKind | None, sums: Sequence[float]) -> dict[str, Any]:
    """The columns of `runs` on the best constant answer; of values where the squared error is minimized or near it."""
    if kind is None:
        return {}
    if kind is DataKind.VALUES:
        count, total, squares = sums
        return {"targets": str(kind), "naive_loss": max(0.0, squares / count - (total / count) ** 2) if count else None}
    shares = np.array(sums, np.float64)
    if not shares.sum() > 0.0:
        return {}
    shares = shares / shares.sum()
    entropy = -math.fsum(each * math.log(each) for each in shares if each > 0.0)
    return {"targets": str(kind), "naive_loss": entropy, "naive_accuracy": float(shares.max())}


def square_over_variance(kind: DataKind | None, sums: Sequence[float]) -> float | None:
    """How far targets that are values are from 0: their mean square over their variance; None of others."""
    if kind is not DataKind.VALUES or not sums[0]:
        return None
    count, total, squares = sums
    variance = squares / count - (total / count) ** 2
    return squares / count / variance if variance > 0.0 else None
