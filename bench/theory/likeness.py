"""What the walks of finite networks need of the limit's trajectory: how alike samples and gradients are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.theory.activations import Array
from bench.theory.description import DenseNetwork
from bench.theory.maps import moments
from bench.theory.sphere import Sphere
from bench.theory.trajectory import LayerState, log_gradients

LEAST = 1e-250


def stream_shares(network: DenseNetwork, layers: Sequence[LayerState]) -> Array:
    """Share of the squared gradient norm that the stream brings, where a block begins; in the limit."""
    weights = np.log([max(layer.weight_variance, LEAST) for layer in layers])
    growth = np.log([max(layer.response.growth, LEAST) for layer in layers])
    with np.errstate(invalid="ignore"):
        signal, _ = log_gradients(network, weights, growth)
    ends = np.minimum(np.arange(len(signal)) + max(network.skip_layers, 1), len(signal) - 1)
    with np.errstate(invalid="ignore"):
        found: Array = np.exp(np.minimum(np.nan_to_num(signal[ends] - signal), 0.0))
    return found


def scatter(network: DenseNetwork, layers: Sequence[LayerState]) -> Array:
    """Variance over pairs of the cosine of two pre-activations, from random inputs and finite width."""
    found, at = np.zeros(len(layers)), 1.0 / network.inputs
    for index, layer in enumerate(layers):
        at = min(at + (1.0 - layer.response.noise.cosine**2) ** 2 / network.width, 1.0)
        found[index] = at
        above = layers[min(index + 1, len(layers) - 1)]
        slope = above.weight_variance * layer.response.growth * layer.q / max(above.branch, LEAST)
        at *= min(slope**2 * layer.response.decorrelation, 1.0)
    return found


def sphere_corrections(network: DenseNetwork, layers: Sequence[LayerState], index: int) -> tuple[float, float]:
    """Natural logarithm of of E[phi^2] and E[phi'^2] at a fixed length over those of a Gaussian: of order 1 / n."""
    q, phi = layers[index].q, network.phi
    if network.position or q < 1e-12 or network.width < 4:
        return 0.0, 0.0
    u, weights = Sphere(network.width, False, float(np.sqrt(q * network.width))).nodes(phi)
    limit = moments(phi, q)
    found = (float(weights @ phi.value(u) ** 2), float(weights @ phi.slope(u) ** 2))
    if min(*found, limit.square, limit.slope_square) <= 0.0:
        return 0.0, 0.0
    return float(np.log(found[0] / limit.square)), float(np.log(found[1] / limit.slope_square))
