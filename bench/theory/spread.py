"""How far single networks of finite width depart from the limit: a random walk of a few numbers per layer.

Given the layer below, the pre-activations of a layer with Gaussian weights are independent Gaussians, so that its sums
over n units are the limit's value times one plus noise of variance V / n (`Noise`). A thousand networks are drawn as
such walks: the mean square q with its noise through the full variance map (not linearized: where an unstable fixed
point is near, q runs away to either side), then the gradient back. Weights that are orthogonal keep lengths and lose
that part of the noise. What is left out: the last layers' weights are not independent of the gradient that comes from
the head, and samples differ in their own mean square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.interpolate import make_interp_spline

from bench.theory.activations import Array
from bench.theory.description import DenseNetwork
from bench.theory.noise import Noise
from bench.theory.response import Unit
from bench.theory.trajectory import LayerState, log_gradients

SEED = 20170706
SPACING, MARGIN = 0.3, 9.0  # of the table over ln q, and how far it goes beyond the trajectory
LEAST_LOG = -600.0


class Walks:
    """Networks of finite width as walks around the limit's trajectory.

    Attributes:
        signal, read: natural logarithms of squared gradient norms of pre-activation and h, [depth, networks].
        variance: ln of the pre-activations' mean square as it would be measured, [depth, networks].
    """

    def __init__(self, network: DenseNetwork, layers: Sequence[LayerState], networks: int, batch: int) -> None:
        self.network, self.layers, self.networks, self.batch = network, layers, networks, batch
        self.draw = np.random.default_rng(SEED)
        self.square, self.growth = _tables(network, [layer.q for layer in layers])
        self.cosines = self._gradient_cosines()
        shape = (len(layers), networks)
        self.weights, self.growths, self.arriving, self.variance = (np.zeros(shape) for _ in range(4))
        self._forward()
        self.signal, self.read = self._backward()

    def _gradient_cosines(self) -> Array:
        """Mean squared cosine of two samples' gradients at each layer's h; softmax over K classes gives 1 / (K - 1)."""
        found = np.zeros(len(self.layers))
        at = 1.0 / max(self.network.classes - 1, 1)
        for layer in range(len(self.layers) - 1, -1, -1):
            found[layer] = at
            at = min(at * self.layers[layer].response.decorrelation + 1.0 / self.network.width, 1.0)
        return found

    def _normal(self, variance: float) -> Array:
        """ln of a factor of mean 1 and of that variance over the width."""
        spread = max(variance, 0.0) / self.network.width
        drawn: Array = np.sqrt(spread) * self.draw.standard_normal(self.networks) - 0.5 * spread
        return drawn

    def _paired(self, one: float, cosine: float) -> float:
        return one / self.batch + (1.0 - 1.0 / self.batch) * one * cosine**2

    def _forward(self) -> None:
        network, read = self.network, np.zeros(self.networks)  # ln of h's mean square over the limit's
        stream = np.zeros(self.networks)
        for index, layer in enumerate(self.layers):
            law = network.hidden if index else network.first
            below = np.exp(read) * _below(layer, network.bias_variance)
            weight = law.settled(below, network.bias_variance)
            variance = weight * below + network.bias_variance
            fixed = law.isometric or law.tolerance is not None
            cosine = layer.response.noise.cosine
            length = 0.0 if fixed and not network.bias_variance else self._paired(2.0, cosine)
            if network.skip_layers and (index == 0 or network.ends_block(index)):
                variance = variance * np.exp(self._normal(length))
                if index:
                    variance = self._joined(stream, variance, cosine)
                stream, length, fixed = variance, 0.0, True
            noise = _with_length(layer.response.noise, fixed=fixed)
            state = np.log(np.maximum(variance, 1e-250))
            self.variance[index] = state + self._normal(length)
            self.weights[index] = np.log(np.maximum(weight, 1e-250))
            read = self._unit_sums(index, state, noise)

    def _joined(self, stream: Array, branch: Array, cosine: float) -> Array:
        """Mean square of the sum of stream and branch, whose product over units is not exactly 0."""
        scale = self.network.branch_scale
        crossed = np.sqrt(self._paired(1.0, cosine) / self.network.width) * self.draw.standard_normal(self.networks)
        joined: Array = stream + scale**2 * branch + 2.0 * scale * np.sqrt(stream * branch) * crossed
        return np.maximum(joined, 1e-3 * stream)

    def _unit_sums(self, index: int, state: Array, noise: Noise) -> Array:
        """Note the layer's growth, and give ln of h's mean square over the limit's."""
        layer = self.layers[index]
        limit = np.log(max(layer.q, 1e-250))
        forward, backward, both = noise.averaged(self.batch, self.cosines[index])
        ahead = self._normal(forward)
        lean = both / forward if forward > 0.0 else 0.0
        behind = lean * (ahead + 0.5 * forward / self.network.width) + self._normal(max(backward - lean * both, 0.0))
        behind -= 0.5 * max(min(lean * both, backward), 0.0) / self.network.width
        bent = self.growth(state) - self.growth(limit)
        self.growths[index] = np.log(max(layer.response.growth, 1e-250)) + bent + behind
        moved: Array = self.square(state) - self.square(limit) + ahead
        return moved

    def _backward(self) -> tuple[Array, Array]:
        arriving = np.zeros_like(self.growths)
        if not self.network.hidden.isometric:
            for index in range(len(self.layers) - 1):
                one = 2.0 / self.batch + (1.0 - 1.0 / self.batch) * 2.0 * self.cosines[index + 1]
                arriving[index + 1] = self._normal(one)
        return log_gradients(self.network, self.weights + arriving, self.growths)


def _below(layer: LayerState, bias_variance: float) -> float:
    """Mean square of what the layer reads, in the limit."""
    if layer.weight_variance <= 0.0:
        return 0.0
    return max(layer.branch - bias_variance, 0.0) / layer.weight_variance


def _with_length(noise: Noise, *, fixed: bool) -> Noise:
    return replace(noise.fixed_length(), length=(0.0, 0.0)) if fixed else noise


class _Table:
    """ln of a positive function over ln q: a cubic spline, continued as a straight line."""

    def __init__(self, at: Array, values: Array) -> None:
        self.ends = (at[0], at[-1])
        self.spline = make_interp_spline(at, values, k=3)
        self.slopes = tuple(float(self.spline(end, nu=1)) for end in self.ends)

    def __call__(self, x: Array | float) -> Array:
        low, high = self.ends
        inside = np.clip(x, low, high)
        return np.asarray(
            self.spline(inside) + self.slopes[0] * np.minimum(x - low, 0.0) + self.slopes[1] * np.maximum(x - high, 0.0)
        )


def _tables(network: DenseNetwork, variances: Sequence[float]) -> tuple[_Table, _Table]:
    """How h's mean square and the growth bend with q, as tables over ln q."""
    logs = np.log(np.maximum(variances, 1e-200))
    at = np.arange(logs.min() - MARGIN, logs.max() + MARGIN + SPACING, SPACING)
    if len(at) > 400:
        at = np.linspace(at[0], at[-1], 400)
    unit = Unit(network)
    values = np.array([unit.single(float(q)) for q in np.exp(at)])
    values = np.log(np.maximum(values, 1e-250))
    return _Table(at, values[:, 0]), _Table(at, values[:, 1])
