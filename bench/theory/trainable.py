"""The largest depth at which the signal at initialization still lets a network train.

Rule: the total gradient ratio log10 |d_first| / |d_last| stays within [-1.5, 1.75], and two samples stay apart, the
cosine of phi below 0.999. The limits come from 90 trained networks of this kind, of which 93 to 96 % follow the rule;
they are round numbers for a guess before training, not constants of nature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from bench.theory.activations import Array
from bench.theory.description import DenseNetwork
from bench.theory.response import Unit
from bench.theory.tables import LogTable
from bench.theory.trajectory import states

LOWEST, HIGHEST = -1.5, 1.75  # log10 of first over last pre-activation gradient norm
COLLAPSED = 1e-3  # 1 - cosine of two samples' activations
DEEPEST = 500


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


def _decades(
    network: DenseNetwork, input_mean_square: float, input_cosine: float
) -> Iterator[tuple[float | None, float]]:
    """For networks that end with each layer in turn: log10 of the ratio, None within a block, and the cosine of phi."""
    total, branch, opening = 0.0, 0.0, 0.0
    for layer, state in enumerate(states(network, input_mean_square, input_cosine)):
        whole = not network.skip_layers or layer == 0 or network.ends_block(layer)
        with np.errstate(divide="ignore"):
            if layer:
                branch += float(np.log(state.weight_variance)) + opening
                if not network.skip_layers:
                    total, branch = total + branch, 0.0
                elif whole:
                    scale = 2.0 * float(np.log(network.branch_scale))
                    total, branch = total + float(np.logaddexp(0.0, scale + branch)), 0.0
            opening = float(np.log(state.response.growth))
        yield (0.5 * total / np.log(10.0) if whole else None), state.response.cosine


def gain_rates(network: DenseNetwork, gains: Array, deepest: int, input_mean_square: float = 1.0) -> Array:
    """log10 |d_first| / |d_last| at every depth to `deepest`, for weights scaled by each gain; [gains, deepest].

    Without a normalization of values and without lsuv q runs through a table of phi's moments; the others are asked
    gain by gain. With skip connections the entries within a block repeat that of the block before.
    """
    endless = replace(network, depth=10**9)
    if network.position or network.hidden.tolerance is not None:
        return np.array([_rates(_scaled(endless, float(gain)), deepest, input_mean_square) for gain in gains])
    square, growth = LogTable.pair(Unit(network).single, [1e-20, 1e20])
    found = np.zeros((len(gains), deepest))
    total, branch, opening = np.zeros(len(gains)), np.zeros(len(gains)), np.zeros(len(gains))
    p, stream = np.full(len(gains), input_mean_square), np.zeros(len(gains))
    with np.errstate(divide="ignore", over="ignore"):
        for layer in range(deepest):
            weight = (network.hidden if layer else network.first).variance * gains**2
            q = weight * p + network.bias_variance
            ends = endless.ends_block(layer)
            q = stream + network.branch_scale**2 * q if ends else q
            stream = q if ends or layer == 0 else stream
            if layer:
                branch = branch + np.log(weight) + opening
                if not network.skip_layers:
                    total, branch = total + branch, np.zeros(len(gains))
                elif ends:
                    total = total + np.logaddexp(0.0, 2.0 * np.log(network.branch_scale) + branch)
                    branch = np.zeros(len(gains))
            found[:, layer] = 0.5 * total / np.log(10.0)
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
