"""Convolutional networks of finite width in numpy: forward from a random image, and a random gradient back.

Nothing here comes from `bench.theory`: kernels are drawn, images go forward, and gradients come back by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
NETWORKS, BATCH, SIZE, CHANNELS, DEPTH = 20, 4, 8, 32, 20
VALUES = {"linear": lambda z: z, "relu": lambda z: np.maximum(z, 0.0), "tanh": np.tanh}
SLOPES = {"linear": np.ones_like, "relu": lambda z: 1.0 * (z > 0.0), "tanh": lambda z: 1.0 - np.tanh(z) ** 2}


@dataclass(frozen=True)
class Drawn:
    """log10 of |d_first| / |d_last| and q_last / q_first, [networks]; |d_first|^2 and q_last by position too."""

    gradient: Array
    square: Array
    gradients: Array
    squares: Array


def networks(activation: str, variance: float, padding: str, kernel_size: int = 3, start: str = "independent") -> Drawn:
    """Networks of `DEPTH` layers, all at once; the last layer's gradient is standard normal everywhere."""
    rng = np.random.default_rng(kernel_size)
    h = rng.standard_normal((NETWORKS, BATCH, SIZE, SIZE, CHANNELS))
    kernels = [_kernel(rng, variance, kernel_size, start) for _ in range(DEPTH)]
    sums = []
    for kernel in kernels:
        z = _convolved(h, kernel, padding)
        sums.append(z)
        h = VALUES[activation](z)
    last = back = rng.standard_normal(sums[-1].shape)
    for at in range(DEPTH - 1, 0, -1):
        flipped = kernels[at][:, ::-1, ::-1].swapaxes(-1, -2)
        back = _convolved(back, flipped, padding) * SLOPES[activation](sums[at - 1])
    first = sums[0]
    over = (1, 2, 3, 4)
    return Drawn(
        0.5 * np.log10(np.square(back).sum(over) / np.square(last).sum(over)),
        np.log10(np.square(sums[-1]).mean(over) / np.square(first).mean(over)),
        np.square(back).sum((1, 4)),
        np.square(sums[-1]).mean((1, 4)),
    )


def batch_normalized(activation: str, variance: float, padding: str, depth: int = 12) -> Array:
    """log10 of |d_layer| / |d_last| with batch normalization before activations, the mean over networks, [depth]."""
    rng = np.random.default_rng(depth)
    over = (1, 2, 3)
    h = rng.standard_normal((4, 16, SIZE, SIZE, CHANNELS))
    kernels, kept = [_kernel(rng, variance, 3, "independent")[: len(h)] for _ in range(depth)], []
    for kernel in kernels:
        z = _convolved(h, kernel, padding)
        size = np.sqrt(z.var(over, keepdims=True) + 1e-3)
        u = (z - z.mean(over, keepdims=True)) / size
        kept.append((u, size))
        h = VALUES[activation](u)
    norms, back = [], rng.standard_normal(h.shape)
    for kernel, (u, size) in zip(reversed(kernels), reversed(kept), strict=True):
        of_u = back * SLOPES[activation](u)
        back = (of_u - of_u.mean(over, keepdims=True) - u * (of_u * u).mean(over, keepdims=True)) / size
        norms.append(0.5 * np.log10(np.square(back).sum((1, 2, 3, 4))))
        back = _convolved(back, kernel[:, ::-1, ::-1].swapaxes(-1, -2), padding)
    found = np.array(norms[::-1])
    return np.asarray((found - found[-1]).mean(axis=1))


def _kernel(rng: np.random.Generator, variance: float, size: int, start: str) -> Array:
    """Kernels [networks, k, k, C, C]."""
    if start == "independent":
        shape = (NETWORKS, size, size, CHANNELS, CHANNELS)
        return np.sqrt(variance / (size**2 * CHANNELS)) * rng.standard_normal(shape)
    rows = CHANNELS if start == "delta" else size**2 * CHANNELS
    q, r = np.linalg.qr(rng.standard_normal((NETWORKS, rows, CHANNELS)))
    q = np.sqrt(variance) * q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
    if start != "delta":
        return q.reshape(NETWORKS, size, size, CHANNELS, CHANNELS)
    found = np.zeros((NETWORKS, size, size, CHANNELS, CHANNELS))
    found[:, size // 2, size // 2] = q
    return found


def _convolved(h: Array, kernel: Array, padding: str) -> Array:
    """Every seed's images by its kernel, at stride 1; k odd."""
    size = kernel.shape[1]
    margin, wide = size // 2, h.shape[2]
    around = [(0, 0), (0, 0), (margin, margin), (margin, margin), (0, 0)]
    padded = np.pad(h, around, mode="wrap" if padding == "circular" else "constant")
    offsets = [(i, j) for i in range(size) for j in range(size)]
    patches = np.concatenate([padded[:, :, i : i + wide, j : j + wide] for i, j in offsets], axis=-1)
    flat = patches.reshape(len(h), -1, patches.shape[-1])
    return (flat @ kernel.reshape(len(h), -1, kernel.shape[-1])).reshape(h.shape)
