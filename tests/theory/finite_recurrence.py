"""Recurrent cells of finite width in numpy: forward over a sequence of random inputs, and the total gradient back.

Nothing here comes from `bench.theory`: weights are drawn, the sequence goes forward, and the loss, a random linear
function of the last state, comes back step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

Array = np.ndarray
BATCH = 8


def orthogonal(rng: np.random.Generator, width: int, blocks: int = 1) -> Array:
    """A kernel [width, blocks * width] with orthonormal rows, as Keras draws it."""
    q, r = np.linalg.qr(rng.standard_normal((blocks * width, width)))
    return (q * np.sign(np.diag(r))).T


def independent(rng: np.random.Generator, width: int, variance: float) -> Array:
    """Normal entries with n Var(U) = variance."""
    return np.sqrt(variance / width) * rng.standard_normal((width, width))


def _norms(gradients: list[Array]) -> Array:
    norms = np.array([np.linalg.norm(each) for each in gradients])
    return np.log10(norms / norms[0])


@dataclass(frozen=True)
class Inputs:
    """Random inputs: the variance of their part of a pre-activation, the steps, and whether they stay the same."""

    variance: float
    steps: int
    constant: bool = False

    def draw(self, rng: np.random.Generator, width: int, blocks: int = 1) -> Array:
        """Inputs [steps, BATCH, blocks * width]."""
        shape = (1 if self.constant else self.steps, BATCH, blocks * width)
        drawn = np.sqrt(self.variance) * rng.standard_normal(shape)
        return np.broadcast_to(drawn, (self.steps, *shape[1:]))


def simple(
    rng: np.random.Generator, kernel: Array, inputs: Inputs, activation: str = "tanh", start: float = 0.0
) -> Array:
    """The log10 of |dL/dh_(T-k)| over lag 0, [steps + 1], from a state of that deviation on."""
    width, states = len(kernel), []
    x = inputs.draw(rng, width)
    h = start * rng.standard_normal((BATCH, width))
    for step in range(inputs.steps):
        z = h @ kernel + x[step]
        h = np.tanh(z) if activation == "tanh" else np.maximum(z, 0.0)
        states.append(1.0 - h**2 if activation == "tanh" else (z > 0.0).astype(float))
    back = [rng.standard_normal((BATCH, width))]
    for slope in reversed(states):
        back.append((back[-1] * slope) @ kernel.T)
    return _norms(back)


@dataclass(frozen=True)
class LstmGradients:
    """The log10 of norms over lag 0, [steps]: dL/dc whole, dL/dc behind the cell, and dL/dh of a loss that reads h."""

    state: Array
    past_hidden: Array
    hidden: Array


def lstm(
    rng: np.random.Generator, width: int, inputs: Inputs, forget: Array | float, write: Array | float = 0.0
) -> LstmGradients:
    """Keras's LSTM with its orthogonal recurrent kernel, tanh, and biases of the forget and the input gate."""
    kernel = orthogonal(rng, width, 4)
    x = inputs.draw(rng, width, 4)
    bias = np.concatenate([np.full(width, write), np.full(width, forget), np.zeros(2 * width)])
    h = c = np.zeros((BATCH, width))
    states = []
    for step in range(inputs.steps):
        i, f, g, o = np.split(x[step] + h @ kernel + bias, 4, axis=1)
        i, f, g, o, before = expit(i), expit(f), np.tanh(g), expit(o), c
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append((i, f, g, o, before, c))
    top = rng.standard_normal((BATCH, width))

    def back(by_c: Array, by_h: Array) -> tuple[list[Array], list[Array], list[Array]]:
        """Total derivatives by c, by c without the way through h, and by h, from the last step back."""
        whole, past, hidden = [], [by_c], [by_h]
        for i, f, g, o, before, c in reversed(states):
            d = past[-1] + hidden[-1] * o * (1.0 - np.tanh(c) ** 2)
            whole.append(d)
            gates = (d * g * i * (1 - i), d * before * f * (1 - f), d * i * (1 - g**2))
            gates = (*gates, hidden[-1] * np.tanh(c) * o * (1 - o))
            hidden.append(np.concatenate(gates, axis=1) @ kernel.T)
            past.append(d * f)
        return whole, past[:-1], hidden[:-1]

    none = np.zeros_like(top)
    whole, past, _ = back(top, none)
    return LstmGradients(_norms(whole), _norms(past), _norms(back(none, top)[2]))


def gru(
    rng: np.random.Generator, width: int, inputs: Inputs, update: Array | float = 0.0, *, after: bool = True
) -> Array:
    """Keras's GRU with either `reset_after`, and a bias of the update gate: log10 of |dL/dh| over lag 0."""
    to_z, to_r, to_g = np.split(orthogonal(rng, width, 3), 3, axis=1)
    h, states = np.zeros((BATCH, width)), []
    for x in inputs.draw(rng, width, 3):
        by_z, by_r, by_g = np.split(x, 3, axis=1)
        z, r = expit(by_z + h @ to_z + update), expit(by_r + h @ to_r)
        g = np.tanh(by_g + (r * (h @ to_g) if after else (r * h) @ to_g))
        states.append((z, r, g, h))
        h = z * h + (1.0 - z) * g
    back = [rng.standard_normal((BATCH, width))]
    for z, r, g, h in reversed(states):
        d = back[-1]
        by_z, by_g = d * (h - g) * z * (1.0 - z), d * (1.0 - z) * (1.0 - g**2)
        if after:
            by_r, way = by_g * (h @ to_g), (by_g * r) @ to_g.T
        else:
            by_r, way = (by_g @ to_g.T) * h, (by_g @ to_g.T) * r
        back.append(d * z + by_z @ to_z.T + (by_r * r * (1.0 - r)) @ to_r.T + way)
    return _norms(back)
