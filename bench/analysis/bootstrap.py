"""Interquartile means and probabilities of improvement, with percentile intervals from a stratified bootstrap.

Both are those of Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice": runs
are drawn again within their stratum (a cell), so that every resample holds every cell. One thing differs. From a
stratum of n runs n - 1 are drawn, not n (Rao & Wu 1988): n draws of three runs have two thirds of the variance that
they should. In simulations of 24 cells of 3 runs the 95 % interval then covers the truth in 93 to 95 % of data sets,
with n draws in 87 to 90 %. Replicates count as independent; a shift that all cells of a replicate share is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import trim_mean

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

CONFIDENCE = 0.95
RESAMPLES = 1000
_CHUNK = 2_000_000  # values drawn at once: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A statistic and the bounds of its 95 % interval."""

    value: float
    lower: float
    upper: float


def interquartile_mean(values: ArrayLike, axis: int = -1) -> Reals:
    """Mean of the middle half of the values along an axis: the lowest and highest quarter, rounded down, are dropped.

    Infinities rank. One that reaches into the middle half makes the mean infinite: with lost runs at infinity it is
    finite only while at most a quarter of the runs is lost. NaN where a value is NaN, where infinities of both signs
    are in the middle half, and where there is no value.
    """
    array = np.asarray(values, np.float64)
    if array.shape[axis] == 0:
        return np.asarray(np.full(np.delete(array.shape, axis), np.nan))
    with np.errstate(invalid="ignore"):
        mean = trim_mean(array, 0.25, axis=axis)
    return np.asarray(np.where(np.isnan(array).any(axis=axis), np.nan, mean))


def percentile_bounds(drawn: Reals) -> tuple[Reals, Reals]:
    """Lower and upper 95 % bounds over the first axis, as order statistics: infinities need no arithmetic."""
    ranked = np.sort(drawn, axis=0)
    outside = (1.0 - CONFIDENCE) / 2.0 * (len(ranked) - 1)
    return ranked[int(np.floor(outside))], ranked[int(np.ceil(len(ranked) - 1 - outside))]


def stratified_bootstrap(
    values: ArrayLike,
    strata: ArrayLike,
    statistic: Callable[[Reals], ArrayLike],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """A statistic of one sample with its bootstrap interval.

    Args:
        values: one number per run; NaN, not measured, is left out.
        strata: the stratum of each run, any labels.
        statistic: from an array `[resamples, n]` to one number per row, such as `interquartile_mean`.
        resamples: how many samples are drawn.
        seed: of the draws: the same seed gives the same interval.

    Returns:
        NaN bounds where no stratum has two runs: nothing is known of the spread. A stratum with a single run enters
        every resample with it.
    """
    array = np.asarray(values, np.float64)
    measured = ~np.isnan(array)
    array, code = array[measured], pd.factorize(np.asarray(strata)[measured])[0].astype(np.int64)
    if not len(array):
        return Interval(np.nan, np.nan, np.nan)
    value = float(np.asarray(statistic(array[None]))[0])
    if np.bincount(code).max() < 2:
        return Interval(value, np.nan, np.nan)
    drawn = [np.asarray(statistic(array[picks]), np.float64) for picks in _draws(code, resamples, seed)]
    lower, upper = percentile_bounds(np.concatenate(drawn))
    return Interval(value, float(lower), float(upper))


def grouped_interquartile_means(values: Reals, group: Indices, stratum: Indices, seed: int = 0) -> pd.DataFrame:
    """`iqm`, `lower` and `upper` by group, all groups in one pass; group numbers run from 0 without a gap.

    `values` has no NaN, and a stratum lies within one group.
    """
    order = np.lexsort((values, group))
    ranked, groups = values[order], int(group.max()) + 1
    code = pd.factorize(stratum[order])[0].astype(np.int64)
    whole = _sorted_means(ranked[None], np.bincount(group, minlength=groups))[0]
    slots = _slots(code)
    # A position ranks its value within its group, so sorted positions are sorted values, group after group.
    sizes = np.bincount(group[order][_first_of(code)][slots], minlength=groups)
    drawn = [_sorted_means(ranked[np.sort(picks, axis=1)], sizes) for picks in _draws(code, RESAMPLES, seed)]
    lower, upper = percentile_bounds(np.concatenate(drawn))
    several = np.bincount(code) > 1
    known = np.bincount(group[order], weights=several[code], minlength=groups) > 0
    return pd.DataFrame(
        {"iqm": whole, "lower": np.where(known, lower, np.nan), "upper": np.where(known, upper, np.nan)}
    )


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Chance that a run of `x` is larger than one of `y`, a tie counting half: Mann-Whitney's U over its maximum.

    One sample each, or `[contexts, runs]` each: then the mean over contexts. NaN is not measured; a context without a
    measured run on both sides is left out. For a response of which less is better exchange `x` and `y`.
    """
    wins, usable = _wins(*_matrices(x, y))
    return float(wins.sum(axis=(1, 2))[usable].mean()) if usable.any() else np.nan


def improvement_interval(x: ArrayLike, y: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """`probability_of_improvement` with its interval; runs are drawn within their context, `x` and `y` each alone.

    In simulations of 4 to 60 contexts of 3 or 5 runs it covers in 94 to 98 % (n draws of n: 91 to 95 %); for ten runs
    in one context it covers in 95 %, in 91 % where the probability is as far out as 0.86.

    Where all of one side beat all of the other every resample says the same. There the bound is the exact one of n
    successes in n trials, n the smaller number of runs: 0.025^(1/n) from the end. NaN where no context has two runs on
    a side.
    """
    xs, ys = _matrices(x, y)
    wins, usable = _wins(xs, ys)
    if not usable.any():
        return Interval(np.nan, np.nan, np.nan)
    wins, xs, ys = wins[usable], xs[usable], ys[usable]
    value = float(wins.sum(axis=(1, 2)).mean())
    if max((~np.isnan(side)).sum(axis=1).max() for side in (xs, ys)) < 2:
        return Interval(value, np.nan, np.nan)
    draw = np.random.default_rng(seed)
    # `wins` holds shares of a context's pairs: weights relative to one draw each turn them into the resample's.
    left, right = _weights(xs, resamples, draw), _weights(ys, resamples, draw)
    drawn = ((left @ wins) * right).sum(axis=2).mean(axis=0)
    lower, upper = (float(bound) for bound in percentile_bounds(drawn))
    if value in (0.0, 1.0):
        fewest = int(min((~np.isnan(side)).sum() for side in (xs, ys)))
        exact = ((1.0 - CONFIDENCE) / 2.0) ** (1.0 / fewest)
        lower, upper = (exact, 1.0) if value == 1.0 else (0.0, 1.0 - exact)
    return Interval(value, lower, upper)


def _first_of(code: Indices) -> Indices:
    """The position of each stratum's first member."""
    return np.unique(code, return_index=True)[1]


def _slots(code: Indices) -> Indices:
    """The stratum of each draw: n - 1 of a stratum with n members, one of a stratum with one."""
    return np.repeat(np.arange(int(code.max()) + 1), np.maximum(np.bincount(code) - 1, 1))


def _draws(code: Indices, resamples: int, seed: int) -> list[Indices]:
    """Positions of the drawn values, `[resamples, draws]` in chunks."""
    draw = np.random.default_rng(seed)
    members = np.argsort(code, kind="stable")
    count = np.bincount(code)
    start, slots = np.cumsum(count) - count, _slots(code)
    chunk = max(1, _CHUNK // len(slots))
    sizes = [min(chunk, resamples - done) for done in range(0, resamples, chunk)]
    return [members[start[slots] + draw.integers(0, count[slots], (size, len(slots)))] for size in sizes]


def _sorted_means(ranked: Reals, sizes: Indices) -> Reals:
    """Interquartile means of rows that hold sorted groups of these sizes one after the other, `[rows, groups]`."""
    start, cut = np.cumsum(sizes) - sizes, sizes // 4
    edges = np.stack([start + cut, start + sizes - cut], axis=1).ravel()
    padded = np.pad(ranked, ((0, 0), (0, 1)))  # the last edge may be the end
    with np.errstate(invalid="ignore"):
        return np.asarray(np.add.reduceat(padded, edges, axis=1)[:, ::2] / (sizes - 2 * cut))


def _matrices(x: ArrayLike, y: ArrayLike) -> tuple[Reals, Reals]:
    return np.atleast_2d(np.asarray(x, np.float64)), np.atleast_2d(np.asarray(y, np.float64))


def _wins(x: Reals, y: Reals) -> tuple[Reals, NDArray[np.bool_]]:
    """Each pair's win, 0, 1/2 or 1, over its context's number of pairs, `[contexts, x, y]`; and which have pairs."""
    one, other = x[:, :, None], y[:, None, :]
    wins = (one > other) + 0.5 * (one == other)
    pairs = (~np.isnan(x)).sum(axis=1) * (~np.isnan(y)).sum(axis=1)
    return wins / np.maximum(pairs, 1)[:, None, None], pairs > 0


def _weights(side: Reals, resamples: int, draw: np.random.Generator) -> Reals:
    """How often each run was drawn over how often it should be, `[contexts, resamples, runs]`; NaN is never drawn."""
    contexts, width = side.shape
    count = (~np.isnan(side)).sum(axis=1)
    draws = np.maximum(count - 1, 1)
    measured_first = np.argsort(np.isnan(side), axis=1, kind="stable")
    shape = (contexts, resamples, int(draws.max()))
    rank = draw.integers(0, count[:, None, None], shape)
    chosen = np.take_along_axis(measured_first[:, None, :], rank, axis=2)
    cell = np.arange(contexts * resamples).reshape(contexts, resamples, 1) * width + chosen
    counted = np.broadcast_to(np.arange(shape[2]) < draws[:, None, None], shape)
    times = np.bincount(cell.ravel(), weights=counted.ravel().astype(float), minlength=contexts * resamples * width)
    return np.asarray(times.reshape(contexts, resamples, width) * (count / draws)[:, None, None])
