"""Expectations over normalized vectors: Gaussian before normalization, uniform on a sphere after it.

A normalization over m values, with their mean removed or not, maps independent Gaussians to a uniform direction in a
space of d = m - 1 or m dimensions, times a fixed length R. One value is then u = R e t, t a coordinate of a uniform
unit vector and e the length of a unit axis in that space (sqrt((m - 1) / m) where the mean is removed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from bench.theory.activations import Array, Nonlinearity
from bench.theory.panels import panel_nodes, piece_nodes

HALF = 0.5 * np.pi


@dataclass(frozen=True)
class Sphere:
    """The law of m normalized values of mean square `length`^2 / m together.

    Attributes:
        count: m.
        centered: whether their mean is removed.
        length: R, the length of the vector of the m values.
    """

    count: int
    centered: bool
    length: float

    @property
    def dimensions(self) -> int:
        """d, the dimensions of the space in which the direction is uniform."""
        return self.count - int(self.centered)

    @property
    def scale(self) -> float:
        """R e: the largest value that one entry can take."""
        return self.length * float(np.sqrt(self.dimensions / self.count))

    def nodes(self, phi: Nonlinearity, order: int = 24) -> tuple[Array, Array]:
        """Nodes and weights of one value u, each [nodes]."""
        cuts = [float(np.arcsin(k / self.scale)) for k in (0.0, *phi.kinks) if abs(k) < self.scale]
        smallest = min(0.5, 0.5 / self.dimensions**0.5, 0.5 / self.scale)
        theta, weights = panel_nodes(-HALF, HALF, cuts, smallest, order)
        return self.scale * np.sin(theta), weights * _density(theta, self.dimensions)

    def pair_nodes(self, phi: Nonlinearity, order: int = 14) -> tuple[Array, Array, Array]:
        """Nodes of two of the values: u [rows], u' [rows, nodes] and weights [rows, nodes]; centred ones only."""
        c = -1.0 / self.dimensions
        apart = float(np.sqrt(1.0 - c * c))
        cuts = sorted(k for k in {0.0, *phi.kinks} if abs(k) < self.scale)
        smallest = min(0.5, 0.5 / self.dimensions**0.5, 0.5 / self.scale)
        angles = [float(np.arcsin(k / self.scale)) for k in cuts]
        theta, weights = panel_nodes(-HALF, HALF, angles, smallest, order)
        weights = weights * _density(theta, self.dimensions)
        first, rest = np.sin(theta), apart * np.cos(theta)
        where = (np.asarray(cuts)[None] / self.scale - c * first[:, None]) / rest[:, None]
        where = np.arcsin(np.clip(np.concatenate([where, np.zeros((len(theta), 1))], axis=1), -1.0, 1.0))
        inner, inner_weights = piece_nodes(np.sort(where, axis=1), (-HALF, HALF), smallest, order)
        other = c * first[:, None] + rest[:, None] * np.sin(inner)
        inner_weights = inner_weights * _density(inner, self.dimensions - 1)
        return self.scale * first, self.scale * other, weights[:, None] * inner_weights


def _density(theta: Array, dimensions: int) -> Array:
    """Of theta, where sin(theta) is a coordinate of a uniform unit vector: cos(theta)^(d - 2), normalized."""
    log_norm = gammaln(0.5 * dimensions) - gammaln(0.5 * (dimensions - 1)) - 0.5 * np.log(np.pi)
    with np.errstate(divide="ignore"):
        powers = (dimensions - 2) * np.log(np.maximum(np.cos(theta), 1e-300))
    density: Array = np.exp(log_norm + powers)
    return density


def centered_gain(phi: Nonlinearity, law: Sphere) -> tuple[float, float, float]:
    """Moments of batch normalization over law.count samples, exact for any activation.

    Returns:
        E[phi^2]; E[phi phi'] of two samples' values; and the growth of the squared gradient norm per sample from phi
        to the pre-activation, times the variance of a pre-activation around the batch's common part.

    Derivation: u = sqrt(B) P s / |P s|, P = I - 11'/B, has the Jacobian sqrt(B) / |P s| (P - u u'/B), independent in
    length and direction; the gradient for phi that comes from above has covariance proportional to P, and
    E[1 / |P s|^2] = 1 / (v (B - 3)). For relu it is the finite-batch form of Yang et al. 2019 (arXiv:1902.08129) and
    tends to pi / (pi - 1); for linear it is (B - 2) / (B - 3) with the next layer's v.
    """
    count = law.count
    u, weights = law.nodes(phi)
    value, slope = phi.value(u), phi.slope(u)
    square, slopes, bent = (float(weights @ of) for of in (value**2, slope**2, (u * slope) ** 2))
    first, other, joint = law.pair_nodes(phi)
    inner_slope = np.sum(joint * phi.slope(other), axis=1)
    inner_bent = np.sum(joint * other * phi.slope(other), axis=1)
    product = float(phi.value(first) @ np.sum(joint * phi.value(other), axis=1))
    slope_product = float(phi.slope(first) @ inner_slope)
    bent_product = float((first * phi.slope(first)) @ inner_bent)
    kept = 1.0 - 1.0 / count
    ratio = law.length**2 / count  # 1, or less where epsilon counts
    total = count * kept**2 * slopes + kept * slope_product - kept * (bent - bent_product) / ratio
    return square, product, ratio * count * total / ((count - 3) * (count - 1))
