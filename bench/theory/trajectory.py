"""A network's layers one after the other: variance and covariance forward, squared gradient norms backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.theory.activations import Array
from bench.theory.description import DenseNetwork
from bench.theory.response import Response, Unit

DIGITS = 11  # layers whose state agrees to as many are one


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
