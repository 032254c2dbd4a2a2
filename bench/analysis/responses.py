"""Responses: one number per run, each with its unit, its definition and what stands for a run that was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
import pandas as pd

from bench.analysis import trajectories
from bench.analysis.signal import decay_rate, first_to_last, hidden
from bench.analysis.tables import Moment, Tables, at_moment

_SIGNAL = "preactivation_grad_norm"
_CORRELATION = "preactivation_grad_pair_correlation"


class LostRule(StrEnum):
    """What an estimate counts for a run that diverged or failed: nobody averages over survivors alone."""

    MEASURED = "what was measured before it was lost; a run without a measurement is only counted"
    CHANCE = "accuracy at chance: the median of the untrained networks on the same dataset"
    WORST = "infinity: it ranks behind every run that ended"


@dataclass(frozen=True)
class Response:
    """One number per run."""

    name: str
    unit: str
    table: str
    definition: str
    compute: Callable[[Tables], pd.Series]
    lost: LostRule = LostRule.MEASURED


def _decay(moment: Moment, tables: Tables) -> pd.Series:
    return decay_rate(hidden(tables, moment), _SIGNAL)


def _ratio(moment: Moment, column: str, tables: Tables) -> pd.Series:
    return first_to_last(hidden(tables, moment), column)


def _collapse_gap(moment: Moment, tables: Tables) -> pd.Series:
    rows = at_moment(tables["activations"], moment).sort_values("layer_index", kind="stable")
    return 1.0 - rows.drop_duplicates("run_id", keep="last").set_index("run_id")["pair_correlation"]


def _gradient_correlation(moment: Moment, tables: Tables) -> pd.Series:
    rows = hidden(tables, moment).sort_values("layer_index", kind="stable").drop_duplicates("run_id", keep="first")
    return rows.set_index("run_id")[_CORRELATION]


def _weight_rms_ratio(moment: Moment, tables: Tables) -> pd.Series:
    rows = hidden(tables, moment)
    return first_to_last(rows.assign(rms=rows["weight_grad_norm"] / np.sqrt(rows["weight_count"])), "rms")


def _update_ratio(moment: Moment, tables: Tables) -> pd.Series:
    rows = hidden(tables, moment)
    ratio = rows["update_norm"] / rows["weight_norm"]
    return ratio.groupby(rows["run_id"], sort=False, observed=True).median()


def _mean_over_layers(moment: Moment, column: str, tables: Tables) -> pd.Series:
    rows = at_moment(tables["activations"], moment)
    return rows.groupby("run_id", sort=False, observed=True)[column].mean()


def _final(split: str, column: str, tables: Tables) -> pd.Series:
    rows = tables["evaluations"]
    return at_moment(rows[rows["split"] == split], Moment.END).set_index("run_id")[column]


def _clipped_share(tables: Tables) -> pd.Series:
    return tables["loss_curves"].groupby("run_id", sort=False, observed=True)["clipped"].mean()


def _best(column: str, how: str, tables: Tables) -> pd.Series:
    return trajectories.best(tables, column, how)


def _steps_to_accuracy(tables: Tables) -> pd.Series:
    return trajectories.steps_to_accuracy(tables, chance_accuracy(tables))


def _steps_completed(tables: Tables) -> pd.Series:
    return tables["runs"].set_index("run_id")["steps_completed"]


_DECAY = (
    "Least-squares slope of log10 of the pre-activation gradient norm against hidden layer: positive where the "
    "signal shrinks on its way back to the input, "
)
_RATIO = "log10 of the first hidden layer's {} over the last hidden layer's, "
_UPDATE = "Median over hidden layers of the norm of the update over the norm of the weights, at the {} recorded step."

RESPONSES: tuple[Response, ...] = (
    Response("decay_rate_start", "decades per layer", "gradient_norms", _DECAY + "at the first recorded step.",
             partial(_decay, Moment.START)),
    Response("decay_rate_end", "decades per layer", "gradient_norms", _DECAY + "at the last recorded step.",
             partial(_decay, Moment.END)),
    Response("signal_ratio_start", "decades", "gradient_norms",
             _RATIO.format("pre-activation gradient norm") + "at the first recorded step.",
             partial(_ratio, Moment.START, _SIGNAL)),
    Response("signal_ratio_end", "decades", "gradient_norms",
             _RATIO.format("pre-activation gradient norm") + "at the last recorded step.",
             partial(_ratio, Moment.END, _SIGNAL)),
    Response("weight_ratio_start", "decades", "gradient_norms",
             _RATIO.format("weight gradient norm") + "at the first recorded step; 0 can hide vanishing.",
             partial(_ratio, Moment.START, "weight_grad_norm")),
    Response("weight_rms_ratio_start", "decades", "gradient_norms",
             _RATIO.format("root mean square weight gradient") + "at the first recorded step: per weight, so layers of "
             "unequal size compare. Signals have no such response: the tables do not hold a layer's units.",
             partial(_weight_rms_ratio, Moment.START)),
    Response("weight_rms_ratio_end", "decades", "gradient_norms", "The same at the last recorded step.",
             partial(_weight_rms_ratio, Moment.END)),
    Response("update_ratio_start", "1", "gradient_norms", _UPDATE.format("first"),
             partial(_update_ratio, Moment.START)),
    Response("update_ratio_end", "1", "gradient_norms", _UPDATE.format("last"), partial(_update_ratio, Moment.END)),
    Response("gradient_correlation_start", "1", "gradient_norms",
             "Mean cosine between the gradients of two samples of one class in the first hidden layer, at the first "
             "recorded step: 1 is coherent, 0 shattered.", partial(_gradient_correlation, Moment.START)),
    Response("gradient_correlation_end", "1", "gradient_norms", "The same at the last recorded step.",
             partial(_gradient_correlation, Moment.END)),
    Response("collapse_gap_start", "1", "activations",
             "One minus the mean cosine between two samples in the last hidden layer, at the first recorded step.",
             partial(_collapse_gap, Moment.START)),
    Response("collapse_gap_end", "1", "activations", "The same at the last recorded step.",
             partial(_collapse_gap, Moment.END)),
    Response("saturated_fraction_start", "1", "activations", "Mean over hidden layers at the first recorded step.",
             partial(_mean_over_layers, Moment.START, "saturated_fraction")),
    Response("saturated_fraction_end", "1", "activations", "Mean over hidden layers at the last recorded step.",
             partial(_mean_over_layers, Moment.END, "saturated_fraction")),
    Response("dead_fraction_start", "1", "activations", "Mean over hidden layers at the first recorded step.",
             partial(_mean_over_layers, Moment.START, "dead_fraction")),
    Response("dead_fraction_end", "1", "activations", "Mean over hidden layers at the last recorded step.",
             partial(_mean_over_layers, Moment.END, "dead_fraction")),
    Response("final_validation_accuracy", "1", "evaluations", "Validation accuracy at the last recorded step.",
             partial(_final, "validation", "accuracy"), LostRule.CHANCE),
    Response("final_validation_loss", "nat", "evaluations", "Validation loss at the last recorded step.",
             partial(_final, "validation", "loss"), LostRule.WORST),
    Response("final_train_loss", "nat", "evaluations", "Loss on the training sample at the last recorded step.",
             partial(_final, "train", "loss"), LostRule.WORST),
    Response("best_validation_accuracy", "1", "evaluations", "Highest validation accuracy over the recorded steps.",
             partial(_best, "accuracy", "max"), LostRule.CHANCE),
    Response("best_validation_loss", "nat", "evaluations", "Lowest validation loss over the recorded steps.",
             partial(_best, "loss", "min"), LostRule.WORST),
    Response("steps_to_accuracy", "updates", "evaluations",
             "First recorded step at which the validation accuracy is halfway from chance to 1, where a run counts as "
             "learned by the default thresholds; infinity if it never was: the run ended before, so it is censored.",
             _steps_to_accuracy, LostRule.WORST),
    Response("steps_to_divergence", "updates", "divergence_events",
             "Step of the first NaN or infinity; infinity for a run that completed: censored at its last step.",
             trajectories.steps_to_divergence),
    Response("loss_area", "nat", "loss_curves",
             "Mean training loss over the recorded steps: the area under the curve (trapezoidal rule) over its span.",
             trajectories.loss_area, LostRule.WORST),
    Response("clipped_share", "1", "loss_curves", "Share of recorded steps at which clipping changed the gradient.",
             _clipped_share),
    Response("steps_completed", "updates", "runs", "Updates applied while everything was finite.", _steps_completed),
    Response("milliseconds_per_step", "ms", "timings",
             "Training time of the run's cohort over its runs and its steps after the first.",
             trajectories.milliseconds_per_step),
)  # fmt: skip


def response(name: str) -> Response:
    """The response of that name.

    Raises:
        KeyError: there is none.
    """
    found = {each.name: each for each in RESPONSES}
    return found[name]


def measure(tables: Tables) -> pd.DataFrame:
    """All responses and `chance_accuracy`, by `run_id` in the order of `runs`; NaN where nothing was measured."""
    tables = dict(tables) | {name: trajectories.at_ends(tables[name]) for name in ("gradient_norms", "activations")}
    runs = pd.Index(tables["runs"]["run_id"], name="run_id")
    columns = {each.name: each.compute(tables).reindex(runs).astype(np.float64) for each in RESPONSES}
    return pd.DataFrame(columns, index=runs).assign(chance_accuracy=chance_accuracy(tables))


def chance_accuracy(tables: Tables) -> pd.Series:
    """What an untrained network gets right: the median validation accuracy at step 0 over a dataset's runs, by run.

    Where step 0 was not evaluated it is 0, which makes "learned" harder to earn, never easier.
    """
    runs = tables["runs"].set_index("run_id")
    rows = tables["evaluations"]
    untrained = rows[(rows["step"] == 0) & (rows["split"] == "validation")].set_index("run_id")["accuracy"]
    median = untrained.groupby(runs["dataset"].reindex(untrained.index), observed=True).median()
    return runs["dataset"].map(median).astype(np.float64).fillna(0.0)
