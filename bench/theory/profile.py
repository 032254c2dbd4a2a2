"""The predicted profile of a network at initialization: per layer, with the band in which single networks lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.theory.activations import Array
from bench.theory.bands import walk
from bench.theory.describe import DenseNetwork, network_of
from bench.theory.trajectory import LayerState, log_gradients, states

NETWORKS = 600
COVERAGE = 0.95
HALF_LOG10 = 0.5 / np.log(10.0)  # from ln of a square to log10 of a norm


@dataclass(frozen=True)
class Profile:
    """Predictions at initialization, each array [depth], layer 0 nearest the input.

    "Relative" norms are log10 of the norm (root mean square over samples) over that of the last hidden layer; the
    limit is that of infinite width. Where no gradient passes they are -inf; where there is none at all, NaN.

    Attributes:
        mean_square: q, of the pre-activation (with a skip connection: of the stream).
        mean_square_low, mean_square_high: band of the measured mean square.
        weight_variance: sigma_w^2 of the layer's kernel.
        chi: growth of the squared gradient norm from the next layer's z to this layer's pre-activation, along the
            branch where there is a skip connection; the last entry supposes one more hidden layer.
        pair_correlation: cosine of phi between two samples.
        preactivation: relative norm of the gradient for the pre-activation, in the limit.
        preactivation_shift, preactivation_spread: mean and standard deviation of its departure at this width.
        preactivation_low, preactivation_high: band that holds a share `coverage` of networks, layer by layer.
        coverage: nominal share of the bands.
    """

    mean_square: Array
    mean_square_low: Array
    mean_square_high: Array
    weight_variance: Array
    chi: Array
    pair_correlation: Array
    preactivation: Array
    preactivation_shift: Array
    preactivation_spread: Array
    preactivation_low: Array
    preactivation_high: Array
    coverage: float = COVERAGE

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.mean_square)

    def columns(self) -> dict[str, Array]:
        """The arrays by name, as a frame takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "coverage"}


def profile(
    network: DenseNetwork | Mapping[str, object],
    input_mean_square: float = 1.0,
    input_cosine: float = 0.0,
    samples: int | None = None,
    networks: int = NETWORKS,
) -> Profile:
    """What theory predicts for a network at initialization.

    Args:
        network: as `network_of` gives it, or a run's levels.
        input_mean_square: mean square of the inputs' features, 1 for standardized inputs; measured, if at hand.
        input_cosine: mean cosine of two inputs.
        samples: over which measured norms are averaged; by default the batch.
        networks: random walks behind the bands; their seed is fixed, so that answers repeat.

    Raises:
        BenchError: the theory does not cover the network, or an input statistic is impossible.
    """
    described = network if isinstance(network, DenseNetwork) else network_of(network)
    if not (np.isfinite(input_mean_square) and input_mean_square > 0.0 and -1.0 <= input_cosine <= 1.0):
        raise BenchError("The inputs' mean square must be above 0, and their cosine between -1 and 1.")
    layers = list(islice(states(described, input_mean_square, input_cosine), described.depth))
    weights = _log([layer.weight_variance for layer in layers])
    growth = _log([layer.response.growth for layer in layers])
    limit = _relative(log_gradients(described, weights, growth)[0])
    if not described.head.variance:  # the head passes no gradient at all
        limit = np.full(described.depth, np.nan)
    found = _moved(described, layers, limit, (samples or described.batch_size, networks))
    next_weight = described.hidden.settled(
        np.array([layer.response.square for layer in layers]), described.bias_variance
    )
    return Profile(
        mean_square=np.array([layer.q for layer in layers]),
        weight_variance=np.exp(weights),
        chi=next_weight * np.exp(growth),
        pair_correlation=np.array([layer.response.cosine for layer in layers]),
        preactivation=limit,
        **found,  # type: ignore[arg-type]
    )


def _moved(network: DenseNetwork, layers: list[LayerState], limit: Array, counts: tuple[int, int]) -> dict[str, Array]:
    """Shift, spread and bands of networks of finite width."""
    # Weibull's quantiles: a new network lies between them with a chance of exactly COVERAGE, however few were drawn.
    ends: Any = {"q": np.array([0.5 * (1.0 - COVERAGE), 0.5 * (1.0 + COVERAGE)]), "axis": 1, "method": "weibull"}
    walks = walk(network, layers, counts[1], counts[0])
    variance, drawn = np.exp(np.quantile(walks.mean_square, **ends)), _relative(walks.signal)
    known = np.isfinite(limit) & np.isfinite(drawn).all(axis=1)
    drawn = np.where(known[:, None], drawn, 0.0)
    low, high = np.where(known, np.quantile(drawn, **ends), limit)
    away = drawn - np.where(known, limit, 0.0)[:, None]
    return {
        "mean_square_low": variance[0],
        "mean_square_high": variance[1],
        "preactivation_low": low,
        "preactivation_high": high,
        "preactivation_shift": away.mean(axis=1),
        "preactivation_spread": away.std(axis=1),
    }


def _relative(signal: Array) -> Array:
    """log10 norms of the gradients for the pre-activations over that of the last hidden layer."""
    with np.errstate(invalid="ignore"):
        found: Array = HALF_LOG10 * (signal - signal[-1])
    return found


def _log(values: list[float]) -> Array:
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.array(values))
    return found
