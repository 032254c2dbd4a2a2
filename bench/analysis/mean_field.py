"""Mean-field theory beside measurement: per run and hidden layer the predicted and the measured relative gradient.

The theory reads a run's levels (`bench.theory`); of the inputs it needs two numbers. Their mean square is 1 with the
preprocessing `unit_mean_square`; else it is measured: the first hidden layer's mean square is sigma_w^2 times it plus
sigma_b^2, and the median over the runs of a dataset is taken, so that it holds for data of one's own too. Their mean
cosine is 0: every feature of standardized rows has mean 0. Runs that are alike in what the theory reads share one
computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.quantities import log_ratio
from bench.analysis.tables import Moment, Reals, Tables, at_moment
from bench.errors import BenchError
from bench.factors import FACTORS
from bench.factors.losses import BINARY
from bench.schema import RunStatus
from bench.theory import DenseNetwork, network_of, profile
from bench.theory.describe import READ

WALKS = 240  # finite networks behind each band
ROUNDING = 1e-3  # decades that float32 may add to a measured ratio; bands of exact predictions have no width
_INPUTS = ("dataset", "preprocessing")
SETTINGS = (*_INPUTS, "architecture", "loss", *READ)
_SIGNAL = "preactivation_grad_norm"


@dataclass(frozen=True)
class Theory:
    """Predictions for the runs of some tables.

    Attributes:
        runs: by run_id: `setting`, a number for each combination of what the theory reads; `network`, which of the
            networks it is, -1 for none; `reason`, why there is no prediction, empty where there is one. Settings that
            come to the same are one network.
        networks: as the theory describes them.
        layers: network, layer_index, `predicted` (mean over networks of this width of log10 of the pre-activation
            gradient norm over the last hidden layer's), `low` and `high` (its 95 % band), mean_square (of the
            pre-activation), pair_correlation.
        input_mean_square: by network.
    """

    runs: pd.DataFrame
    networks: tuple[DenseNetwork, ...]
    layers: pd.DataFrame
    input_mean_square: tuple[float, ...]


def theory_of(tables: Tables, most: int | None = None, walks: int = WALKS) -> Theory:
    """What theory predicts for each run of `tables`, or why it predicts nothing.

    Args:
        tables: runs, gradient_norms and activations.
        most: different networks computed at most, evenly over the runs' order; the others' reason says so.
        walks: finite networks drawn for each band (`bench.theory.profile`).
    """
    runs = _with_sizes(tables)
    code, settings = _distinct(runs, [*(name for name in SETTINGS if name in runs), "_inputs", "_classes"])
    described = [_described(row) for row in settings]
    squares = _input_mean_squares(tables, runs.assign(_code=code), described)
    network, places = [], dict[tuple[DenseNetwork, float], int]()
    for row, found in zip(settings, described, strict=True):
        square = squares.get(tuple(row.get(name) for name in _INPUTS), 1.0)
        network.append(places.setdefault((found, square), len(places)) if isinstance(found, DenseNetwork) else -1)
    layers, refused = _profiles(list(places), most, walks)
    reasons = [found if isinstance(found, str) else refused[at] for found, at in zip(described, network, strict=True)]
    columns = {"setting": code, "network": np.array(network)[code], "reason": np.array(reasons, object)[code]}
    by_run = pd.DataFrame(columns)
    by_run.index = pd.Index(runs["run_id"], name="run_id")
    unmeasured = _unmeasured(tables).reindex(by_run.index)
    by_run["reason"] = by_run["reason"].where(by_run["reason"] != "", unmeasured)
    return Theory(by_run, tuple(key[0] for key in places), layers, tuple(key[1] for key in places))


def predictions(tables: Tables, theory: Theory, moment: Moment = Moment.START) -> pd.DataFrame:
    """Predicted and measured by run and hidden layer, for the runs that have a prediction.

    Columns: run_id, setting, network, layer_index, predicted, low, high, measured (all log10 of the norm over that of
    the last hidden layer), inside. The last hidden layer, the unit of the others, is there with zeros and is no test.
    With the moment `end` the measured values are those of the last recorded step, for which theory does not speak;
    runs without a later step are left out there.
    """
    told = theory.runs[theory.runs["reason"] == ""]
    rows = measured_rows(tables, moment)
    rows = rows.merge(told[["setting", "network"]], left_on="run_id", right_index=True)
    joined = rows.merge(theory.layers, on=["network", "layer_index"], how="left")
    columns = ["run_id", "setting", "network", "layer_index", "predicted", "low", "high", "measured"]
    return joined[columns].assign(inside=_inside(joined))


def disagreement(rows: pd.DataFrame) -> pd.DataFrame:
    """One number for each run of `predictions`, by run_id.

    `departure` is the distance of the measured total, the first layer's value, from the middle of its band, in half
    widths of the band: inside where its magnitude is at most 1; positive where more gradient arrives than predicted.
    Columns: setting, network, predicted, low, high, measured (totals, decades), departure, inside, layers and
    layers_inside (hidden layers but the last). A run with one hidden layer has nothing to compare and is not there.
    """
    last = rows.groupby("run_id", observed=True)["layer_index"].transform("max")
    tested = rows[rows["layer_index"] < last].sort_values(["run_id", "layer_index"], kind="stable")
    tested = tested.assign(departure=departures(tested))
    grouped = tested.groupby("run_id", sort=False, observed=True)
    total = tested.drop_duplicates("run_id", keep="first").set_index("run_id")
    return total.drop(columns="layer_index").assign(
        layers=grouped.size(),
        layers_inside=grouped["inside"].sum().astype(int),
    )


def departures(rows: pd.DataFrame) -> Reals:
    """Distance of each measured value from the middle of its band, in half widths; infinite where only one is."""
    low, high, measured = (rows[name].to_numpy(np.float64) for name in ("low", "high", "measured"))
    with np.errstate(invalid="ignore"):
        away = (measured - 0.5 * (low + high)) / (0.5 * (high - low) + ROUNDING)
    both = np.isneginf(measured) & np.isneginf(high)
    return np.where(both, 0.0, np.where(np.isneginf(high), np.inf, away))


def measured_rows(tables: Tables, moment: Moment) -> pd.DataFrame:
    """run_id, layer_index, step and `measured` of the hidden layers: at step 0, or at a last step after it."""
    norms = tables["gradient_norms"]
    names = ["run_id", "layer_index", "step", _SIGNAL]
    chosen = (norms["layer_name"] != "head") & ((norms["step"] == 0) if moment is Moment.START else norms["step"] > 0)
    kept = norms.loc[chosen, names]
    kept = kept if moment is Moment.START else at_moment(kept, moment)
    ordered = kept.sort_values(["run_id", "layer_index"], kind="stable")
    value = ordered[_SIGNAL].to_numpy(np.float64)
    last = ordered.groupby("run_id", sort=False, observed=True)[_SIGNAL].transform("last").to_numpy(np.float64)
    found = np.where((last > 0.0) & np.isfinite(last), log_ratio(value, last), np.nan)
    return ordered[["run_id", "layer_index", "step"]].assign(measured=found)


def _inside(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return np.abs(departures(rows)) <= 1.0


def _with_sizes(tables: Tables) -> pd.DataFrame:
    """The runs with their networks' features and classes, as the sizes of first kernel and head tell; 0: unknown."""
    runs, norms = tables["runs"], tables["gradient_norms"]
    counts = norms.loc[norms["layer_name"].isin(["hidden_0", "head"]), ["run_id", "layer_name", "weight_count"]]
    counts = counts.drop_duplicates(["run_id", "layer_name"])
    width = runs["width"].to_numpy(np.float64)
    for name, layer in (("_inputs", "hidden_0"), ("_classes", "head")):
        count = counts[counts["layer_name"] == layer].set_index("run_id")["weight_count"]
        found = runs["run_id"].map(count).astype(np.float64) / width
        runs = runs.assign(**{name: found.fillna(0.0).replace(np.inf, 0.0).astype(int)})
    if "loss" in runs:  # to the theory losses are alike but the one that makes one unit of two
        runs = runs.assign(loss=np.where(runs["loss"] == BINARY, BINARY, str(FACTORS["loss"].default)))
    return runs


def _distinct(runs: pd.DataFrame, names: Sequence[str]) -> tuple[NDArray[np.int64], list[dict[str, object]]]:
    """Each run's combination of the columns as a number, and the combinations in order of appearance."""
    code = runs.groupby(list(names), sort=False, observed=True, dropna=False).ngroup().to_numpy(np.int64)
    first = runs.loc[~pd.Series(code, index=runs.index).duplicated(), list(names)]
    rows = [{str(k): (None if pd.isna(v) else v) for k, v in row.items()} for row in first.to_dict("records")]
    return code, rows


def _described(row: Mapping[str, object]) -> DenseNetwork | str:
    """The network, or why the theory has none."""
    inputs, classes = (int(str(row[name])) or None for name in ("_inputs", "_classes"))
    levels = {name: value for name, value in row.items() if not name.startswith("_")}
    try:
        return network_of(levels, inputs=inputs, classes=classes)
    except BenchError as error:
        return str(error)


def _input_mean_squares(
    tables: Tables, runs: pd.DataFrame, described: Sequence[DenseNetwork | str]
) -> dict[tuple[object, ...], float]:
    """Mean square of the inputs' features by dataset and preprocessing, to three digits; see the module."""
    known = [name for name in _INPUTS if name in runs]
    first = tables["activations"]
    first = first[(first["step"] == 0) & (first["layer_index"] == 0)].set_index("run_id")["preactivation_mean_square"]
    weight, bias = (np.full(len(described), np.nan) for _ in range(2))
    for place, network in enumerate(described):
        if isinstance(network, DenseNetwork) and network.first.tolerance is None:
            weight[place], bias[place] = network.first.variance, network.bias_variance
    code = runs["_code"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        square = (runs["run_id"].map(first).to_numpy(np.float64) - bias[code]) / weight[code]
    good = runs.assign(_square=np.where(np.isfinite(square) & (square > 0.0), square, np.nan))
    medians = good.groupby(known, observed=True, dropna=False)["_square"].median().dropna() if known else {}
    keyed = {key if isinstance(key, tuple) else (key,): float(value) for key, value in dict(medians).items()}
    return {key: 1.0 if "unit_mean_square" in key else float(f"{value:.2e}") for key, value in keyed.items()}


def _profiles(
    keys: Sequence[tuple[DenseNetwork, float]], most: int | None, walks: int
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Every network's prediction, and why there is none for the others; by place."""
    chosen = set(range(len(keys)))
    if most is not None and len(keys) > most:
        chosen = set(np.linspace(0, len(keys) - 1, most).round().astype(int).tolist())
    refused, frames = {-1: ""}, []
    for place, (network, square) in enumerate(keys):
        refused[place] = "" if place in chosen else f"Not computed: {most} of {len(keys)} different networks are."
        if place not in chosen:
            continue
        try:
            found = profile(network, square, networks=walks)
        except BenchError as error:
            refused[place] = str(error)
            continue
        columns = found.columns()
        frame = pd.DataFrame({"network": place, "layer_index": np.arange(found.depth)})
        frame = frame.assign(
            predicted=columns["preactivation"] + columns["preactivation_shift"], low=columns["preactivation_low"],
            high=columns["preactivation_high"], mean_square=columns["mean_square"],
            pair_correlation=columns["pair_correlation"],
        )  # fmt: skip
        frames.append(frame)
        if network.depth < 2:
            refused[place] = "A single hidden layer has no other to compare with."
        elif not np.isfinite(columns["preactivation_high"][:-1]).all():
            refused[place] = "No gradient passes these weights: there is no ratio to compare."
    names = ["network", "layer_index", "predicted", "low", "high", "mean_square", "pair_correlation"]
    empty = pd.DataFrame(columns=names)
    return pd.concat(frames, ignore_index=True) if frames else empty.astype(np.float64), refused


def _unmeasured(tables: Tables) -> pd.Series:
    """By run why its first gradient is not there to compare; empty where it is."""
    runs = tables["runs"].set_index("run_id")
    rows = measured_rows(tables, Moment.START)
    known = rows["measured"].notna().groupby(rows["run_id"], observed=True).all().reindex(runs.index)
    lost = runs["status"] != RunStatus.COMPLETED
    absent = np.where(lost, "Lost before its first gradient was measured.", "Its gradient at step 0 was not recorded.")
    said = np.where(
        known.isna(), absent, np.where(known.astype(float) == 1.0, "", "Its first gradient is 0, NaN or infinite.")
    )
    return pd.Series(said, index=runs.index)
