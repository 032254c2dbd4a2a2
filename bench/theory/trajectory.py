"""A network's layers one after the other: variance and covariance forward, squared gradient norms backward.

From them follows the largest depth at which the signal at initialization still lets a network train. Rule: the total
gradient ratio log10 |d_first| / |d_last| stays within [-1.5, 1.75], and two samples stay apart, the cosine of phi below
0.999. The limits come from 90 trained networks of this kind, of which 93 to 96 % follow the rule; they are round
numbers for a guess before training, not constants of nature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from bench.theory.activations import Array
from bench.theory.describe import DenseNetwork
from bench.theory.normalization import Response, Unit
from bench.theory.quadrature import LogTable

DIGITS = 11  # layers whose state agrees to as many are one
LOWEST, HIGHEST = -1.5, 1.75  # log10 of first over last pre-activation gradient norm
COLLAPSED = 1e-3  # 1 - cosine of two samples' activations
DEEPEST = 500


@dataclass(frozen=True)
class LayerState:
    """One hidden layer in the limit of infinite width.

    Attributes:
        q, k: mean square of the pre-activation, and its covariance between two samples.
        branch: mean square of z = W h + b alone, without the stream of a skip connection.
        weight_variance: sigma_w^2 of the layer's own kernel.
        response: what the layer makes of it.
    """

    q: float
    k: float
    branch: float
    weight_variance: float
    response: Response


def states(network: DenseNetwork, input_mean_square: float = 1.0, input_cosine: float = 0.0) -> Iterator[LayerState]:
    """The hidden layers from the input on; as many as are asked for, the network's depth apart.

    q_0 = sigma_w^2 x^2 + sigma_b^2 and q_l = sigma_w^2 E[h^2] + sigma_b^2, plus the stream's q where a block ends.

    Args:
        network: gives everything but the depth, which the caller decides by when to stop.
        input_mean_square: mean over features of x^2; 1 for standardized inputs.
        input_cosine: mean cosine of two inputs.
    """
    unit = Unit(network)
    known: dict[tuple[float, float], Response] = {}
    unit.check()
    square, product = input_mean_square, input_cosine * input_mean_square
    stream, layer = (0.0, 0.0), 0
    while True:
        law = network.hidden if layer else network.first
        weight = float(law.settled(np.asarray(square), network.bias_variance))
        q = branch = weight * square + network.bias_variance
        k = weight * product + network.bias_variance
        if network.ends_block(layer):
            q, k = (at + network.branch_scale**2 * of for at, of in zip(stream, (q, k), strict=True))
        if layer == 0 or network.ends_block(layer):
            stream = (q, k)
        key = (float(f"{q:.{DIGITS}e}"), float(f"{k:.{DIGITS}e}"))
        if key not in known:
            known[key] = unit.respond(q, k)
        response = known[key]
        yield LayerState(q, k, branch, weight, response)
        square, product, layer = response.square, response.product, layer + 1


def log_gradients(
    network: DenseNetwork, weight: Array, growth: Array, crossed: Array | None = None
) -> tuple[Array, Array]:
    """Natural logarithms of the squared gradient norms of each layer's pre-activation and h, from h of the last as 0.

    |d_h|^2 = sigma_w^2 |d_z above|^2 and |d_s|^2 = growth |d_h|^2, plus that of the stream where a block begins.

    Args:
        network: for where the blocks are.
        weight: ln sigma_w^2 of each layer's kernel, [depth, ...]; row 0 is not used.
        growth: ln of each layer's growth from h to its pre-activation, [depth, ...].
        crossed: cosine of the gradients of branch and stream where a block begins, [depth, ...]; 0 in the limit.

    Returns:
        ln |d_s|^2 and ln |d_h|^2, each of the shape of `growth`.
    """
    signal, read = np.zeros_like(growth), np.zeros_like(growth)
    with np.errstate(divide="ignore"):
        scale = 2.0 * np.log(network.branch_scale)
    last = network.depth - 1
    for layer in range(last, -1, -1):
        if layer < last:
            read[layer] = weight[layer + 1] + signal[layer + 1] + (scale if network.ends_block(layer + 1) else 0.0)
        signal[layer] = growth[layer] + read[layer]
        end = min(layer + network.skip_layers, last)
        if network.skip_layers and layer < last and layer % network.skip_layers == 0:
            both = np.logaddexp(signal[layer], signal[end])
            if crossed is not None:
                both = both + np.log1p(2.0 * np.exp(0.5 * (signal[layer] + signal[end]) - both) * crossed[layer])
            signal[layer] = both
    return signal, read


@dataclass(frozen=True)
class TrainableDepth:
    """The largest depth that keeps the rule, and what ends it.

    Attributes:
        depth: hidden layers; with skip connections whole blocks are counted.
        reason: `vanishing`, `exploding` or `collapse` of the next layer or block; `none` if `depth` is the limit.
    """

    depth: int
    reason: str


def trainable_depth(
    network: DenseNetwork, input_mean_square: float = 1.0, input_cosine: float = 0.0, deepest: int = DEEPEST
) -> TrainableDepth:
    """The largest trainable depth of networks like this one, by the limit of infinite width along the trajectory.

    Args:
        network: gives everything but the depth.
        input_mean_square, input_cosine: of the inputs.
        deepest: where to stop.
    """
    endless, good = replace(network, depth=10**9), 1
    for layer, (decades, cosine) in enumerate(_decades(endless, input_mean_square, input_cosine)):
        if layer >= deepest:
            break
        if decades is None or layer == 0:
            continue
        reason = _reason(decades, cosine)
        if reason:
            return TrainableDepth(good, reason)
        good = layer + 1
    return TrainableDepth(good, "none")


@dataclass
class _Ratio:
    """log10 |d_first| / |d_last| of networks that end with each layer in turn: `decades`, None within a block."""

    network: DenseNetwork
    total: Array | float = 0.0
    branch: Array | float = 0.0
    decades: Array | float | None = None

    def add(self, layer: int, weight: Array | float, opening: Array | float) -> None:
        """Go on by a layer: ln of its kernel's sigma_w^2, and of the growth from h to s below it."""
        branch = self.branch + weight + opening
        if self.network.skip_layers and layer and not self.network.ends_block(layer):
            self.branch, self.decades = branch, None
            return
        if layer:
            if self.network.skip_layers:
                branch = np.logaddexp(0.0, 2.0 * np.log(self.network.branch_scale) + branch)
            self.total, self.branch = self.total + branch, 0.0
        self.decades = 0.5 * self.total / np.log(10.0)


def _decades(
    network: DenseNetwork, input_mean_square: float, input_cosine: float
) -> Iterator[tuple[float | None, float]]:
    """For networks that end with each layer in turn: log10 of the ratio, None within a block, and the cosine of phi."""
    ratio, opening = _Ratio(network), 0.0
    for layer, state in enumerate(states(network, input_mean_square, input_cosine)):
        with np.errstate(divide="ignore"):
            ratio.add(layer, float(np.log(state.weight_variance)), opening)
            opening = float(np.log(state.response.growth))
        yield (None if ratio.decades is None else float(ratio.decades)), state.response.cosine


def gain_rates(network: DenseNetwork, gains: Array, deepest: int, input_mean_square: float = 1.0) -> Array:
    """log10 |d_first| / |d_last| at every depth to `deepest`, for weights scaled by each gain; [gains, deepest].

    Without a normalization of values and without lsuv q runs through a table of phi's moments; the others are asked
    gain by gain. With skip connections the entries within a block repeat that of the block before.
    """
    endless = replace(network, depth=10**9)
    if network.position or network.hidden.tolerance is not None:
        return np.array([_rates(_scaled(endless, float(gain)), deepest, input_mean_square) for gain in gains])
    square, growth = LogTable.pair(Unit(network).single, [1e-20, 1e20])
    found, ratio = np.zeros((len(gains), deepest)), _Ratio(endless)
    opening, p, stream = np.zeros(len(gains)), np.full(len(gains), input_mean_square), np.zeros(len(gains))
    with np.errstate(divide="ignore", over="ignore"):
        for layer in range(deepest):
            weight = (network.hidden if layer else network.first).variance * gains**2
            q = weight * p + network.bias_variance
            ends = endless.ends_block(layer)
            q = stream + network.branch_scale**2 * q if ends else q
            stream = q if ends or layer == 0 else stream
            ratio.add(layer, np.log(weight), opening)
            found[:, layer] = found[:, layer - 1] if ratio.decades is None else ratio.decades
            state = np.log(np.clip(q, 1e-60, 1e60))
            p, opening = np.exp(square(state)[0]), growth(state)[0]
    return found


def _scaled(network: DenseNetwork, gain: float) -> DenseNetwork:
    first, hidden = (replace(law, variance=law.variance * gain**2) for law in (network.first, network.hidden))
    return replace(network, first=first, hidden=hidden)


def _rates(network: DenseNetwork, deepest: int, input_mean_square: float) -> Array:
    found = np.zeros(deepest)
    for layer, (decades, _) in enumerate(islice(_decades(network, input_mean_square, 0.0), deepest)):
        found[layer] = found[layer - 1] if decades is None else decades
    return found


def _reason(decades: float, cosine: float) -> str:
    if np.isnan(decades) or decades < LOWEST:
        return "vanishing"
    if decades > HIGHEST:
        return "exploding"
    return "collapse" if cosine > 1.0 - COLLAPSED else ""
