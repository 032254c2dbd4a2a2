"""What is compared of two runs: responses as data, each with what a lost run counts as.

A lost run is one that diverged or failed. None is left out of a mean: it has accuracy at chance and the largest loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.tables import Reals
from bench.quantities import Better
from bench.schema import LOSS_LIMIT_FACTOR, RunStatus

SOLVED = 1e-3  # of the naive loss: less is as good
MOST_DECADES = 45.0  # from 1 to the least number of float32; a gradient of 0 counts as that
LEAST_UPDATE = -8.0  # decades: of float32 weights less changes none


@dataclass(frozen=True)
class Response:
    """One number per run, and what a difference of it means.

    Attributes:
        name: as `--margin` and tables have it.
        label: in words.
        unit: of a difference.
        definition: a sentence.
        needs: columns of judged runs.
        value: those runs → their numbers; NaN where it was not measured.
        margin: the least margin; noise makes it larger.
        most: how far apart two runs can be.
        better: which values are better; of those near zero the distance counts, NEITHER is only told from the same.
    """

    name: str
    label: str
    unit: str
    definition: str
    needs: tuple[str, ...]
    value: Callable[[pd.DataFrame], Reals]
    margin: float
    most: float
    better: Better

    def of(self, runs: pd.DataFrame) -> Reals:
        """The number of each run; NaN where it was not measured."""
        if any(name not in runs for name in self.needs):
            return np.full(len(runs), np.nan)
        return np.asarray(self.value(runs), dtype=np.float64)

    def worth(self, base: Reals, candidate: Reals) -> Reals:
        """By how much each candidate is better than its base; NaN where nothing says which is."""
        match self.better:
            case Better.HIGHER:
                return candidate - base
            case Better.LOWER:
                return base - candidate
            case Better.NEAR_ZERO:
                return np.asarray(np.abs(base) - np.abs(candidate))
        return np.full(len(base), np.nan)


def lost(runs: pd.DataFrame) -> np.ndarray:
    """Which runs diverged or failed."""
    return np.asarray((runs["status"] != RunStatus.COMPLETED).to_numpy(bool))


def _number(runs: pd.DataFrame, name: str) -> Reals:
    return np.asarray(runs[name].to_numpy(np.float64, na_value=np.nan))


def _accuracy(runs: pd.DataFrame) -> Reals:
    return np.where(lost(runs), _number(runs, "chance_accuracy"), _number(runs, "final_validation_accuracy"))


def _loss(runs: pd.DataFrame) -> Reals:
    share = _number(runs, "final_validation_loss") / _number(runs, "naive_loss")
    share = np.where(lost(runs), LOSS_LIMIT_FACTOR, share)
    return np.asarray(np.log(np.clip(share, SOLVED, LOSS_LIMIT_FACTOR)))


def _decades(name: str) -> Callable[[pd.DataFrame], Reals]:
    return lambda runs: np.clip(_number(runs, name), -MOST_DECADES, MOST_DECADES)


def _update(runs: pd.DataFrame) -> Reals:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.log10(_number(runs, "update_ratio_start")), LEAST_UPDATE, MOST_DECADES)


def _milliseconds(runs: pd.DataFrame) -> Reals:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(_number(runs, "milliseconds_per_step"))
    return np.where(np.isfinite(found), found, np.nan)


RESPONSES: tuple[Response, ...] = (
    Response("accuracy", "accuracy", "1",
             "Validation accuracy at the last recorded step; a lost run has that of the best constant answer.",
             ("final_validation_accuracy", "chance_accuracy"), _accuracy, 0.02, 1.0, Better.HIGHER),
    Response("loss", "loss", "ln",
             "ln of the validation loss at the last recorded step over that of the best constant answer, from a "
             f"thousandth to {LOSS_LIMIT_FACTOR:g}; a lost run has {LOSS_LIMIT_FACTOR:g}.",
             ("final_validation_loss", "naive_loss"), _loss, 0.1, float(np.log(LOSS_LIMIT_FACTOR / SOLVED)),
             Better.LOWER),
    Response("signal", "gradient ratio", "decades",
             "log10 of the first hidden layer's pre-activation gradient norm over the last's, at the first recorded "
             f"step, from −{MOST_DECADES:g} to {MOST_DECADES:g}.",
             ("signal_ratio_start",), _decades("signal_ratio_start"), 0.1, 2 * MOST_DECADES, Better.NEAR_ZERO),
    Response("time_signal", "gradient ratio along time", "decades",
             "log10 of the state's gradient norm at the first time step over that at the last, at the first recorded "
             "step.",
             ("time_ratio_start",), _decades("time_ratio_start"), 0.1, 2 * MOST_DECADES, Better.NEAR_ZERO),
    Response("update", "first update", "decades",
             "log10 of the first recorded update's norm over the weights', median over hidden layers, from "
             f"−{-LEAST_UPDATE:g}. None is better.",
             ("update_ratio_start",), _update, 0.1, MOST_DECADES - LEAST_UPDATE, Better.NEITHER),
)  # fmt: skip

TIME = Response("time", "time per step", "ln", "ln of milliseconds per step of training, summed over a cohort's runs.",
                ("milliseconds_per_step",), _milliseconds, 0.1, np.inf, Better.LOWER)  # fmt: skip
