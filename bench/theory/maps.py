"""The maps of mean-field theory: how a wide random network changes variance, correlation and gradient per layer.

z_{l+1} = W phi(z_l) + b, W with variance sigma_w^2 / fan_in, b with variance sigma_b^2; in the limit of infinite
width z is Gaussian with variance q. Sources: Poole et al. 2016 (arXiv:1606.05340), Schoenholz et al. 2017
(arXiv:1611.01232). Here `weight_variance` is sigma_w^2 = fan_in Var(W) and `bias_variance` is sigma_b^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.theory.activations import Nonlinearity
from bench.theory.quadrature import LEAST, check_correlation, check_variance, gaussian_nodes, pair_nodes

ORDER, PAIR_ORDER = 32, 12


@dataclass(frozen=True)
class Moments:
    """What the maps need of phi at z ~ N(0, q).

    Attributes:
        mean: E[phi].
        square: E[phi^2].
        slope_square: E[phi'^2].
        square_growth: d E[phi^2] / dq = E[phi phi' x] / sqrt(q), z = sqrt(q) x.
    """

    mean: float
    square: float
    slope_square: float
    square_growth: float


def moments(phi: Nonlinearity, q: float, order: int = ORDER) -> Moments:
    """The moments of phi at variance q >= 0 (0 stands for the limit).

    Raises:
        BenchError: q is negative or not finite.
    """
    check_variance(q)
    scale = np.sqrt(max(q, LEAST))
    x, weights = gaussian_nodes(q, phi.kinks, order)
    value, slope = phi.value(scale * x), phi.slope(scale * x)
    return Moments(
        mean=float(weights @ value),
        square=float(weights @ value**2),
        slope_square=float(weights @ slope**2),
        square_growth=float(weights @ (value * slope * x) / scale),
    )


def variance_map(phi: Nonlinearity, q: float, weight_variance: float, bias_variance: float = 0.0) -> float:
    """The next layer's variance: sigma_w^2 E[phi(z)^2] + sigma_b^2. Poole et al. 2016, eq. 3."""
    return weight_variance * moments(phi, q).square + bias_variance


def variance_slope(phi: Nonlinearity, q: float, weight_variance: float) -> float:
    """The derivative of the variance map at q: chi_parallel = sigma_w^2 E[phi'^2 + phi phi'']; below 1 it is stable."""
    return weight_variance * moments(phi, q).square_growth


def growth_factor(phi: Nonlinearity, q: float, weight_variance: float) -> float:
    """Growth of the squared gradient norm from a layer to the one below: chi = sigma_w^2 E[phi'(z)^2].

    Schoenholz et al. 2017, eq. 5 and section 4. For layers of unequal width take fan_in Var(W) of the layer above.
    """
    return weight_variance * moments(phi, q).slope_square


@dataclass(frozen=True)
class PairMoments:
    """What the maps need of phi at a pair (z, z') of variance q each and correlation c.

    Attributes:
        product: E[phi phi'], of the values.
        slope_product: E[phi' phi'], of the slopes.
        squares, slope_squares, mixed: E[phi^2 phi^2], E[phi'^2 phi'^2] and E[phi^2 phi'^2], first of z, then of z'.
    """

    product: float
    slope_product: float
    squares: float
    slope_squares: float
    mixed: float


def pair_moments(phi: Nonlinearity, q: float, c: float, order: int = PAIR_ORDER) -> PairMoments:
    """The moments of phi at a pair of pre-activations.

    Raises:
        BenchError: q is negative or not finite, or c outside [-1, 1].
    """
    check_variance(q)
    check_correlation(c)
    z, other, weights = pair_nodes(q, c, phi.kinks, order)
    value, slope = phi.value(z), phi.slope(z)
    other_value, other_slope = phi.value(other), phi.slope(other)
    other_slopes = np.sum(weights * other_slope**2, axis=1)
    return PairMoments(
        product=float(value @ np.sum(weights * other_value, axis=1)),
        slope_product=float(slope @ np.sum(weights * other_slope, axis=1)),
        squares=float(value**2 @ np.sum(weights * other_value**2, axis=1)),
        slope_squares=float(slope**2 @ other_slopes),
        mixed=float(value**2 @ other_slopes),
    )


def correlation_map(phi: Nonlinearity, c: float, q: float, weight_variance: float, bias_variance: float = 0.0) -> float:
    """The next layer's correlation of two samples of equal variance q: (sigma_w^2 E[phi phi'] + sigma_b^2) / q_next.

    Poole et al. 2016, eq. 5; at a fixed point q_next = q. NaN where the next variance is 0.
    """
    above = variance_map(phi, q, weight_variance, bias_variance)
    product = pair_moments(phi, q, c).product
    return (weight_variance * product + bias_variance) / above if above > 0.0 else float("nan")


def correlation_slope(phi: Nonlinearity, c: float, q: float, weight_variance: float) -> float:
    """sigma_w^2 E[phi'(z) phi'(z')]: the slope of the correlation map at a fixed point q; at c = 1 it is chi."""
    return weight_variance * pair_moments(phi, q, c).slope_product
