"""What theory says of a run's first look within layers: by position of a convolution, by sub-layer of a transformer.

The theory (`bench.theory`) reads a run's levels. Of a convolution's inputs it needs their mean square, which is taken
from the first layer, as `layer_theory` does. Of a transformer's tokens it
takes what the embeddings are drawn from, of tokens as alike as those of independent symbols.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.analysis.layer_theory import input_square
from bench.analysis.tables import Reals
from bench.errors import BenchError
from bench.factors import FACTORS, dataset_level, read_label
from bench.theory import conv_network_of, conv_profile, embedded, stream_profile, transformer_of


def at_positions(run: Mapping[str, object], first_square: float) -> tuple[pd.DataFrame, pd.DataFrame] | str:
    """A cut through the middle of each layer, and its corners, both in decades over the middle; or why not.

    Args:
        run: its levels, as the table `runs` has them.
        first_square: the measured mean square of the first layer's pre-activations; any positive number where the
            activation does not care.

    Returns:
        layer_index, column, square and gradient, as `within_layers.cuts` has them; layer_index, square and gradient, as
        `within_layers.corners`.
    """
    try:
        network = conv_network_of(_levels(run))
        start = input_square(network, first_square)
        made = conv_profile(network, start if start > 0.0 and np.isfinite(start) else 1.0)
    except BenchError as error:
        return _reason(error)
    cuts, corners = [], []
    for layer, (square, gradient) in enumerate(zip(made.mean_square, made.gradient, strict=True)):
        told = {"square": _over_middle(square), "gradient": _over_middle(np.sqrt(gradient))}
        along = {name: cut for name, (cut, _) in told.items()}
        cuts.append(pd.DataFrame(along).assign(layer_index=layer, column=np.arange(len(along["square"]))))
        corners.append({"layer_index": layer} | {name: corner for name, (_, corner) in told.items()})
    return pd.concat(cuts, ignore_index=True), pd.DataFrame(corners)


def at_sublayers(run: Mapping[str, object]) -> pd.DataFrame | str:
    """layer_index, gradient (decades over that for the last stream) and token_cosine; or why not."""
    levels = _levels(run)
    level = dataset_level(read_label(FACTORS["dataset"], run["dataset"]))
    if level is None or not level.vocabulary:
        return "Of samples that are no tokens the first stream depends on the data."
    try:
        network = transformer_of(levels)
        tokens = embedded(levels, network.length, 1.0 / level.vocabulary)
        made = stream_profile(network, tokens.square, tokens.cosine)
    except BenchError as error:
        return _reason(error)
    rows = np.arange(len(made.kinds))
    return pd.DataFrame({"layer_index": rows, "gradient": made.gradient, "token_cosine": made.token_cosine})


def _over_middle(values: Reals) -> tuple[Reals, float]:
    """log10 over the middle of a cut through the middle rows, and at the corners; positions [rows, columns] or [n]."""
    image = np.atleast_2d(np.asarray(values, np.float64))
    middle = [_middle(size) for size in image.shape]
    cut = image[middle[0]].mean(axis=0)
    ends = image[np.ix_(sorted({0, image.shape[0] - 1}), sorted({0, image.shape[1] - 1}))].mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = cut[middle[1]].mean()
        return np.asarray(np.log10(cut / centre)), float(np.log10(ends / centre))


def _middle(size: int) -> list[int]:
    """The one or two places in the middle of an axis."""
    return sorted({(size - 1) // 2, size // 2})


def _levels(run: Mapping[str, object]) -> dict[str, object]:
    """What of a run is a factor's level, as the theory takes them."""
    return {name: run[name] for name in FACTORS if run.get(name) is not None and run[name] == run[name]}


def _reason(error: BenchError) -> str:
    return str(error).removeprefix("Not predicted: ")
