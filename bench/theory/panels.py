"""Gauss-Legendre panels: an interval cut where a function bends or turns fast, with nodes in each piece."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bench.theory.activations import Array

GROWTH = 1.8  # each panel is that much longer than the one nearer the cut


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
