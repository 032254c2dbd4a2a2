"""How far single networks of finite width depart from the limit: walks of a few numbers per layer and sample.

Given the layer below, the pre-activations of a layer with Gaussian weights are independent Gaussians, so that its sums
over n units are the limit's value times one plus noise of variance V / n (`Noise`). Some hundred networks, each with
the samples of a batch, are drawn as such walks: the mean square q of each sample with its noise through the full
variance map (not linearized: near an unstable fixed point q runs away to either side), then the gradient back.
Orthogonal weights keep lengths and lose that part of the noise.

Two effects that the limit lacks come with it. The norm of a batch is a mean of squares, so samples with larger
gradients weigh more. And the loss depends on each layer's mean square: that part of the gradient, along h, is 1 / n of
the whole at the head and takes up as much again at every layer, but travels back by the derivative of the variance map,
chi_parallel^2 per layer, instead of chi; where chi_parallel^2 > chi (softplus, gelu, silu, mish with he) it takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.theory.activations import Array
from bench.theory.describe import DenseNetwork
from bench.theory.maps import moments
from bench.theory.noise import Covariance, Noise
from bench.theory.normalization import Response, Sphere, Unit
from bench.theory.quadrature import TINY, LogTable
from bench.theory.trajectory import LayerState, log_gradients

SEED = 20170706
MOST_SAMPLES = 64
# Batch normalization's Gram matrix fluctuates by 1 / n, which the formula for its mean neglects; by simulation at width
# 256 and batches of 64 the growth per layer then lies within 1 % of the formula.
BATCH_ALLOWANCE = 0.006


@dataclass(frozen=True)
class Walks:
    """Networks of finite width, each array [depth, networks].

    Attributes:
        signal: ln of the squared gradient norms of the pre-activations, mean over samples.
        mean_square: ln of the pre-activations' mean square as it would be measured.
    """

    signal: Array
    mean_square: Array


def walk(network: DenseNetwork, layers: Sequence[LayerState], networks: int, samples: int) -> Walks:
    """Draw networks around the limit's trajectory; the seed is fixed."""
    walker = _Walker(network, layers, (networks, min(samples, MOST_SAMPLES)))
    walker.forward()
    return Walks(log_mean(walker.backward()[0]), log_mean(walker.measured))


class _Walker:
    """The state of the walks: everything [networks, samples], kept for each layer."""

    def __init__(self, network: DenseNetwork, layers: Sequence[LayerState], shape: tuple[int, int]) -> None:
        self.network, self.layers, self.shape = network, layers, shape
        self.draw = np.random.default_rng(SEED)
        unit = Unit(network)
        self.square, self.growth = LogTable.pair(unit.single, [layer.q for layer in layers])
        full = (len(layers), *shape)
        self.weights, self.growths, self.slopes, self.states, self.logs, self.measured = (
            np.zeros(full) for _ in range(6)
        )
        self.shares = stream_shares(network, layers)
        self.gradient_cosines = self._gradient_cosines()
        self.scatter = scatter(network, layers)

    def _gradient_cosines(self) -> Array:
        """Mean squared cosine of two samples' gradients at each layer's h, from that of softmax's on the head down."""
        last = self.layers[-1].response
        _, shares = softmax_gradients(self.network, last, np.full((20, self.shape[1]), last.square), self.draw)
        largest = np.abs(shares).max(axis=-1, keepdims=True)
        directions = shares / np.maximum(largest, TINY)
        directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), TINY)
        squares = (directions @ directions.transpose(0, 2, 1)) ** 2
        count = self.shape[1]
        found, cosines = np.zeros(len(self.layers)), np.zeros(len(self.layers))
        at = (squares.mean() * count - 1.0) / (count - 1) if count > 1 else 1.0
        for index in range(len(self.layers) - 1, -1, -1):
            found[index] = at
            behind = np.sqrt(at * self.layers[index].response.decorrelation)
            if self.network.skip_layers and index < len(found) - 1 and index % self.network.skip_layers == 0:
                end = min(index + self.network.skip_layers, len(found) - 1)
                behind = self.shares[index] * cosines[end] + (1.0 - self.shares[index]) * behind
            cosines[index] = behind
            at = min(behind**2 + 1.0 / self.network.width, 1.0)
        return found

    def noise(self, shared: float, own: float) -> Array:
        """Natural logarithm of factors of mean 1; variances are over the width."""
        n = self.network.width
        shared, own = max(shared, 0.0) / n, max(own, 0.0) / n
        drawn: Array = np.sqrt(shared) * self.draw.standard_normal((self.shape[0], 1))
        if own > 0.0:
            drawn = drawn + np.sqrt(own) * self.draw.standard_normal(self.shape)
        return drawn - 0.5 * (shared + own)

    def lengths(self, index: int) -> Array:
        """Natural logarithm of how a pre-activation's own mean square departs from its variance."""
        cosine = self.layers[index].response.noise.cosine ** 2 + self.scatter[index]
        shared = 2.0 * min(cosine, 1.0)
        return self.noise(shared, 2.0 - shared)

    def forward(self) -> None:
        """Mean squares from the input on."""
        network, read = self.network, np.zeros(self.shape)  # read: ln of h's mean square over the limit's
        stream = np.zeros(self.shape)
        for index, layer in enumerate(self.layers):
            law = network.hidden if index else network.first
            below = np.exp(read) * read_below(layer, network.bias_variance)
            weight = law.settled(below.mean(axis=1, keepdims=True), network.bias_variance)
            variance = weight * below + network.bias_variance
            exact = (law.isometric and not network.bias_variance) or bool(law.tolerance)
            ends = network.skip_layers > 0 and (index == 0 or network.ends_block(index))
            lengths = np.zeros(self.shape) if exact else self.lengths(index)
            if ends:
                variance = variance * np.exp(lengths)
                stream = self._joined(stream, variance, index) if index else variance
                variance, lengths = stream, np.zeros(self.shape)
            noise = layer.response.noise
            if ends or exact:
                noise = replace(noise.fixed_length(), length=(0.0, 0.0))
            self.states[index] = np.log(np.maximum(variance, TINY))
            self.measured[index] = self.states[index] + lengths
            if law.tolerance:  # lsuv sets the variance, and the mean of all z is not exactly 0
                mean = max(layer.response.noise.cosine, 0.0) * self.draw.standard_normal((self.shape[0], 1)) ** 2
                self.measured[index] += np.log1p(mean / network.width)
            self.weights[index] = np.log(np.maximum(weight, TINY))
            read = self._unit_sums(index, noise)
            if exact:
                ahead, behind = sphere_corrections(network, self.layers, index)
                read, self.logs[index] = read + ahead, self.logs[index] + ahead
                self.growths[index] += behind

    def _joined(self, stream: Array, branch: Array, index: int) -> Array:
        """Mean square of the sum of stream and branch, whose product over units is not exactly 0."""
        scale, cosine = self.network.branch_scale, self.layers[index].response.noise.cosine
        n, shared = self.network.width, max(cosine, 0.0) ** 2
        crossed = np.sqrt(shared / n) * self.draw.standard_normal((self.shape[0], 1))
        crossed = crossed + np.sqrt((1.0 - shared) / n) * self.draw.standard_normal(self.shape)
        joined: Array = stream + scale**2 * branch + 2.0 * scale * np.sqrt(stream * branch) * crossed
        return np.maximum(joined, 1e-3 * stream)

    def _unit_sums(self, index: int, noise: Noise) -> Array:
        """Note the layer's growth, and give ln of h's mean square over the limit's."""
        layer, state = self.layers[index], self.states[index]
        limit = np.log(max(layer.q, TINY))
        shared, own = noise.parts(float(self.gradient_cosines[index]), float(self.scatter[index]))
        ahead, behind = np.zeros(self.shape), np.zeros(self.shape)
        for part, size in ((shared, (self.shape[0], 1)), (own, self.shape)):
            first, second = joint_noise(part, self.network.width, self.draw.standard_normal((2, *size)))
            ahead, behind = ahead + first, behind + second
        square, slope = self.square(state)
        self.slopes[index] = slope
        bent = self.growth(state)[0] - self.growth(limit)[0]
        self.growths[index] = np.log(max(layer.response.growth, TINY)) + bent + behind
        moved: Array = square - self.square(limit)[0] + ahead
        self.logs[index] = moved + np.log(max(layer.response.square, TINY))
        return moved

    def backward(self) -> tuple[Array, Array]:
        """Natural logarithm of squared gradient norms of pre-activation and h, each [depth, networks, samples]."""
        arriving, last = np.zeros_like(self.growths), len(self.layers) - 1
        if not self.network.hidden.isometric:
            for index in range(last):
                shared = 2.0 * self.gradient_cosines[index]
                arriving[index + 1] = self.noise(shared, 2.0 - shared)
        top, pull = self._head()
        weights = self.weights + arriving
        if self.network.position or self.network.skip_layers:
            signal, read = log_gradients(self.network, weights, self.growths + self._allowance(), self._crossings())
            return signal + top, read + top
        with np.errstate(divide="ignore", invalid="ignore"):  # zeros pass nothing
            return self._backward_with_radial(weights, top, pull)

    def _allowance(self) -> Array:
        """Batch normalization: what the finite-batch formula may be wrong by, one number a network, in ln per layer."""
        if self.network.normalization.name != "batch_normalization":
            return np.zeros((1, 1))
        return BATCH_ALLOWANCE * self.draw.standard_normal((self.shape[0], 1))

    def _crossings(self) -> Array | None:
        """Cosines of the gradients of branch and stream, [depth, networks, samples]; None without a skip connection."""
        if not self.network.skip_layers:
            return None
        found = np.zeros_like(self.growths)
        for index in range(len(self.layers)):
            alike = min(float(self.gradient_cosines[index]), 1.0)
            drawn = np.sqrt(alike) * self.draw.standard_normal((self.shape[0], 1))
            drawn = drawn + np.sqrt(1.0 - alike) * self.draw.standard_normal(self.shape)
            found[index] = np.clip(drawn / np.sqrt(self.network.width), -0.9, 0.9)
        return found

    def _backward_with_radial(self, weights: Array, scale: Array, radial: Array) -> tuple[Array, Array]:
        """The same for plain chains, with the part of the gradient along h.

        A = h . d_h = z . d_z for the layer above, exactly. It keeps d ln p / d ln q of itself from layer to layer,
        p = E[phi^2], and the rest of the gradient adds E[z^2 phi'^2] - E[z phi phi']^2 / p at random (0 for relu).
        |d_h|^2 = A^2 / (n p) + the rest, which lies across h; behind phi the rest grows by E[phi'^2], A^2 / (n p) by
        E[phi^2 phi'^2] / p.

        Args:
            weights: ln sigma_w^2 with the noise of arriving gradients.
            scale: ln |d_h|^2 of the last layer.
            radial: A of the last layer over the root of exp(scale).
        """
        signal, read = np.zeros_like(self.growths), np.zeros_like(self.growths)
        rest, n, isometric = np.ones(self.shape), max(self.network.width, 2), False
        for index in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[index]
            noise, state = layer.response.noise, self.states[index]
            square = np.exp(self.logs[index])
            along = radial**2 / (n * square)
            bias = noise.mixed / max(layer.response.square, TINY)
            rest = np.maximum(rest - along, 0.0) if isometric else rest * (1.0 - 1.0 / n)
            read[index] = scale + np.log(rest + along)
            rest = rest * max(1.0 - bias / n, 0.0) / (1.0 - 1.0 / n)
            passed = np.exp(self.growths[index]) * (rest + along * bias)
            signal[index] = scale + np.log(passed)
            share = 1.0 - np.minimum(self.network.bias_variance / np.exp(state), 1.0)
            bent = np.exp(state) * (1.0 + noise.bend[1]) * np.exp(self.growths[index])
            kick = np.maximum(bent - self.slopes[index] ** 2 * square, 0.0) * share * rest
            radial = radial * self.slopes[index] * share + np.sqrt(kick) * self._kicks(index)
            radial, rest, isometric = radial / np.sqrt(passed), np.exp(weights[index]), self.network.hidden.isometric
            scale = signal[index]
        return signal, read

    def _kicks(self, index: int) -> Array:
        """Standard normal numbers, alike for samples of one class as far as their gradients still are."""
        classes, cosine = self.network.classes, max(self.layers[index].response.noise.cosine, 0.0)
        alike = cosine * np.sqrt(min(self.gradient_cosines[index] * max(classes - 1, 1), 1.0))
        common = self.draw.standard_normal((self.shape[0], classes))[:, np.arange(self.shape[1]) % classes]
        drawn: Array = np.sqrt(alike) * common + np.sqrt(1.0 - alike) * self.draw.standard_normal(self.shape)
        return drawn

    def _head(self) -> tuple[Array, Array]:
        """Natural logarithm of |d_h|^2 of the last layer by softmax cross-entropy, and h . d_h over |d_h|."""
        square = np.exp(self.logs[-1])
        logits, shares = softmax_gradients(self.network, self.layers[-1].response, square, self.draw)
        weight = self.network.head.settled(square.mean(axis=1, keepdims=True), self.network.bias_variance)
        norm = np.maximum(weight * (shares**2).sum(axis=-1), TINY)
        pull: Array = (logits * shares).sum(axis=-1) / np.sqrt(norm)
        return np.log(norm), pull


def stream_shares(network: DenseNetwork, layers: Sequence[LayerState]) -> Array:
    """Share of the squared gradient norm that the stream brings, where a block begins; in the limit."""
    weights = np.log([max(layer.weight_variance, TINY) for layer in layers])
    growth = np.log([max(layer.response.growth, TINY) for layer in layers])
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
        slope = above.weight_variance * layer.response.growth * layer.q / max(above.branch, TINY)
        at *= min(slope**2 * layer.response.decorrelation, 1.0)
    return found


def sphere_corrections(network: DenseNetwork, layers: Sequence[LayerState], index: int) -> tuple[float, float]:
    """Natural logarithm of E[phi^2] and E[phi'^2] at a fixed length over those of a Gaussian: of order 1 / n."""
    q, phi = layers[index].q, network.phi
    if network.position or q < 1e-12 or network.width < 4:
        return 0.0, 0.0
    u, weights = Sphere(network.width, False, float(np.sqrt(q * network.width))).nodes(phi)
    limit = moments(phi, q)
    found = (float(weights @ phi.value(u) ** 2), float(weights @ phi.slope(u) ** 2))
    if min(*found, limit.square, limit.slope_square) <= 0.0:
        return 0.0, 0.0
    return float(np.log(found[0] / limit.square)), float(np.log(found[1] / limit.slope_square))


def log_mean(logs: Array) -> Array:
    """Natural logarithm of the mean over samples, from logarithms [depth, networks, samples]."""
    top = logs.max(axis=2, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(logs - top).mean(axis=2)) + top[..., 0]
    return found


def softmax_gradients(
    network: DenseNetwork, last: Response, square: Array, draw: np.random.Generator
) -> tuple[Array, Array]:
    """Logits, and the gradient of the cross-entropy for them, [networks, samples, classes].

    Of a head with one unit, which answers a value, the gradients are taken as equal: they can only be parallel. Of one
    that tells two classes apart they are those of the logistic function.

    Args:
        network, last: the network, and the response of its last hidden layer.
        draw: for the logits.
        square: mean square of h, [networks, samples].
    """
    classes = network.classes
    weight = network.head.settled(square.mean(axis=1, keepdims=True), network.bias_variance)
    cosine = float(np.clip(np.nan_to_num(last.product / max(last.square, TINY)), 0.0, 1.0))
    drawn = np.sqrt(cosine) * draw.standard_normal((len(square), 1, classes))
    drawn = drawn + np.sqrt(1.0 - cosine) * draw.standard_normal((*square.shape, classes))
    logits = np.sqrt(weight * square + network.bias_variance)[..., None] * drawn
    if network.binary:
        labels = np.arange(square.shape[1])[:, None] % 2
        return logits, 0.5 + 0.5 * np.tanh(0.5 * logits) - labels
    if classes == 1:
        return logits, np.full_like(logits, -1.0)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    samples = np.arange(square.shape[1])
    shares[:, samples, samples % classes] -= 1.0
    return logits, shares


def joint_noise(part: Covariance, width: int, normal: Array) -> tuple[Array, Array]:
    """Natural logarithm of two factors of mean 1 with that covariance over the width, from two standard normals."""
    forward, backward = part.forward / width, part.backward / width
    lean = part.both / part.forward if part.forward > 1e-12 else 0.0
    rest = max(part.backward - lean * part.both, 0.0) / width
    ahead = np.sqrt(forward) * normal[0]
    return ahead - 0.5 * forward, lean * ahead + np.sqrt(rest) * normal[1] - 0.5 * max(backward, 0.0)


def read_below(layer: LayerState, bias_variance: float) -> float:
    """Mean square of what the layer reads, in the limit."""
    if layer.weight_variance <= 0.0:
        return 0.0
    return max(layer.branch - bias_variance, 0.0) / layer.weight_variance
