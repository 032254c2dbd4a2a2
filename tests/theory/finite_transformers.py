"""Transformers of finite width in numpy: forward over random tokens, and a random gradient back.

Nothing here comes from `bench.theory`: kernels are drawn with Xavier's variance, tokens go forward, and gradients come
back by hand. What is measured is of the stream that leaves a sub-layer, of a block that normalizes the sum before that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np

Array = np.ndarray
Back = Callable[[Array], Array]
EPSILON = 1e-3


@dataclass(frozen=True)
class Setting:
    """A network: its blocks, width, heads and tokens, the kind of block, a gain on queries and keys, and a mask."""

    depth: int
    block: str = "pre_norm"
    width: int = 64
    heads: int = 4
    tokens: int = 16
    gain: float = 1.0
    causal: bool = False

    @property
    def scales(self) -> tuple[float, float, float]:
        """Factors on the stream, on a branch, and on the kernels of values, outputs and feed-forward sub-layers."""
        n = 2 * self.depth
        return {
            "damped": (1.0, n**-0.5, 1.0),
            "deepnorm": (n**0.25, 1.0, (8 * self.depth) ** -0.25),
            "admin": (((n + 1) / log(n + 1) - 1) ** 0.5, 1.0, 1.0),
            "t_fixup": (1.0, 1.0, 0.67 * self.depth**-0.25),
        }.get(self.block, (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Drawn:
    """Of each sub-layer q, the cosine of two tokens and log10 of |d| over the last's; of each attention its entropy."""

    square: Array
    cosine: Array
    gradient: Array
    entropy: Array
    logit_deviation: float


def network(setting: Setting, seed: int, batch: int = 8) -> Drawn:
    """One network on standard normal tokens; the gradient for its last stream is standard normal."""
    rng = np.random.default_rng(seed)
    alpha, beta, shrunk = setting.scales
    after = setting.block in ("post_norm", "deepnorm", "admin", "b2t")
    before = not after and setting.block not in ("no_norm", "t_fixup")
    x = rng.standard_normal((batch, setting.tokens, setting.width))
    sums, backs, entropies, deviations = [], [], [], []
    opening = x
    for place in range(2 * setting.depth):
        read, back_read = _normalized(x) if before else (x, _same)
        if place % 2 == 0:
            opening = x
            out, back_branch, weights, spread = _attention(rng, setting, read, shrunk)
            entropies.append(float(-np.sum(weights * np.log(np.maximum(weights, 1e-300)), axis=-1).mean()))
            deviations.append(spread)
        else:
            out, back_branch = _feed_forward(rng, setting, read, shrunk)
        out, back_out = _normalized(out) if setting.block == "sandwich" else (out, _same)
        total = alpha * x + beta * out + (opening if setting.block == "b2t" and place % 2 else 0.0)
        sums.append(total)
        x, back_sum = _normalized(total) if after else (total, _same)
        backs.append((back_read, back_branch, back_out, back_sum))
    return Drawn(
        np.array([np.square(each).mean() for each in sums]),
        np.array([_cosine(each) for each in sums]),
        _gradients(setting, sums, backs, rng),
        np.array(entropies),
        deviations[0],
    )


def _gradients(setting: Setting, sums: list[Array], backs: list[tuple[Back, ...]], rng: np.random.Generator) -> Array:
    alpha, beta, _ = setting.scales
    found = [rng.standard_normal(sums[-1].shape)]
    for place in range(len(sums) - 1, 0, -1):
        back_read, back_branch, back_out, _ = backs[place]
        d = found[-1]
        d_x = alpha * d + beta * back_read(back_branch(back_out(d)))
        if setting.block == "b2t" and place % 2 == 0 and len(found) >= 2:
            d_x = d_x + found[-2]  # the block's input, added again in its last sub-layer
        found.append(backs[place - 1][3](d_x))
    norms = np.array([np.linalg.norm(each) for each in found[::-1]])
    return np.log10(norms / norms[-1])


def _same(d: Array) -> Array:
    return d


def _cosine(x: Array) -> float:
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    tokens = x.shape[1]
    return float(((unit.sum(axis=1) ** 2).sum(axis=-1) - tokens).mean() / (tokens * (tokens - 1)))


def _normalized(x: Array) -> tuple[Array, Back]:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = 1.0 / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + EPSILON)
    out = centred * scale

    def back(d: Array) -> Array:
        return scale * (d - d.mean(axis=-1, keepdims=True) - out * (d * out).mean(axis=-1, keepdims=True))

    return out, back


def _kernel(rng: np.random.Generator, inside: int, outside: int, factor: float = 1.0) -> Array:
    return factor * np.sqrt(2.0 / (inside + outside)) * rng.standard_normal((inside, outside))


def _feed_forward(rng: np.random.Generator, setting: Setting, x: Array, factor: float) -> tuple[Array, Back]:
    first = _kernel(rng, setting.width, 4 * setting.width, factor)
    second = _kernel(rng, 4 * setting.width, setting.width, factor)
    z = x @ first
    return np.maximum(z, 0.0) @ second, lambda d: ((d @ second.T) * (z > 0.0)) @ first.T


def _attention(rng: np.random.Generator, setting: Setting, x: Array, factor: float) -> tuple[Array, Back, Array, float]:
    """Output, its way back, weights [batch, heads, tokens, tokens], and the logits' standard deviation."""
    wide, heads = setting.width, setting.heads
    query, key = (_kernel(rng, wide, wide, setting.gain) for _ in range(2))
    value, output = (_kernel(rng, wide, wide, factor) for _ in range(2))

    def split(of: Array) -> Array:
        return of.reshape(*of.shape[:2], heads, -1).swapaxes(1, 2)

    def joined(of: Array) -> Array:
        return of.swapaxes(1, 2).reshape(*x.shape)

    q, k, v = split(x @ query) / np.sqrt(wide / heads), split(x @ key), split(x @ value)
    logits = q @ k.swapaxes(-1, -2)
    spread = float(logits.std())
    if setting.causal:
        logits = np.where(np.tri(setting.tokens, dtype=bool), logits, -1e9)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)

    def back(d: Array) -> Array:
        d_out = split(d @ output.T)
        d_logits = weights * (d_out @ v.swapaxes(-1, -2))
        d_logits -= weights * d_logits.sum(axis=-1, keepdims=True)
        d_q, d_k = d_logits @ k / np.sqrt(wide / heads), d_logits.swapaxes(-1, -2) @ q
        d_v = weights.swapaxes(-1, -2) @ d_out
        return joined(d_q) @ query.T + joined(d_k) @ key.T + joined(d_v) @ value.T

    return joined(weights @ v) @ output, back, weights, spread
