"""Nodes and weights of Gaussian expectations of elementwise functions.

Gauss-Hermite quadrature is wrong by per cents where a function has a kink or turns fast against the width of the
Gaussian (softsign at variance 1, any saturating function at large variance). Here the range is cut at the kinks, and
panels of Gauss-Legendre nodes grow away from each cut. What is asked for at a million places is put into a `LogTable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from bench.errors import BenchError
from bench.theory.activations import Array

REACH = 10.0  # standard deviations that are integrated; beyond them the density is under 1e-22
LEAST = 1e-60  # stands for variances of 0 and near it, of which the limit is meant
GROWTH = 1.8  # each panel is that much longer than the one nearer the cut
SPACING, MARGIN = 0.3, 9.0  # of ln q: where the function is computed, and how far beyond the values asked for
MOST = 400
FINE = 8192  # entries of the table, by a cubic spline
TINY = 1e-250  # stands for 0 under a logarithm


def gaussian_nodes(variance: float, kinks: Sequence[float] = (), order: int = 24) -> tuple[Array, Array]:
    """Nodes x of a standard normal and their weights, for functions of z = sqrt(variance) x.

    Args:
        variance: of z; 0 stands for the limit.
        kinks: values of z where the function or its slope jumps.
        order: nodes in a panel.

    Returns:
        x and weights, each [nodes]; the weights sum to 1.
    """
    scale = float(np.sqrt(max(variance, LEAST)))
    smallest = min(0.5, 0.5 / scale)
    x, weights = panel_nodes(-REACH, REACH, [0.0, *(kink / scale for kink in kinks)], smallest, order)
    return x, weights * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


def pair_nodes(
    variance: float, correlation: float, kinks: Sequence[float] = (), order: int = 16
) -> tuple[Array, Array, Array]:
    """Nodes of a correlated pair: z [rows], z' [rows, nodes] and weights [rows, nodes], which sum to 1."""
    scale = float(np.sqrt(max(variance, LEAST)))
    apart = float(np.sqrt(max(1.0 - correlation**2, 0.0)))
    cuts = sorted({0.0, *(float(kink) / scale for kink in kinks)})
    smallest = min(0.5, 0.5 / scale, max(apart, 1e-9))
    x, weights = panel_nodes(-REACH, REACH, cuts, smallest, order)
    weights = weights * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    if apart < 1e-8:  # a pair of equals, or of opposites
        return scale * x, scale * np.sign(correlation) * x[:, None], weights[:, None]
    where = (np.asarray(cuts)[None] - correlation * x[:, None]) / apart
    where = np.sort(np.concatenate([where, np.zeros((len(x), 1))], axis=1), axis=1)  # the density's own centre
    fast = min(0.5, 0.5 / (scale * apart))
    y, inner = piece_nodes(where, (-REACH, REACH), fast, order)
    inner = inner * np.exp(-0.5 * y * y) / np.sqrt(2.0 * np.pi)
    return scale * x, scale * (correlation * x[:, None] + apart * y), weights[:, None] * inner


def check_variance(variance: float) -> None:
    """Refuse a variance that is negative, infinite or not a number.

    Raises:
        BenchError: it is one of these.
    """
    if not (np.isfinite(variance) and variance >= 0.0):
        raise BenchError(f"A variance must be finite and at least 0, not {variance}.")


def check_correlation(correlation: float) -> None:
    """Refuse a correlation outside [-1, 1].

    Raises:
        BenchError: it is outside, or not a number.
    """
    if not -1.0 <= correlation <= 1.0:
        raise BenchError(f"A correlation must be between -1 and 1, not {correlation}.")


@lru_cache(maxsize=32)
def legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1], each [order]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def panel_nodes(low: float, high: float, cuts: Sequence[float], smallest: float, order: int) -> tuple[Array, Array]:
    """Nodes and weights on [low, high], in panels that grow from `smallest` away from each cut.

    Returns:
        nodes and weights, each [panels * order], nodes ascending.
    """
    inside = sorted({cut for cut in cuts if low < cut < high})
    ends = [low, *inside, high]
    edges: list[float] = []
    for k in range(len(ends) - 1):
        edges += _graded(ends[k], ends[k + 1], (k > 0, k < len(ends) - 2), smallest)
    edges.append(high)
    lengths = np.diff(edges)
    nodes, weights = legendre(order)
    spread = np.asarray(edges[:-1])[:, None] + lengths[:, None] * nodes
    return spread.ravel(), (lengths[:, None] * weights).ravel()


def _graded(low: float, high: float, fine: tuple[bool, bool], smallest: float) -> list[float]:
    """Left edges of the panels of one piece, short at the ends that are `fine`."""
    steps: list[float] = []
    length = smallest
    half = (high - low) / (2.0 if all(fine) else 1.0)
    while sum(steps) + length < half:
        steps.append(length)
        length *= GROWTH
    offsets = np.cumsum(steps)
    left = [low, *(low + offsets)] if fine[0] else [low]
    right = list(high - offsets[::-1]) if fine[1] else []
    middle = [0.5 * (low + high)] if all(fine) else []
    return [*left, *middle, *right]


def piece_nodes(cuts: Array, ends: tuple[float, float], smallest: float, order: int) -> tuple[Array, Array]:
    """Nodes and weights on [low, high] for many sets of cuts at once.

    Args:
        cuts: [rows, cuts], ascending along the second axis; those outside the interval make empty pieces.
        ends: low and high.
        smallest: length below which no panel is needed.
        order: nodes in a panel.

    Returns:
        nodes and weights, each [rows, nodes].
    """
    low, high = ends
    rows = len(cuts)
    edges = np.concatenate([np.full((rows, 1), low), np.clip(cuts, low, high), np.full((rows, 1), high)], axis=1)
    nodes, weights = _template(max(2, int(np.ceil(np.log((high - low) / smallest) / np.log(2.5)))), order)
    both = np.concatenate([0.5 * nodes, 1.0 - 0.5 * nodes[::-1]])  # short panels at both ends
    both_weights = 0.5 * np.concatenate([weights, weights[::-1]])
    found, found_weights = [], []
    last = edges.shape[1] - 2
    for k in range(last + 1):
        start, length = edges[:, k, None], (edges[:, k + 1] - edges[:, k])[:, None]
        if 0 < k < last:
            at, of = both, both_weights
        else:
            at, of = (1.0 - nodes[::-1], weights[::-1]) if k == 0 else (nodes, weights)
        found.append(start + length * at)
        found_weights.append(length * of)
    return np.concatenate(found, axis=1), np.concatenate(found_weights, axis=1)


@lru_cache(maxsize=64)
def _template(panels: int, order: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1], short panels near 0."""
    edges = np.concatenate([[0.0], 2.5 ** -np.arange(panels - 1.0, -1.0, -1.0)])
    nodes, weights = legendre(order)
    lengths = np.diff(edges)[:, None]
    return (edges[:-1, None] + lengths * nodes).ravel(), (lengths * weights).ravel()


@dataclass(frozen=True)
class LogTable:
    """Values of ln f over ln q, continued as straight lines: `table(x)` gives ln f and its derivative by ln q."""

    start: float
    step: float
    values: Array
    slopes: Array

    def __call__(self, x: Array | float) -> tuple[Array, Array]:
        """Natural logarithm of f, and d ln f / d ln q at x = ln q, each of x's shape."""
        place = (np.asarray(x, np.float64) - self.start) / self.step
        index = np.clip(place.astype(np.int64), 0, len(self.values) - 1)
        slope = self.slopes[index]
        return self.values[index] + slope * self.step * (place - index), slope

    @classmethod
    def pair(cls, function: Callable[[float], tuple[float, float]], near: Sequence[float]) -> tuple[LogTable, LogTable]:
        """Tables of a function's two values, around the values of q in `near`."""
        logs = np.log(np.maximum(near, 1e-200))
        count = min(int((np.ptp(logs) + 2.0 * MARGIN) / SPACING) + 1, MOST)
        at = np.linspace(logs.min() - MARGIN, logs.max() + MARGIN, max(count, 8))
        values = np.log(np.maximum([function(float(q)) for q in np.exp(at)], TINY))
        return cls._of(at, values[:, 0]), cls._of(at, values[:, 1])

    @classmethod
    def _of(cls, at: Array, values: Array) -> LogTable:
        spline = make_interp_spline(at, values, k=3)
        fine = np.linspace(at[0], at[-1], FINE)
        return cls(float(fine[0]), float(fine[1] - fine[0]), spline(fine), spline(fine, nu=1))
