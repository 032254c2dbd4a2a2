"""What theory says of convolutional networks and transformers before training, beside what was measured at step 0.

The theory reads a run's levels; where it begins is measured. Of a convolutional network that is the first layer's mean
square, from which the inputs' follows, the median over the runs of a dataset; with the table `positions` its image,
the mean over the runs of a setting. Of a transformer it is the stream behind the first sub-layer (of b2t behind the
first block), its mean square and the cosine of two tokens, the mean over the runs of a setting; how many tokens one's
own data have is told by the table `attention`. What is compared comes later: every other layer. Runs that are alike in
what theory reads are one setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analysis.quantities import log_ratio
from bench.analysis.tables import Reals, Tables
from bench.errors import BenchError
from bench.factors import FACTORS, dataset_level, read_label
from bench.schema import RunStatus
from bench.theory import (
    ConvNetwork,
    Transformer,
    conv_network_of,
    conv_profile,
    convnets,
    later_profile,
    transformer_of,
    transformers,
)
from bench.theory.activations import Array

CONV, TRANSFORMER = ARCHITECTURES = (convnets.CONV, transformers.TRANSFORMER)
GRADIENT, SQUARE, COSINE, ENTROPY = "gradient", "mean_square", "token_cosine", "entropy"
QUANTITIES = {GRADIENT: "gradient", SQUARE: "q", COSINE: "cosine", ENTROPY: "entropy"}  # and their heads in a table
OF_DATA = ("dataset", "preprocessing")
READ = {
    CONV: (*OF_DATA, "architecture", *convnets.READ, "head_pool"),
    TRANSFORMER: (*OF_DATA, "architecture", *transformers.READ, *transformers.ON_EMBEDDING),
}
FACTORS_READ = frozenset().union(*READ.values())
COLUMNS = ["run_id", "setting", "layer_index", "quantity", "predicted", "measured"]
PLACED = ["run_id", "setting", "layer_index", "row", "column", "quantity", "predicted", "measured"]


@dataclass(frozen=True)
class LayerTheory:
    """Predictions for the convolutional networks and transformers of some tables.

    Attributes:
        runs: by run_id: `architecture`, `setting` (a number for each combination of what theory reads), and `reason`,
            why there is no prediction, empty where there is one. Runs of other architectures are not there.
        layers: setting, layer_index, quantity, predicted. Quantities are `gradient` (log10 of the pre-activation
            gradient's norm over the last hidden layer's), `mean_square` (of the pre-activation), of transformers
            `token_cosine` and `entropy` too. What the prediction starts from is not there.
        positions: setting, layer_index, row, column, quantity (`mean_square`, or `gradient`, a mean square too), and
            predicted, over the mean over the layer's positions; of convolutional networks.
    """

    runs: pd.DataFrame
    layers: pd.DataFrame
    positions: pd.DataFrame


@dataclass(frozen=True)
class _Told:
    """A setting's predictions, or why there are none."""

    reason: str = ""
    layers: pd.DataFrame | None = None
    positions: pd.DataFrame | None = None


def layer_theory(tables: Tables) -> LayerTheory:
    """What theory predicts for each convolutional network and transformer, or why it predicts nothing.

    Args:
        tables: runs, gradient_norms and activations; attention and positions where they were recorded.
    """
    frames, layers, positions, first = [], [], [], 0
    for architecture, tell in ((CONV, _of_convolutions), (TRANSFORMER, _of_transformers)):
        runs = tables["runs"][tables["runs"]["architecture"].astype(str) == architecture]
        if runs.empty:
            continue
        known = [name for name in READ[architecture] if name in runs]
        code = runs.groupby(known, sort=False, observed=True, dropna=False).ngroup().to_numpy(np.int64) + first
        told = tell(tables, runs.assign(setting=code))
        reasons = np.array([told[each].reason for each in code], object)
        frames.append(pd.DataFrame({"architecture": architecture, "setting": code, "reason": reasons}, runs["run_id"]))
        layers += [each.layers.assign(setting=at) for at, each in told.items() if each.layers is not None]
        positions += [each.positions.assign(setting=at) for at, each in told.items() if each.positions is not None]
        first = int(code.max()) + 1
    by_run = pd.concat(frames) if frames else pd.DataFrame(columns=["architecture", "setting", "reason"])
    by_run.index = by_run.index.astype(str)
    if frames:
        lost = _lost(tables).reindex(by_run.index)
        by_run["reason"] = by_run["reason"].where(by_run["reason"] != "", lost)
    return LayerTheory(
        by_run,
        _joined(layers, ["setting", "layer_index", "quantity", "predicted"]),
        _joined(positions, ["setting", "layer_index", "row", "column", "quantity", "predicted"]),
    )


def compared_layers(tables: Tables, theory: LayerTheory) -> pd.DataFrame:
    """Predicted and measured at step 0, one row a run, layer and quantity that was recorded: `COLUMNS`."""
    keys = ["run_id", "layer_index"]
    measured = [each.melt(keys, var_name="quantity", value_name="measured") for each in _measured(tables)]
    return _beside(theory, theory.layers, measured, ["layer_index", "quantity"])[COLUMNS]


def compared_positions(tables: Tables, theory: LayerTheory) -> pd.DataFrame:
    """The same by position, over the mean of the layer's positions that are kept: `PLACED`."""
    rows = _placed(tables)
    keys = ["layer_index", "row", "column", "quantity"]
    if rows.empty or theory.positions.empty:
        return pd.DataFrame(columns=PLACED)
    found = _beside(theory, theory.positions, [rows], keys)
    over = found.groupby(["run_id", "layer_index", "quantity"], observed=True)
    for name in ("predicted", "measured"):
        found[name] = found[name] / over[name].transform("mean")
    return found[PLACED]


def ranked_layers(found: pd.DataFrame) -> pd.DataFrame:
    """One row a setting, the furthest from theory first, of what `compared_layers` returned.

    Columns: setting, run_id (a run of it), `away` (the largest distance of any layer's gradient, in decades), and of
    each quantity `_predicted` and `_measured`, medians over replicates: the gradient of the first compared layer, mean
    square and cosine of the last, the mean entropy; NaN where there is none.
    """
    median = found.groupby(["setting", "quantity", "layer_index"], observed=True)[["predicted", "measured"]].median()
    rows = []
    for setting, own in median.groupby("setting"):
        run = found.loc[found["setting"] == setting, "run_id"].iloc[0]
        row: dict[str, object] = {"setting": setting, "run_id": run}
        for quantity, values in own.droplevel("setting").groupby("quantity"):
            one = values.iloc[0 if quantity == GRADIENT else -1] if quantity != ENTROPY else values.mean()
            row |= {f"{quantity}_{name}": float(one[name]) for name in ("predicted", "measured")}
            if quantity == GRADIENT:
                row["away"] = float((values["measured"] - values["predicted"]).abs().max())
        rows.append(row)
    table = pd.DataFrame(rows)
    wanted = [f"{each}_{name}" for each in QUANTITIES for name in ("predicted", "measured")]
    table = table.reindex(columns=["setting", "run_id", "away", *wanted])
    return table.sort_values("away", ascending=False, kind="stable", na_position="last").reset_index(drop=True)


def _beside(theory: LayerTheory, told: pd.DataFrame, measured: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    covered = theory.runs[theory.runs["reason"] == ""]
    rows = pd.concat(measured, ignore_index=True) if measured else pd.DataFrame(columns=["run_id", *keys, "measured"])
    rows = rows.assign(run_id=rows["run_id"].astype(str))
    rows = rows.merge(covered[["setting"]], left_on="run_id", right_index=True)
    found = rows.merge(told, on=["setting", *keys])
    return found[found["measured"].notna() & found["predicted"].notna()].reset_index(drop=True)


def _joined(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _measured(tables: Tables) -> list[pd.DataFrame]:
    """run_id, layer_index and the quantities of each table at step 0."""
    norms = _at_start(tables, "gradient_norms")
    norms = norms[norms["layer_name"] != "head"].sort_values(["run_id", "layer_index"], kind="stable")
    value = norms["preactivation_grad_norm"]
    last = value.groupby(norms["run_id"], sort=False, observed=True).transform("last")
    ratio = log_ratio(value.to_numpy(np.float64), last.to_numpy(np.float64))
    known = np.where((last > 0.0) & np.isfinite(last), ratio, np.nan)
    looks = _at_start(tables, "activations").rename(columns={"preactivation_mean_square": SQUARE})
    looked = [name for name in (SQUARE, COSINE) if name in looks]
    found = [norms[["run_id", "layer_index"]].assign(**{GRADIENT: known}), looks[["run_id", "layer_index", *looked]]]
    heads = _at_start(tables, "attention")
    if len(heads):
        found.append(heads.groupby(["run_id", "layer_index"], observed=True)[ENTROPY].mean().reset_index())
    return found


def _placed(tables: Tables) -> pd.DataFrame:
    rows = _at_start(tables, "positions")
    if rows.empty:
        return pd.DataFrame(columns=["run_id", "layer_index", "row", "column", "quantity", "measured"])
    keys = ["run_id", "layer_index", "row", "column"]
    rows = rows.assign(**{GRADIENT: np.square(rows["preactivation_grad_norm"])})
    return rows[[*keys, SQUARE, GRADIENT]].melt(keys, var_name="quantity", value_name="measured")


def _at_start(tables: Tables, name: str) -> pd.DataFrame:
    if name not in tables:
        return pd.DataFrame()
    frame = tables[name]
    return frame[frame["step"] == 0] if len(frame) else frame


def _lost(tables: Tables) -> pd.Series:
    """By run why its first gradient is not there to compare; empty where it is."""
    runs = tables["runs"].set_index(tables["runs"]["run_id"].astype(str))
    seen = set(_at_start(tables, "gradient_norms")["run_id"].astype(str))
    gone = runs["status"] != RunStatus.COMPLETED
    said = np.where(gone, "Lost before its first gradient was measured.", "Its gradient at step 0 was not recorded.")
    return pd.Series(np.where(runs.index.isin(seen), "", said), runs.index)


def _described(runs: pd.DataFrame, describe: Callable[[Mapping[str, object]], object]) -> dict[int, object]:
    """By setting what `describe` makes of a run's levels, or why it makes nothing."""
    found: dict[int, object] = {}
    for row in runs.drop_duplicates("setting").to_dict("records"):
        levels = {str(name): (None if pd.isna(value) else value) for name, value in row.items()}
        try:
            found[int(row["setting"])] = describe(levels)
        except BenchError as error:
            found[int(row["setting"])] = str(error).removeprefix("Not predicted: ")
    return found


def _of_convolutions(tables: Tables, runs: pd.DataFrame) -> dict[int, _Told]:
    placed, counts = _at_start(tables, "positions"), _channels(tables, runs)
    described = _described(runs, lambda levels: conv_network_of(levels, _sample(levels, placed, counts)))
    looks = _at_start(tables, "activations")
    first = looks[looks["layer_index"] == 0].assign(run_id=lambda each: each["run_id"].astype(str))
    squares = first.set_index("run_id")["preactivation_mean_square"] if len(first) else pd.Series(dtype=float)
    runs = runs.assign(_square=runs["run_id"].astype(str).map(squares))
    inputs = _input_squares(runs, described)
    told = {}
    for setting, own in runs.groupby("setting"):
        at, network = int(str(setting)), described[int(str(setting))]
        if not isinstance(network, ConvNetwork):
            told[at] = _Told(str(network))
            continue
        start = inputs.get(tuple(own.iloc[0][name] for name in OF_DATA if name in own))
        image = _first_image(placed, own["run_id"].astype(str), network.shape)
        if start is None and image is None:
            told[at] = _Told("The size of the inputs was not measured.")
            continue
        try:
            told[at] = _convolution(network, start or 1.0, image)
        except BenchError as error:
            told[at] = _Told(str(error).removeprefix("Not predicted: "))
    return told


def _sample(levels: Mapping[str, object], placed: pd.DataFrame, counts: Mapping[str, int]) -> tuple[int, ...] | None:
    """A sample's positions and channels: of the dataset, or as what was recorded tells; None where nothing does."""
    data = dataset_level(read_label(FACTORS["dataset"], levels["dataset"]))
    if data is not None and len(data.shape) in (2, 3):
        return data.shape
    own = placed[(placed["run_id"] == levels["run_id"]) & (placed["layer_index"] == 0)] if len(placed) else placed
    channels = counts.get(str(levels["run_id"]), 0)
    if own.empty or not channels:
        return None
    size = (int(own["row"].max()) + 1, int(own["column"].max()) + 1)
    spans = int(str(levels["kernel_size"]))
    shape = size if size[0] > 1 else size[1:]
    return (*shape, max(1, round(channels / spans ** len(shape))))


def _channels(tables: Tables, runs: pd.DataFrame) -> dict[str, int]:
    """By run the weights of one filter of the first layer: positions of the kernel times channels."""
    norms = _at_start(tables, "gradient_norms")
    norms = norms[norms["layer_index"] == 0]
    width = runs.set_index(runs["run_id"].astype(str))["width"]
    counts = norms.set_index(norms["run_id"].astype(str))["weight_count"]
    return {run: round(float(counts[run]) / float(width[run])) for run in width.index if run in counts.index}


def _input_squares(runs: pd.DataFrame, described: Mapping[int, object]) -> dict[tuple[object, ...], float]:
    """The inputs' mean square by dataset and preprocessing, as first layers tell it; see the module."""
    names = [name for name in OF_DATA if name in runs]
    rows = []
    for row in runs.to_dict("records"):
        network = described[int(row["setting"])]
        if not isinstance(network, ConvNetwork) or network.first.tolerance is not None:
            continue
        rows.append((*(row[name] for name in names), input_square(network, float(row["_square"]))))
    frame = pd.DataFrame(rows, columns=[*names, "square"])
    medians = frame[frame["square"] > 0.0].groupby(names, observed=True)["square"].median() if names else {}
    return {key if isinstance(key, tuple) else (key,): float(value) for key, value in dict(medians).items()}


def input_square(network: ConvNetwork, first: float) -> float:
    """The inputs' mean square by that of the first layer's pre-activations: without its biases, over what 1 makes."""
    alone = replace(network, depth=1, bias_variance=0.0, downsample="", skip_layers=0)
    unit = float(conv_profile(alone).q[0])
    return (first - network.bias_variance) / unit if unit else np.nan


def _first_image(placed: pd.DataFrame, ids: pd.Series, shape: Sequence[int]) -> Array | None:
    """The first layer's mean square by position, the mean over runs; None where not every position was recorded."""
    if placed.empty:
        return None
    own = placed[placed["run_id"].astype(str).isin(ids) & (placed["layer_index"] == 0)]
    image = own.groupby(["row", "column"])["mean_square"].mean()
    rows, columns = shape if len(shape) == 2 else (1, *shape)
    if len(image) != rows * columns or not np.isfinite(image.to_numpy()).all():
        return None
    return np.asarray(image.to_numpy(np.float64).reshape(shape), np.float64)


def _convolution(network: ConvNetwork, start: float, image: Array | None) -> _Told:
    found = conv_profile(network, start, image)
    layers = np.arange(len(found.q))
    frames = [
        pd.DataFrame({"layer_index": layers[:-1], "quantity": GRADIENT, "predicted": found.preactivation[:-1]}),
        pd.DataFrame({"layer_index": layers[1:], "quantity": SQUARE, "predicted": found.q[1:]}),
    ]
    placed = []
    for quantity, images in ((SQUARE, found.mean_square[1:]), (GRADIENT, found.gradient)):
        for layer, by_place in enumerate(images, 1 if quantity == SQUARE else 0):
            flat = by_place.reshape(-1, by_place.shape[-1])
            row, column = np.indices(flat.shape)
            placed.append(
                pd.DataFrame(
                    {
                        "layer_index": layer, "row": row.ravel(), "column": column.ravel(), "quantity": quantity,
                        "predicted": (flat / flat.mean()).ravel() if flat.mean() > 0.0 else np.nan,
                    }
                )
            )  # fmt: skip
    return _Told("" if len(layers) > 1 else "A single layer has no other to compare with.",
                 pd.concat(frames, ignore_index=True), pd.concat(placed, ignore_index=True))  # fmt: skip


def _of_transformers(tables: Tables, runs: pd.DataFrame) -> dict[int, _Told]:
    lengths = _lengths(_at_start(tables, "attention"))
    described = _described(runs, lambda levels: transformer_of(levels, _length(levels, lengths)))
    looks = _at_start(tables, "activations").assign(run_id=lambda each: each["run_id"].astype(str))
    told = {}
    for setting, own in runs.groupby("setting"):
        network = described[int(str(setting))]
        if not isinstance(network, Transformer):
            told[int(str(setting))] = _Told(str(network))
            continue
        first = len(network.sublayers) if network.block == "b2t" else 1
        seen = looks[looks["run_id"].isin(own["run_id"].astype(str)) & (looks["layer_index"] == first - 1)]
        told[int(str(setting))] = _transformer(network, first, seen)
    return told


def _lengths(heads: pd.DataFrame) -> dict[str, int]:
    """By run the number of tokens whose logarithm an entropy is a share of, where each sees every other."""
    known = heads[heads["entropy_share"] > 0.0] if len(heads) else heads
    if known.empty:
        return {}
    sums = known.groupby(known["run_id"].astype(str))[["entropy", "entropy_share"]].sum()
    logarithms = sums["entropy"] / sums["entropy_share"]
    return {str(run): round(math.exp(float(each))) for run, each in logarithms.items()}


def _length(levels: Mapping[str, object], lengths: Mapping[str, int]) -> int | None:
    """Tokens of a sample of one's own data, as heads tell it; None where the dataset does, or nothing does."""
    data = dataset_level(read_label(FACTORS["dataset"], levels["dataset"]))
    told = (data is not None and data.steps) or str(levels.get("causal")) == "yes"
    return None if told else lengths.get(str(levels["run_id"]))


def _transformer(network: Transformer, first: int, seen: pd.DataFrame) -> _Told:
    """From a sub-layer on, by what was seen of the one before."""
    if COSINE not in seen or not seen[COSINE].notna().any():
        return _Told("How alike tokens are was not measured.")
    if first >= len(network.kinds):
        return _Told("A single sub-layer has no other to compare with.")
    square, cosine = (float(seen[name].mean()) for name in ("preactivation_mean_square", COSINE))
    if not (np.isfinite(square) and square > 0.0):
        return _Told("The size of the stream was not measured.")
    found = later_profile(network, first, square, float(np.clip(cosine, -1.0, 1.0)))
    columns: dict[str, Reals] = {GRADIENT: found.gradient, SQUARE: found.mean_square, COSINE: found.token_cosine}
    columns[ENTROPY] = found.entropy
    at = np.arange(first, len(network.kinds))
    wide = pd.DataFrame({"layer_index": at, **columns})
    rows = wide.melt("layer_index", var_name="quantity", value_name="predicted").dropna()
    last = (rows["quantity"] == GRADIENT) & (rows["layer_index"] == at[-1])
    return _Told("", rows[~last])
