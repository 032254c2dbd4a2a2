"""The largest depth at which the signal at initialization still lets a network train.

Rule: the total gradient ratio log10 |d_first| / |d_last| stays within [-1.5, 1.75], and two samples stay apart, cosine of
phi below 0.999. The limits come from 90 trained networks of this kind, of which 93 to 96 % follow the rule; they are
round numbers for a guess before training, not constants of nature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.theory.description import DenseNetwork
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
    endless = replace(network, depth=10**9)
    total, branch, good, opening = 0.0, 0.0, 1, 0.0
    for layer, state in enumerate(states(endless, input_mean_square, input_cosine)):
        if layer:
            with np.errstate(divide="ignore"):
                branch += float(np.log(state.weight_variance)) + opening
                if not network.skip_layers:
                    total, branch = total + branch, 0.0
                elif endless.ends_block(layer):
                    scale = 2.0 * float(np.log(network.branch_scale))
                    total, branch = total + float(np.logaddexp(0.0, scale + branch)), 0.0
            if not network.skip_layers or endless.ends_block(layer):
                decades = 0.5 * total / np.log(10.0)
                reason = _reason(decades, state.response.cosine)
                if reason or layer + 1 > deepest:
                    return TrainableDepth(good, reason or "none")
                good = layer + 1
        with np.errstate(divide="ignore"):
            opening = float(np.log(state.response.growth))
        if layer >= deepest:
            break
    return TrainableDepth(good, "none")


def _reason(decades: float, cosine: float) -> str:
    if np.isnan(decades) or decades < LOWEST:
        return "vanishing"
    if decades > HIGHEST:
        return "exploding"
    return "collapse" if cosine > 1.0 - COLLAPSED else ""
