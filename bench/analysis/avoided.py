"""What to avoid: the levels, alone or in pairs, with which hardly a run trains, the commonest first.

docs/rules.md states the rule: who is a candidate, what is shortened, how three are chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.analysis.parts import commonest_place
from bench.factors import ABSENT, level_name, without_use

Pairs = tuple[tuple[str, str], ...]  # factor and level
MOST_TRAINED = 0.05  # of the runs of a way to fail
WAYS = 3
FEWEST_RUNS = 2
LEARNED = "learned too little"  # the cause of a run that learned and did not train

Terms = tuple[tuple[str, tuple[str, ...]], ...]  # factors, each with the levels of which any will do


@dataclass(frozen=True)
class Way:
    """A way to fail: its levels, the depths at which it does (none named where it is all), and what became of it.

    `mechanism` is the commonest cause of the runs that did not train, in `shown` of `lost`; `step` and `layer` are the
    median step, null where it has none, and the commonest layer at which it was seen, in words.
    """

    terms: Terms
    depths: tuple[str, ...]
    runs: int
    trained: int
    mechanism: str
    shown: int
    lost: int
    step: float = np.nan
    layer: str = ""


def ways_to_fail(runs: pd.DataFrame, levels: Mapping[str, Sequence[str]], causes: pd.DataFrame) -> list[Way]:
    """Up to three ways to fail, each with the most runs that no earlier one holds.

    Args:
        runs: judged runs with `trained`, and every factor of `levels` as labels.
        levels: the factors that vary.
        causes: what `causes_of` found: `run_id`, `cause`, `layer`, `step`.
    """
    factors = [name for name in levels if name not in ("depth", "dataset")]
    if "steps" in levels:
        longer = runs["steps"].astype(float) > 1.0  # one update is there to measure the start: it cannot fail to train
        runs = runs[longer] if longer.any() else runs
    depths = tuple(levels.get("depth", ())) or ("",)
    frame = pd.DataFrame({name: runs[name].astype(str) for name in factors}, index=runs.index)
    frame["depth"] = runs["depth"].astype(str) if "depth" in levels else ""
    frame["trained"] = runs["trained"].to_numpy(bool)
    elsewhere = _of_some(runs) if "architecture" in levels else frozenset()
    bad = {key: None for key in _bad(frame, factors) if not _means_architecture(key[0], elsewhere)}
    chosen: list[Way] = []
    left = pd.Series(True, index=runs.index) & ~frame["trained"]
    masks = [(terms, where, _mask(frame, terms, where)) for terms, where in _merged(bad, levels, depths)]
    while masks and len(chosen) < WAYS:
        ranked = max(masks, key=lambda each: (int((each[2] & left).sum()), -len(each[0]), -_size(each[0])))
        terms, where, mask = ranked
        if int((mask & left).sum()) < FEWEST_RUNS:
            break
        chosen.append(_way(terms, () if len(where) == len(depths) else where, runs[mask], causes))
        left &= ~mask
        masks = [each for each in masks if each is not ranked]
    return chosen


def _of_some(runs: pd.DataFrame) -> frozenset[str]:
    """The factors that some of the runs' architectures have no use for."""
    names = runs["architecture"].astype(str).unique()
    return frozenset[str]().union(*(without_use([level_name(each)]) for each in names))


def _means_architecture(pairs: Pairs, elsewhere: Collection[str]) -> bool:
    """Whether a level is absent where a network has no such thing, and no architecture is named beside it."""
    absent = any(factor in elsewhere and level in (*ABSENT, "0") for factor, level in pairs)
    return absent and not any(factor == "architecture" for factor, _ in pairs)


def _size(terms: Terms) -> int:
    return sum(len(levels) for _, levels in terms)


def _bad(frame: pd.DataFrame, factors: Sequence[str]) -> dict[tuple[Pairs, str], None]:
    """Levels and pairs of levels at a depth with which hardly a run trains; no pair of which one alone will do."""
    found: dict[tuple[Pairs, str], None] = {}  # in order: of equal ways the first is named, in every process
    for names in [*((each,) for each in factors), *combinations(factors, 2)]:
        shares = frame.groupby([*names, "depth"], observed=True)["trained"].agg(["mean", "size"])
        for key in shares.index[(shares["mean"] <= MOST_TRAINED) & (shares["size"] >= FEWEST_RUNS)]:
            *values, depth = key
            terms = tuple(zip(names, map(str, values), strict=True))
            if len(terms) == 1 or not any(((term,), str(depth)) in found for term in terms):
                found[terms, str(depth)] = None
    return found


def _merged(
    bad: Iterable[tuple[Pairs, str]], levels: Mapping[str, Sequence[str]], depths: Sequence[str]
) -> Iterator[tuple[Terms, tuple[str, ...]]]:
    """Each with the depths at which it holds, then with the levels of its first factor that fail at the same ones."""
    where: dict[Pairs, list[str]] = {}
    for depth in depths:
        for terms, place_of in bad:
            if place_of == depth:
                where.setdefault(terms, []).append(depth)
    for place in (0, 1):
        groups: dict[tuple[str, Pairs, tuple[str, ...]], list[str]] = {}
        for pairs, at in where.items():
            if place < len(pairs):
                factor, level = pairs[place]
                groups.setdefault((factor, pairs[:place] + pairs[place + 1 :], tuple(at)), []).append(level)
        for (factor, rest, places), some in groups.items():
            ordered = tuple(level for level in levels[factor] if level in some)
            if len(ordered) < len(levels[factor]) or len(levels[factor]) == 1:
                yield ((factor, ordered), *((name, (level,)) for name, level in rest)), places


def _mask(frame: pd.DataFrame, terms: Terms, depths: Sequence[str]) -> pd.Series:
    mask = frame["depth"].isin(list(depths))
    for factor, some in terms:
        mask &= frame[factor].isin(list(some))
    return mask


def _way(terms: Terms, depths: tuple[str, ...], runs: pd.DataFrame, causes: pd.DataFrame) -> Way:
    lost = runs[~runs["trained"].to_numpy(bool)]
    known = causes.set_index("run_id").reindex(lost["run_id"])
    names = known["cause"].astype(object).where(known["cause"].notna().to_numpy(bool), LEARNED)
    common = str(names.value_counts().index[0])
    own = known[(names == common).to_numpy(bool)]
    step = float(own["step"].astype(float).median()) if own["step"].notna().any() else np.nan
    return Way(terms, depths, len(runs), len(runs) - len(lost), common, len(own), len(lost), step, commonest_place(own))
