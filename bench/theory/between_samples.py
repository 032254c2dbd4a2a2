"""What two samples have in common in a convolutional network with batch normalization, position by position.

A batch normalization divides a filter by its spread over samples and positions, around its mean. Independent samples
have in common what their means are, E[phi] at first; zero padding makes these differ from position to position, and
what differs stays behind the normalization. So the mean products k(a, b) of two samples at two positions are followed
as mean squares are: kernels take windows of both at one offset, activations the moments of pairs. Derived here, in the
limit of many samples and filters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import make_interp_spline

from bench.theory.activations import Array, Nonlinearity
from bench.theory.convnets import CIRCULAR, ConvNetwork
from bench.theory.maps import pair_moments

MOST_POSITIONS = 1600  # of an image, of which two are taken at a time: 20 MB
COSINES, SMALLEST = 9, 1e-30  # knots of a spline over cosines, and the least variance that is divided by


def common_square(
    network: ConvNetwork, products: Array, shape: Sequence[int], axes: Sequence[tuple[int, int]], stride: int
) -> Array:
    """The mean product of what kernels of sigma_w^2 = 1 make of two samples, at each two positions, [outputs, outputs].

    Args:
        network: its kernels' size and padding.
        products: the mean product of what they read, [positions, positions].
        shape: of the positions.
        axes: along each axis how many windows there are, and at which position the first begins.
        stride: positions from one window to the next.
    """
    offsets = [network.kernel_size // 2] if network.centered else range(network.kernel_size)
    found, count = products.reshape(*shape, *shape), len(shape)
    for axis, ((outputs, first), size) in enumerate(zip(axes, shape, strict=True)):
        windows = []
        for offset in offsets:
            place = first + np.arange(outputs) * stride + offset
            inside = (place >= 0) & (place < size) | (network.padding == CIRCULAR)
            both = found.take(place % size, axis).take(place % size, axis + count)
            for at in (axis, axis + count):
                both = both * inside.reshape(outputs, *[1] * (2 * count - 1 - at))
            windows.append(both)
        found = np.mean(windows, axis=0)
    positions = int(np.prod([outputs for outputs, _ in axes]))
    return np.asarray(found.reshape(positions, positions), np.float64)


def mean_products(phi: Nonlinearity, q: Array, mean: Array, common: Array) -> Array:
    """E[phi phi'] of two samples at each two positions whose arguments have variances q and covariances `common`.

    How it bends with the cosine is taken from the mean q, to scale: exact where phi is linear or relu.
    """
    size, flat, means = float(q.mean()), q.ravel(), mean.ravel()
    root = np.sqrt(np.maximum(np.outer(flat, flat), SMALLEST))
    cosines = np.clip(common / root, -1.0, 1.0)
    knots = np.linspace(min(float(cosines.min()), -0.05), max(float(cosines.max()), 0.05), COSINES)
    bends = make_interp_spline(knots, [pair_moments(phi, size, float(knot)).product for knot in knots])
    shared: Array = np.outer(means, means) + root / size * (bends(cosines) - bends(0.0))
    return shared
