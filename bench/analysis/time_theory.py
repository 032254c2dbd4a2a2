"""What theory says of a recurrent run's gradient by lag, before training, or why it says nothing.

The theory (`bench.theory.lags`) reads a run's levels; of the inputs it needs their mean square. That is measured: the
first layer's pre-activations have n_in Var(W) times it, the recurrent kernel's part, and the square of the biases. Of
each dataset the median over its runs is taken, those without biases where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.analysis.recurrent import recurrent
from bench.analysis.tables import Tables
from bench.errors import BenchError
from bench.factors import FACTORS, DatasetLevel, level_name, read_label
from bench.factors.recurrence import GATES
from bench.theory.cells import RecurrentCell, recurrent_cell_of
from bench.theory.lags import LagProfile, lag_profile
from bench.theory.weights import weight_law

OF_DATA = ["dataset", "preprocessing"]
RESET = 0.75  # of the recurrent part's share of a GRU: the reset gate, about a half, lets a quarter through in one of 3
LEFT_OUT = ("normalization", "dropout", "truncate", "bias_initializer")  # beside what `bench.theory` refuses itself


def input_mean_squares(tables: Tables) -> dict[tuple[object, ...], float]:
    """The mean square of an input feature by dataset and preprocessing, to three digits; see the module."""
    runs = tables["runs"][recurrent(tables["runs"])]
    looks, kernels = (_first_layer(tables[name], runs) for name in ("activations", "gradient_norms"))
    found = []
    for run in runs.to_dict("records"):
        told = _input_variance(run, looks, kernels)
        if told is not None:
            found.append((*(run[name] for name in OF_DATA), *told))
    frame = pd.DataFrame(found, columns=[*OF_DATA, "square", "biased"])
    least = frame.groupby(OF_DATA)["biased"].transform("min")
    medians = frame[(frame["biased"] == least) & (frame["square"] > 0.0)].groupby(OF_DATA)["square"].median()
    return {key: float(f"{value:.2e}") for key, value in dict(medians).items()}


def predicted(
    run: Mapping[str, object], longest: int, features: int, squares: Mapping[tuple[object, ...], float]
) -> LagProfile | str:
    """The prediction at lags 0 to `longest` of a network that reads its loss `longest` steps after the first, or why
    there is none.

    Args:
        run: its levels, as the table `runs` has them.
        longest: the largest lag.
        features: of its inputs; 0 where they are not known.
        squares: what `input_mean_squares` returned.
    """
    other = next((name for name in LEFT_OUT if run.get(name, FACTORS[name].default) != FACTORS[name].default), "")
    if other:
        return f"The formulas know nothing of {other} {run[other]}."
    if float(str(run["depth"])) > 1:
        return "The inputs of an upper layer are the states of another, which remember each other."
    square = squares.get(tuple(run[name] for name in OF_DATA))
    if square is None or not features:
        return "The size of the inputs was not measured."
    try:
        cell = recurrent_cell_of(run, longest + 1)
        variance = float(f"{square * _input_weight_variance(run, cell, features):.2e}")
        return lag_profile(cell, longest, variance, constant=_still(run), length=longest + 1)
    except BenchError as error:
        return str(error).removeprefix("Not predicted: ")


def features_of(tables: Tables) -> pd.Series:
    """Input features of each recurrent run, as the size of its first layer's kernels tells; by run_id."""
    runs = tables["runs"][recurrent(tables["runs"])]
    kernels = _first_layer(tables["gradient_norms"], runs)
    return pd.Series({run["run_id"]: _features(run, kernels) for run in runs.to_dict("records")}, dtype=float)


def _still(run: Mapping[str, object]) -> bool:
    level = FACTORS["dataset"].level(level_name(str(run["dataset"])))
    return isinstance(level, DatasetLevel) and level.blanks


def _first_layer(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    chosen = (table["step"] == 0) & (table["layer_index"] == 0) & table["run_id"].isin(runs["run_id"])
    return (
        table[chosen]
        .assign(run_id=table.loc[chosen, "run_id"].astype(str))
        .drop_duplicates("run_id")
        .set_index("run_id")
    )


def _features(run: Mapping[str, object], kernels: pd.DataFrame) -> int:
    """Of a kernel [features, gates x n] and a recurrent one [n, gates x n], once or in both directions."""
    if run["run_id"] not in kernels.index:
        return 0
    width, count = int(str(run["width"])), float(kernels.loc[str(run["run_id"]), "weight_count"])
    sides = 2 if str(run.get("direction", "forward")) == "bidirectional" else 1
    return max(0, round(count / (sides * GATES[str(run["cell"])] * width) - width))


def _input_weight_variance(run: Mapping[str, object], cell: RecurrentCell, features: int) -> float:
    """n_in Var(W)."""
    initializer = read_label(FACTORS["initializer"], run["initializer"])
    return float(weight_law(initializer, features, GATES[cell.cell] * cell.width).variance)


def _input_variance(run: Mapping[str, object], looks: pd.DataFrame, kernels: pd.DataFrame) -> tuple[float, bool] | None:
    """A feature's mean square as one run tells it, and whether its gates have biases; None where nothing tells."""
    features = _features(run, kernels)
    if run["run_id"] not in looks.index or not features or str(run.get("bias_initializer", "zeros")) != "zeros":
        return None
    try:
        cell = recurrent_cell_of(run, 100)  # any length: with biases that depend on it, their square is only a guess
        weights = _input_weight_variance(run, cell, features)
    except BenchError:
        return None
    look = looks.loc[str(run["run_id"])]
    blocks = GATES[cell.cell]
    bias = float(np.sum(cell.weights * (cell.keep_bias**2 + (cell.write_bias**2 if blocks == 4 else 0.0)))) / blocks
    state = float(look["mean"]) ** 2 + float(look["std"]) ** 2
    kept = (RESET if cell.cell == "gru" else 1.0) * cell.weight_variance * state
    square = (float(look["preactivation_mean_square"]) - kept - bias) / weights if weights else np.nan
    return square, bias > 0.0
