"""The maps of mean-field theory: how a wide random network changes variance, correlation and gradient per layer.

z_{l+1} = W phi(z_l) + b, W with variance sigma_w^2 / fan_in, b with variance sigma_b^2; in the limit of infinite
width z is Gaussian with variance q. Where the maps settle, how stable that is, and over how many layers signals and
gradients decay, follows from them. Sources: Poole et al. 2016 (arXiv:1606.05340), Schoenholz et al. 2017
(arXiv:1611.01232). Here `weight_variance` is sigma_w^2 = fan_in Var(W) and `bias_variance` is sigma_b^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from bench.theory.activations import Array, Nonlinearity
from bench.theory.quadrature import LEAST, check_correlation, check_variance, gaussian_nodes, pair_nodes

ORDER, PAIR_ORDER = 32, 12
GRID = 1.0137 * 10.0 ** np.linspace(-10.0, 8.0, 145)  # no round number, which may be a fixed point itself
FLAT = 1e-9  # relative departure from scale invariance that counts as none
MARGINAL = 1e-6  # distance of chi from 1 that counts as critical
TOP = 1.0 - 1e-6  # correlations below which a fixed point under 1 is sought


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


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the variance map, q = sigma_w^2 E[phi^2] + sigma_b^2.

    Attributes:
        q: its mean square; 0, a number, or infinity where q grows without bound.
        chi: growth of the squared gradient norm per layer there; below 1 ordered, above 1 chaotic. NaN at infinity.
        chi_parallel: derivative of the variance map; below 1 the fixed point attracts.
        correlation: c*, to which the correlation of two samples tends; NaN at q = 0 and at infinity.
        gradient_depth: layers over which the squared gradient norm changes by e: 1 / |ln chi|.
        variance_depth: layers over which q's distance falls by e: 1 / |ln chi_parallel|.
        correlation_depth: the same for the correlation: -1 / ln of the correlation map's slope at c*.
    """

    q: float
    chi: float
    chi_parallel: float
    correlation: float
    gradient_depth: float
    variance_depth: float
    correlation_depth: float

    @property
    def stable(self) -> bool:
        """Whether q returns to it."""
        return abs(self.chi_parallel) <= 1.0 + MARGINAL


def fixed_points(phi: Nonlinearity, weight_variance: float, bias_variance: float = 0.0) -> list[float]:
    """All fixed points q of the variance map between 1e-10 and 1e8, ascending; 0 first where it is one.

    A scale-free map, of which every q is a fixed point, gives 1 alone.
    """
    excess = np.array([variance_map(phi, float(q), weight_variance, bias_variance) for q in GRID]) / GRID - 1.0
    if np.abs(excess).max() < FLAT:
        return [1.0]
    signs = np.where(np.abs(excess) < FLAT, 0.0, excess)
    found = [
        float(brentq(lambda q: variance_map(phi, q, weight_variance, bias_variance) - q, GRID[k], GRID[k + 1]))
        for k in np.flatnonzero(signs[:-1] * signs[1:] < 0.0)
    ]
    if variance_map(phi, 0.0, weight_variance, bias_variance) < 1e-15:
        found.insert(0, 0.0)
    return found


def settled_variance(
    phi: Nonlinearity, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0
) -> float:
    """The fixed point q that the variance runs to from `start` > 0; infinity where it grows without bound."""
    after = variance_map(phi, start, weight_variance, bias_variance)
    if abs(after / start - 1.0) < FLAT:
        return start
    points = fixed_points(phi, weight_variance, bias_variance)
    ahead = [q for q in points if (q > start if after > start else q < start)]
    return min(ahead, default=float("inf")) if after > start else max(ahead, default=0.0)


def fixed_point(
    phi: Nonlinearity, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0
) -> FixedPoint:
    """The fixed point that the variance runs to from `start`, by the side on which the map leaves it.

    Schoenholz et al. 2017 (arXiv:1611.01232): depth scales are -1 / ln of the maps' slopes at the fixed point.
    """
    q = settled_variance(phi, weight_variance, bias_variance, start)
    return _described(phi, q, weight_variance, bias_variance)


def growth_map(phi: Nonlinearity, weight_variances: Array, bias_variances: Array, start: float = 1.0) -> Array:
    """Logarithm of chi at the fixed point that `start` runs to, over both variances; at q = 1e8 where q runs away.

    Args:
        weight_variances: sigma_w^2, [columns].
        bias_variances: sigma_b^2, [rows].

    Returns:
        ln chi, [rows, columns], by lines between 8 values of q a decade: for maps, to three digits.
    """
    at = [moments(phi, float(q), 16) for q in GRID]
    square, slope = (np.array([getattr(m, name) for m in at]) for name in ("square", "slope_square"))
    weight, bias = weight_variances[None, :, None], bias_variances[:, None, None]
    excess = (weight * square + bias) / GRID - 1.0
    first = int(np.searchsorted(GRID, start))
    rising = excess[..., first] > 0.0
    index = np.arange(len(GRID))
    falls = (excess <= FLAT) & (index >= first)  # where a rising q stops
    rises = (excess >= -FLAT) & (index <= first)  # where a falling q stops
    above = np.where(falls.any(-1), falls.argmax(-1), len(GRID) - 1)
    below = np.where(rises.any(-1), len(GRID) - 1 - rises[..., ::-1].argmax(-1), 0)
    right = np.where(rising, above, np.minimum(below + 1, len(GRID) - 1))
    left = np.maximum(right - 1, 0)
    gap = np.take_along_axis(excess, right[..., None], -1)[..., 0]
    other = np.take_along_axis(excess, left[..., None], -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip(np.nan_to_num(other / (other - gap)), 0.0, 1.0)
    logs = np.log(np.maximum(slope, 1e-300))
    found: Array = np.log(weight_variances)[None] + (1.0 - part) * logs[left] + part * logs[right]
    return found


def depth_scale(factor: float) -> float:
    """Layers over which a quantity that is multiplied by `factor` a layer changes by e; infinite at 1."""
    if not np.isfinite(factor):
        return float("nan")
    return 0.0 if factor <= 0.0 else float("inf") if abs(factor - 1.0) < MARGINAL else float(1.0 / abs(np.log(factor)))


def _described(phi: Nonlinearity, q: float, weight_variance: float, bias_variance: float) -> FixedPoint:
    nan = float("nan")
    if not np.isfinite(q):
        return FixedPoint(q, nan, nan, nan, nan, nan, nan)
    at = moments(phi, q)
    chi, parallel = weight_variance * at.slope_square, weight_variance * at.square_growth
    correlation, slope = nan, nan
    if q > 0.0:
        correlation = _correlation(phi, q, chi, (weight_variance, bias_variance))
        slope = chi if correlation == 1.0 else correlation_slope(phi, correlation, q, weight_variance)
    scales = (depth_scale(chi), depth_scale(parallel), depth_scale(slope))
    return FixedPoint(q, chi, parallel, correlation, *scales)


def _correlation(phi: Nonlinearity, q: float, chi: float, variances: tuple[float, float]) -> float:
    """c*: 1 in the ordered phase, else the fixed point of the correlation map below 1."""
    if chi <= 1.0 + MARGINAL:
        return 1.0

    def excess(c: float) -> float:
        return correlation_map(phi, c, q, *variances) - c

    if abs(excess(0.0)) < FLAT:
        return 0.0
    return float(brentq(excess, 0.0, TOP)) if excess(0.0) > 0.0 > excess(TOP) else 1.0
