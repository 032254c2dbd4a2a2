"""How good a network's answers are, and how good the best answer is that looks at no input."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.factors import DataKind

Scores = dict[str, np.ndarray]


def variance(y: np.ndarray) -> float:
    """Squared error of the best constant answer to values y [B, ...]: their variance, mean over what is asked for."""
    return float(np.var(y.astype(np.float64), axis=0).mean())


def naive_scores(kind: DataKind, y: np.ndarray, *, steps_alike: bool = False) -> dict[str, float | None]:
    """Loss and accuracy of the best constant answer on targets y [B, ...]; of values there is no accuracy.

    Where each step has a class, the loss is that of an answer for each step, or with `steps_alike` of one for all; the
    accuracy is that of the one class that is right most often: in copy_memory of always a blank.
    """
    if kind is DataKind.VALUES:
        return {"naive_loss": variance(y), "naive_accuracy": None}
    steps = y.reshape(1, -1) if steps_alike else y.reshape(len(y), -1).T
    shares = [np.unique(step, return_counts=True)[1] / len(step) for step in steps]
    largest = float(np.unique(y, return_counts=True)[1].max() / y.size)
    loss = float(np.mean([-(each * np.log(each)).sum() for each in shares]))
    return {"naive_loss": loss, "naive_accuracy": largest}


def split_scores(found: Mapping[str, np.ndarray], y: np.ndarray, train_samples: int) -> Scores:
    """The columns of `evaluations`, [R, 2]: of the training sample, and of the validation rows after it.

    Args:
        found: `loss` of each run and sample, [R, B], and where there are classes `accuracy` (0 or 1) and `answer`, of
            each target, [R, B] or [R, B, steps].
        y: the samples' targets, [B, ...].
        train_samples: how many of them are the training sample.
    """
    parts = (slice(None, train_samples), slice(train_samples, None))
    each = [_scores({name: values[:, part] for name, values in found.items()}, y[part]) for part in parts]
    return {name: np.stack([scores[name] for scores in each], axis=1) for name in each[0]}


def _scores(found: Scores, y: np.ndarray) -> Scores:
    found, y = {name: values.reshape(len(values), -1) for name, values in found.items()}, y.ravel()
    scores: Scores = {name: found[name].mean(axis=1) for name in ("loss", "accuracy") if name in found}
    if "answer" in found:
        _, place, counts = np.unique(y, return_inverse=True, return_counts=True)
        scores["balanced_accuracy"] = found["accuracy"] @ (1.0 / (counts[place] * len(counts)))
        answers = found["answer"].astype(np.int64)
        scores["largest_answer_share"] = np.array([np.bincount(run).max() for run in answers]) / len(y)
    return scores
