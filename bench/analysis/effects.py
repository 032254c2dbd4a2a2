"""What each factor changes: its share of the variance, alone and in pairs, and what each of its levels does.

Shares need a full factorial design. In a balanced product of factors the variance of a quantity splits exactly: a
factor's main effect is the variance of its levels' means, an interaction of two is the variance of what their means
differ from the sum of both main effects, and what is left is higher interactions and the draw (Montgomery, Design and
Analysis of Experiments, ch. 5).

Means over R replicates vary by chance as well, which would credit each term with some of the draw. So a term's
variance is here the mean product of its deviations in two different replicates, whose draws are independent: without
bias whatever the spread of each cell, and with equal spreads the omega squared of the textbooks.

The interval is the jackknife's over replicates with Student's t on R - 1 degrees of freedom. In 600 simulated data
sets with shares of 0 to 0.4, noise of equal and unequal spread, and draws that shift a whole level within a replicate,
it held the truth in 92 to 99 % with 3 and with 10 replicates (for a true share of 0 in up to all of them). The range
of leaving one replicate out held it in 0 to 50 %, a bootstrap of residuals in 51 to 100 %. Fewer than three
replicates cannot tell: the bounds are 0 and 1.

Main effects: what a level changes against its factor's reference level, on runs that differ in nothing else.

Runs are paired by block: the same other levels, the same replicate. The differences are not independent: those of one
context (the other factors' levels) share how much the change matters there, those of one replicate share its draw. So
the standard error is clustered both ways (Cameron, Gelbach & Miller 2011): the variance by contexts plus that by
replicates less that of single pairs, and no less than either; Student's t has Satterthwaite's degrees of freedom. The
mean is thus that of contexts and replicates like these. In simulations of 12 and 60 contexts with 3 and 10 replicates,
with and without effects that differ by context and by replicate, the 95 % interval held the truth in 93 to 100 % of
4000 data sets. Contexts as units held it in as few as 39 %, replicates as units in 48 %.

Accuracies lie between 0 and 1, and networks learn or do not: a few runs that ended alike say little of one that might
not, and Student's t, which knows nothing of bounds, is too sure of them (2 contexts in which every run was rescued or
none held the truth in 44 %) or says what cannot be (−3.9 to +4.6). So an interval of a bounded difference ends at the
bounds, and reaches at least as far as a part of the contexts could move the mean that was not met in any of them: with
n contexts one of share 1 - 0.05^(1/n) is missed in 5 % of data sets. In simulations of 2 to 12 contexts with 2 and 3
replicates, of noise and of runs that learn or do not, by run and by context, rarely or often, it held the truth in
98 to 100 % of 1000 data sets each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from bench.analysis.estimates import with_lost_counted
from bench.analysis.tables import Indices, Reals, coded_levels
from bench.factors import absent_of
from bench.quantities import Quantity
from bench.schema import RunStatus

LEVEL = 0.95
COLUMNS = ["factors", "share", "lower", "upper", "runs", "lost"]
INTERACTIONS = [
    "one", "other", "share", "lower", "upper", "one_level", "other_level", "deviation", "mean", "runs", "lost",
]  # fmt: skip
REST = "everything else"
CONTRASTS = [
    "factor", "level", "reference", "difference", "lower", "upper", "pairs", "contexts", "replicates", "unmeasured",
    "lost", "p_value", "p_holm",
]  # fmt: skip


def is_full_factorial(judged: pd.DataFrame, varied: Sequence[str]) -> bool:
    """Whether every combination of the varied factors' levels was run, each with the same replicates."""
    if judged.empty or not varied:
        return False
    combinations_ = judged.groupby([*varied, "replicate"], observed=True).size()
    expected = judged["replicate"].nunique()
    for factor in varied:
        expected *= judged[factor].nunique()
    return bool(len(combinations_) == len(judged) == expected)


def variance_shares(judged: pd.DataFrame, varied: Sequence[str], quantity: Quantity) -> pd.DataFrame:
    """Shares of a quantity's variance, the largest first, `everything else` last.

    Every run counts, a lost one by the quantity's rule. Columns: factors (one or two names joined by " × "), share,
    lower, upper (the 95 % interval), runs, lost. Empty where there is no answer.
    """
    made = _factorial(judged, varied, quantity)
    if made is None:
        return pd.DataFrame(columns=COLUMNS)
    parts = {" × ".join(term): _products(made.deviations(term)) for term in made.terms()}
    shares = {name: _share(part, made) for name, part in parts.items()}
    ranked = sorted(shares, key=lambda name: -shares[name][0])
    rest = _share(sum(parts.values(), np.zeros((made.replicates, made.replicates))), made, left=True)
    rows = [(name, *shares[name]) for name in ranked] + [(REST, *rest)]
    table = pd.DataFrame(rows, columns=COLUMNS[:4])
    return table.assign(runs=made.cube.size, lost=int(made.lost.sum()))


def interactions(judged: pd.DataFrame, varied: Sequence[str], quantity: Quantity) -> pd.DataFrame:
    """Interactions of two factors, the largest share of the variance first, each with its most telling pair of levels.

    `deviation` is the mean of the runs with `one_level` and `other_level` less what the two main effects
    alone predict, in the quantity's unit; the pair is the one where it is largest in magnitude, `mean` is its mean,
    `runs` and `lost` its counts. Of equal deviations, which all pairs of two factors with two levels have, it is the
    one whose mean is furthest from that of all runs. `share`, `lower` and `upper` are those of `variance_shares`.
    Empty where there is no answer.
    """
    made = _factorial(judged, varied, quantity)
    if made is None:
        return pd.DataFrame(columns=INTERACTIONS)
    rows = []
    for one, other in combinations(varied, 2):
        each = made.deviations((one, other))
        deviation = each.mean(axis=-1)
        i, j = made.most_telling(deviation, (one, other))
        at = made.at({one: i, other: j})
        pair = (made.levels[one][i], made.levels[other][j], float(deviation[i, j]), float(made.cube[at].mean()))
        rows.append((one, other, *_share(_products(each), made), *pair, made.cube[at].size, int(made.lost[at].sum())))
    table = pd.DataFrame(rows, columns=INTERACTIONS)
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Factorial:
    """A full product's numbers, less their mean over everything in `deviations` only."""

    levels: Mapping[str, list[str]]
    cube: Reals  # [levels of each factor ..., replicates]
    lost: NDArray[np.bool_]  # the same shape

    @property
    def replicates(self) -> int:
        return int(self.cube.shape[-1])

    def terms(self) -> list[tuple[str, ...]]:
        return [(name,) for name in self.levels] + list(combinations(self.levels, 2))

    def at(self, chosen: Mapping[str, int]) -> tuple[int | slice, ...]:
        """The index of all runs with the chosen levels."""
        return tuple(chosen.get(name, slice(None)) for name in self.levels)

    def deviations(self, term: tuple[str, ...]) -> Reals:
        """Deviations of a term's means from what lower terms predict, `[levels ..., replicates]`."""
        axes = [index for index, name in enumerate(self.levels) if name in term]
        others = tuple(index for index in range(len(self.levels)) if index not in axes)
        means = self.cube.mean(axis=others)
        for axis in range(len(axes)):
            means = means - means.mean(axis=axis, keepdims=True)
        return np.asarray(means)

    def most_telling(self, deviation: Reals, pair: tuple[str, str]) -> tuple[int, int]:
        """Where a pair's deviation is largest in magnitude; of equal ones, where its mean is furthest out."""
        others = tuple(index for index, name in enumerate((*self.levels, "")) if name not in pair)
        far = np.abs(self.cube.mean(axis=others) - self.cube.mean())
        size = np.abs(deviation)
        largest = size >= size.max() * (1.0 - 1e-9)
        i, j = np.unravel_index(int(np.where(largest, far, -1.0).argmax()), far.shape)
        return int(i), int(j)


def _factorial(judged: pd.DataFrame, varied: Sequence[str], quantity: Quantity) -> _Factorial | None:
    """The numbers as a cube; None where not every combination has a finite one, or all have the same."""
    if not is_full_factorial(judged, varied):
        return None
    values = with_lost_counted(judged, quantity).to_numpy(np.float64)
    if not np.isfinite(values).all() or np.ptp(values) == 0.0:
        return None
    coded = [coded_levels(judged[name]) for name in (*varied, "replicate")]
    shape = tuple(len(found) for _, found in coded)
    index = tuple(code for code, _ in coded)
    cube, lost = np.empty(shape), np.empty(shape, bool)
    cube[index] = values
    lost[index] = (judged["status"] != RunStatus.COMPLETED).to_numpy()
    levels = {name: [str(level) for level in found] for name, (_, found) in zip(varied, coded, strict=False)}
    return _Factorial(levels, cube, lost)


def _products(deviations: Reals) -> Reals:
    """Mean product of the deviations in each pair of replicates, `[replicates, replicates]`."""
    flat = deviations.reshape(-1, deviations.shape[-1])
    return np.asarray(flat.T @ flat / len(flat))


def _share(products: Reals, made: _Factorial, left: bool = False) -> tuple[float, float, float]:
    """Share, lower and upper of a term, or of what it leaves, all between 0 and 1."""
    count = made.replicates
    centred = (made.cube - made.cube.mean()).reshape(-1, count)
    squares, means = (centred**2).mean(axis=0), centred.mean(axis=0)

    def share(keep: Reals) -> float:
        kept = keep.sum()
        total = squares @ keep / kept - (means @ keep / kept) ** 2
        both, alone = keep @ products @ keep, np.diag(products) @ keep
        part = (both - alone) / (kept * (kept - 1.0)) if kept > 1 else both
        found = part / total if total > 0.0 else 0.0
        return float(1.0 - found if left else found)

    whole = share(np.ones(count))
    if count < 3:
        return min(max(whole, 0.0), 1.0), 0.0, 1.0
    leaving = np.array([share(keep) for keep in 1.0 - np.eye(count)])
    error = np.sqrt((count - 1) / count * ((leaving - leaving.mean()) ** 2).sum())
    half = float(student.ppf((1.0 + LEVEL) / 2.0, count - 1) * error)
    low, middle, high = (min(max(each, 0.0), 1.0) for each in (whole - half, whole, whole + half))
    return middle, low, high


def main_effects(judged: pd.DataFrame, varied: Sequence[str], quantity: Quantity) -> pd.DataFrame:
    """One row for each varied factor and level but its reference: `none` where there is one, else the first.

    First is the smallest number, or the first category where the column is a categorical in the suite's order; words
    that are none come in the order of the rows. Every run counts, a lost one by the quantity's rule.

    Returns:
        `difference` is the mean over `pairs` (level less reference, the quantity's unit) with its 95 % interval, from
        so many `contexts` and `replicates`; of the pairs `lost` have a lost run on either side. `unmeasured` pairs lack
        a value and are left out. `p_value` is two-sided, `p_holm` the same after Holm's correction over all rows. With
        a single pair there is neither interval nor p-value: NaN. Where a quantity is infinite in any run there is no
        mean: the frame is empty.

    Raises:
        ValueError: two runs share all varied levels and the replicate: `varied` leaves out a factor.
    """
    values = with_lost_counted(judged, quantity)
    if np.isinf(values).any():
        return pd.DataFrame(columns=CONTRASTS)
    frame = judged[[*varied, "replicate"]].assign(
        _value=values.to_numpy(np.float64), _lost=(judged["status"] != RunStatus.COMPLETED).to_numpy()
    )
    if frame.duplicated([*varied, "replicate"]).any():
        raise ValueError(f"runs differ in more than {', '.join(varied)} and the replicate")
    rows = [row for factor in varied for row in _effects_of(frame, factor, varied, quantity.largest_difference)]
    table = pd.DataFrame(rows, columns=CONTRASTS[:-1])
    return table.assign(p_holm=holm(table["p_value"].to_numpy(np.float64)))


def holm(p_values: Reals) -> Reals:
    """Holm's step-down adjusted p-values (Holm 1979); NaN stays NaN and counts as no test."""
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.maximum.accumulate((len(order) - np.arange(len(order))) * p_values[order])
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def _effects_of(frame: pd.DataFrame, factor: str, varied: Sequence[str], most: float) -> list[tuple[object, ...]]:
    others = [name for name in varied if name != factor]
    grouped = frame.groupby(others, sort=False, observed=True, dropna=False) if others else None
    context = grouped.ngroup().to_numpy(np.int64) if grouped is not None else np.zeros(len(frame), np.int64)
    block = pd.factorize(frame["replicate"])[0].astype(np.int64)
    code, levels = coded_levels(frame[factor])
    names = [str(level) for level in levels]
    blocks = int(block.max(initial=0)) + 1
    shape = (len(names), (int(context.max(initial=0)) + 1) * blocks)
    place = (code, context * blocks + block)
    values, lost, present = np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool)
    values[place], lost[place], present[place] = frame["_value"], frame["_lost"], True
    reference = names.index(absent_of(names)) if names else 0
    rows: list[tuple[object, ...]] = []
    for level in range(len(names)):
        if level == reference:
            continue
        paired = present[level] & present[reference]
        change = values[level] - values[reference]
        used = np.flatnonzero(paired & ~np.isnan(change))
        shares, (mean, low, high, p_value) = (used // blocks, used % blocks), (np.nan,) * 4
        if len(used):
            mean, low, high, p_value = clustered_mean(change[used], *shares, most)
        counted = (len(used), *(len(np.unique(each)) for each in shares), int(paired.sum()) - len(used))
        gone = int((lost[level] | lost[reference])[used].sum())
        rows.append((factor, names[level], names[reference], mean, low, high, *counted, gone, p_value))
    return rows


def clustered_mean(
    values: Reals, context: Indices, block: Indices, most: float = np.inf
) -> tuple[float, float, float, float]:
    """Mean, lower, upper and two-sided p-value of values that share contexts and blocks, at least one value.

    With a single context only blocks count, with a single block only contexts. Values between -`most` and `most` have
    an interval within these bounds that owns up to what so few contexts cannot have shown. Of other values that are all
    the same the interval has no width; their p-value is 1 for zero and 0 otherwise.
    """
    mean, low, high, p_value = _student(values, context, block)
    contexts = len(np.unique(context))
    units = contexts if contexts > 1 else len(np.unique(block))
    if not np.isfinite(most) or np.isnan(low):
        return mean, low, high, p_value
    unseen = 1.0 - (1.0 - LEVEL) ** (1.0 / units)
    low = max(-most, min(low, mean - unseen * (mean + most)))
    high = min(most, max(high, mean + unseen * (most - mean)))
    return mean, low, high, max(p_value, (most / (most + abs(mean))) ** units)


def _student(values: Reals, context: Indices, block: Indices) -> tuple[float, float, float, float]:
    """By Student's t with clustered errors; NaN where neither contexts nor blocks are several."""
    mean = float(values.mean())
    parts = [_cluster_variance(values - mean, code) for code in (context, block, np.arange(len(values)))]
    (by_context, of_context), (by_block, of_block), (by_pair, of_pair) = parts
    if not of_context and not of_block:
        return mean, np.nan, np.nan, np.nan
    if of_context and of_block:
        variance = max(by_context + by_block - by_pair, by_context, by_block)
        of_pair = max(of_context * of_block, 1)
    else:
        variance, by_pair = max(by_context, by_block), 0.0
    if variance <= (1e-12 * np.abs(values).max()) ** 2:
        return mean, mean, mean, float(mean == 0.0)
    terms = ((by_context, of_context), (by_block, of_block), (by_pair, of_pair))
    freedom = max(1.0, variance**2 / sum(each**2 / max(of, 1) for each, of in terms))
    error = float(np.sqrt(variance))
    half = float(student.ppf((1.0 + LEVEL) / 2.0, freedom)) * error
    return mean, mean - half, mean + half, float(2.0 * student.sf(abs(mean) / error, freedom))


def _cluster_variance(residuals: Reals, code: Indices) -> tuple[float, int]:
    """Variance of the mean when clusters are the units, and its degrees of freedom; 0 and 0 for a single cluster."""
    clusters = len(np.unique(code))
    if clusters < 2:
        return 0.0, 0
    sums = np.bincount(code, weights=residuals)
    return float((sums**2).sum()) / len(residuals) ** 2 * clusters / (clusters - 1), clusters - 1
