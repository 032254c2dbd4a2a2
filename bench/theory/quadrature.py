"""Gaussian expectations of elementwise functions, each with a stated error.

Gauss-Hermite quadrature is wrong by per cents where a function has a kink or turns fast against the width of the
Gaussian (softsign at variance 1, any saturating function at large variance). Here the range is cut at the kinks, and
panels of Gauss-Legendre nodes grow away from each cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError
from bench.theory.activations import Array, Function
from bench.theory.panels import panel_nodes, piece_nodes

REACH = 10.0  # standard deviations that are integrated; beyond them the density is under 1e-22
ORDERS = (40, 28)  # nodes in a panel: the value, and the coarser one that it is compared with
PAIR_ORDERS = (16, 11)
LEAST = 1e-60  # stands for variances of 0 and near it, of which the limit is meant
ROUNDING = 1e-14


@dataclass(frozen=True)
class Expectation:
    """A number and a bound on its numerical error, absolute."""

    value: float
    error: float


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


def expectation(function: Function, variance: float, kinks: Sequence[float] = ()) -> Expectation:
    """E[f(z)] for z normal with mean 0.

    Args:
        function: f, from an array to an array of its shape.
        variance: of z, at least 0.
        kinks: values of z where f or its slope jumps; a kink that is not named costs digits, and the error says so.

    Returns:
        The value by 40 nodes a panel; its error, the difference from 28 nodes and what rounding may have cost.

    Raises:
        BenchError: the variance is negative or not finite, or f is not finite where it is asked.
    """
    check_variance(variance)
    scale = np.sqrt(max(variance, LEAST))
    values, size = [], 0.0
    for order in ORDERS:
        x, weights = gaussian_nodes(variance, kinks, order)
        terms = weights * np.asarray(function(scale * x), np.float64)
        values.append(float(terms.sum()))
        size = max(size, float(np.abs(terms).sum()))
    return _compared(values, size)


def pair_expectation(
    function: Callable[[Array, Array], Array], variance: float, correlation: float, kinks: Sequence[float] = ()
) -> Expectation:
    """E[f(z, z')] for z and z' normal with mean 0, one variance and the given correlation.

    Args:
        function: f of two arrays that broadcast against each other.
        variance: of z and z', at least 0.
        correlation: between -1 and 1.
        kinks: values of either argument where f or its slope jumps.

    Returns:
        The value by 16 nodes a panel in each direction; its error, the difference from 11 nodes and rounding.

    Raises:
        BenchError: the variance is negative or not finite, the correlation outside [-1, 1], or f not finite.
    """
    check_variance(variance)
    check_correlation(correlation)
    values, size = [], 0.0
    for order in PAIR_ORDERS:
        z, other, weights = pair_nodes(variance, correlation, kinks, order)
        terms = weights * np.asarray(function(z[:, None], other), np.float64)
        values.append(float(terms.sum()))
        size = max(size, float(np.abs(terms).sum()))
    return _compared(values, size)


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


def _compared(values: list[float], size: float) -> Expectation:
    if not np.isfinite(values).all():
        raise BenchError("The function is not finite within ten standard deviations of the Gaussian.")
    return Expectation(values[0], abs(values[0] - values[1]) + ROUNDING * size)
