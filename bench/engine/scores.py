"""How good a network's answers are, and how good the best answer is that looks at no input."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.factors import FACTORS, Choice, DataKind, choose

Scores = dict[str, np.ndarray]

AUTO = choose(FACTORS["loss"], "auto")
HALVINGS = 100  # of the interval in which a best constant answer lies: more than a float64 has digits


def constant_loss(y: np.ndarray, loss: Choice = AUTO) -> float:
    """Loss of the best constant answer to values y [B, ...], a constant for each that is asked for, mean over these.

    Of the squared error that is the variance, of the absolute one the mean deviation from the median. Huber's loss is
    convex in the answer, and least where its slope, the mean of the errors cut at delta, is 0.
    """
    y = y.astype(np.float64).reshape(len(y), -1)
    if loss.name == "mean_absolute_error":
        return float(np.abs(y - np.median(y, axis=0)).mean())
    if loss.name != "huber":
        return float(np.var(y, axis=0).mean())
    delta, low, high = float(loss.setting("delta")), y.min(axis=0), y.max(axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = np.clip(middle - y, -delta, delta).mean(axis=0) > 0.0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    size = np.abs(y - low)
    return float(np.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).mean())


def naive_scores(
    kind: DataKind, y: np.ndarray, loss: Choice = AUTO, *, steps_alike: bool = False
) -> dict[str, float | None]:
    """Loss and accuracy of the best constant answer on targets y [B, ...]; of values there is no accuracy.

    Where each step has a class, the loss is that of an answer for each step, or with `steps_alike` of one for all; the
    accuracy is that of the one class that is right most often: in copy_memory of always a blank.
    """
    if kind is DataKind.VALUES:
        return {"naive_loss": constant_loss(y, loss), "naive_accuracy": None}
    steps = y.reshape(1, -1) if steps_alike else y.reshape(len(y), -1).T
    shares = [np.unique(step, return_counts=True)[1] / len(step) for step in steps]
    largest = float(np.unique(y, return_counts=True)[1].max() / y.size)
    entropy = float(np.mean([-(each * np.log(each)).sum() for each in shares]))
    return {"naive_loss": entropy, "naive_accuracy": largest}


def split_scores(found: Mapping[str, np.ndarray], y: np.ndarray, train_samples: int) -> Scores:
    """The columns of `evaluations`, [R, 2]: of the training sample, and of the validation rows after it.

    Args:
        found: `loss` of each run and sample, [R, B], and where there are classes `accuracy` (true or false) and
            `answer`, of each target, [R, B] or [R, B, steps].
        y: the samples' targets, [B, ...].
        train_samples: how many of them are the training sample.
    """
    parts = (slice(None, train_samples), slice(train_samples, None))
    each = [_scores({name: values[:, part] for name, values in found.items()}, y[part]) for part in parts]
    return {name: np.stack([scores[name] for scores in each], axis=1) for name in each[0]}


def _scores(found: Scores, y: np.ndarray) -> Scores:
    found, y = {name: values.reshape(len(values), -1) for name, values in found.items()}, y.ravel()
    if "accuracy" in found:
        found["accuracy"] = found["accuracy"].astype(np.float64)
    scores: Scores = {name: found[name].mean(axis=1) for name in ("loss", "accuracy") if name in found}
    if "answer" in found:
        _, place, counts = np.unique(y, return_inverse=True, return_counts=True)
        scores["balanced_accuracy"] = found["accuracy"] @ (1.0 / (counts[place] * len(counts)))
        scores["largest_answer_share"] = np.array([np.bincount(run).max() for run in found["answer"]]) / len(y)
    return scores
