"""Networks of finite width in numpy: the suite's multilayer perceptron at step 0, written anew from its definition.

Nothing here comes from `bench.theory` but the activation: weights are drawn, the batch goes forward, the gradient of
the cross-entropy comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import truncnorm

from bench.theory import Nonlinearity
from bench.theory.describe import DenseNetwork

Array = np.ndarray
Draw = Callable[[np.random.Generator, int, int], Array]


def gaussian(variance: float) -> Draw:
    """Normal weights with fan_in Var(W) = variance."""
    return lambda rng, fan_in, fan_out: np.sqrt(variance / fan_in) * rng.standard_normal((fan_in, fan_out))


def uniform(variance: float) -> Draw:
    """Uniform weights with fan_in Var(W) = variance."""

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
        limit = np.sqrt(3.0 * variance / fan_in)
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def truncated(variance: float) -> Draw:
    """Normal weights cut at two deviations, with fan_in Var(W) = variance after the cut."""
    kept = truncnorm(-2.0, 2.0).var()

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
        values = rng.standard_normal((fan_in, fan_out))
        while (far := np.abs(values) > 2.0).any():
            values[far] = rng.standard_normal(int(far.sum()))
        return np.sqrt(variance / kept / fan_in) * values

    return draw


class Orthogonal:
    """gain times a random orthogonal matrix; one matrix is drawn, and its rows, columns and signs are mixed."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain, self.known = gain, dict[tuple[int, int], Array]()

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
        shape = (fan_in, fan_out)
        if shape not in self.known:
            q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
            self.known[shape] = (q * np.sign(np.diag(r))).reshape(max(shape), min(shape))
            if fan_in < fan_out:
                self.known[shape] = self.known[shape].T
        base = self.known[shape][rng.permutation(fan_in)][:, rng.permutation(fan_out)]
        return self.gain * base * rng.choice([-1.0, 1.0], fan_in)[:, None] * rng.choice([-1.0, 1.0], fan_out)


@dataclass
class Measured:
    """Per layer, [depth]: root mean square over samples of the norm of the gradient for s, and mean square of s."""

    preactivation: Array
    mean_square: Array

    @property
    def log_preactivation(self) -> Array:
        """log10, relative to the last layer."""
        return np.log10(self.preactivation / self.preactivation[-1])


EPSILONS = {
    "batch_normalization": 1e-3,
    "layer_normalization": 1e-3,
    "group_normalization": 1e-3,
    "rms_normalization": 1e-6,
}


class Normalizer:
    """A normalization of [batch, units] and the gradient through it."""

    def __init__(self, network: DenseNetwork) -> None:
        self.kind, self.groups = network.normalization.name, 1
        if self.kind == "group_normalization":
            self.groups = int(network.normalization.setting("groups"))

    def __call__(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        rows = x.T if self.kind == "batch_normalization" else x.reshape(len(x) * self.groups, -1)
        centered = self.kind not in ("rms_normalization", "unit_normalization")
        away = rows - rows.mean(axis=1, keepdims=True) if centered else rows
        square = (away**2).mean(axis=1, keepdims=True) + EPSILONS.get(self.kind, 0.0)
        if self.kind == "unit_normalization":
            square = (away**2).sum(axis=1, keepdims=True)
        scale = 1.0 / np.sqrt(square)
        y = away * scale

        def back(g: Array) -> Array:
            g = g.T if self.kind == "batch_normalization" else g.reshape(rows.shape)
            inner = (g * y).sum(axis=1, keepdims=True) * y
            g = scale * (g - (inner if self.kind == "unit_normalization" else inner / y.shape[1]))
            g = g - g.mean(axis=1, keepdims=True) if centered else g
            return g.T if self.kind == "batch_normalization" else g.reshape(x.shape)

        return (y.T if self.kind == "batch_normalization" else y.reshape(x.shape)), back


def measure(network: DenseNetwork, draw: Draw, rng: np.random.Generator, x: Array | None = None) -> Measured:
    """One network's norms at step 0, on a batch of samples of mean square 1 with labels of the network's classes."""
    phi, depth, batch = network.phi, network.depth, network.batch_size
    if x is None:
        x = rng.standard_normal((batch, network.inputs))
        x = x / np.sqrt((x**2).mean(axis=1, keepdims=True))
    y = np.arange(batch) % network.classes
    normalize = Normalizer(network)
    kernels, s, tapes, h = [], [], [], x
    for layer in range(depth):
        kernel = draw(rng, h.shape[1], network.width)
        z = h @ kernel
        bias = np.sqrt(network.bias_variance) * rng.standard_normal(network.width)
        law = network.hidden if layer else network.first
        for _ in range(law.iterations if law.tolerance is not None else 0):
            if abs((variance := (z + bias).var()) - 1.0) <= law.tolerance:
                break
            kernel, z = kernel / np.sqrt(variance), z / np.sqrt(variance)
        z = z + bias
        if network.ends_block(layer):
            z = s[(layer - 1) // network.skip_layers * network.skip_layers] + network.branch_scale * z
        kernels.append(kernel)
        s.append(z)
        tapes.append(_layer(phi, z, normalize, network.position))
        h = tapes[-1][0]
    head = draw(rng, network.width, network.classes)
    logits = h @ head
    logits = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = logits / logits.sum(axis=1, keepdims=True)
    gradient[np.arange(batch), y] -= 1.0
    return _backward(network, kernels, s, tapes, gradient @ head.T)


def _layer(phi: Nonlinearity, s: Array, normalize: Normalizer, position: str) -> tuple[Array, object, object]:
    u, back_u = normalize(s) if position == "before" else (s, lambda g: g)
    value, slope = phi.value(u), phi.slope(u)
    h, back_h = normalize(value) if position == "after" else (value, lambda g: g)
    return h, back_h, lambda g: back_u(slope * g)


def _backward(network: DenseNetwork, kernels: list[Array], s: list[Array], tapes: list, above: Array) -> Measured:
    last, of_s = network.depth - 1, [None] * network.depth
    for layer in range(last, -1, -1):
        _, back_h, back_s = tapes[layer]
        of_s[layer] = back_s(back_h(above))
        if network.skip_layers and layer < last and layer % network.skip_layers == 0:
            of_s[layer] = of_s[layer] + of_s[min(layer + network.skip_layers, last)]
        scale = network.branch_scale if network.ends_block(layer) else 1.0
        above = scale * of_s[layer] @ kernels[layer].T
    return Measured(np.array([_rms(g) for g in of_s]), np.array([(z**2).mean() for z in s]))


def _rms(g: Array) -> float:
    largest = np.abs(g).max()
    return float(largest * np.sqrt(((g / largest) ** 2).sum(axis=1).mean())) if largest else 0.0
