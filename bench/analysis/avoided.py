"""What to avoid: the levels, alone or in pairs, with which hardly a run trains, the commonest first.

docs/rules.md states the rule: who is a candidate, what is shortened, how three are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.analysis.verdicts import Outcome
from bench.rules import Symptom

Pairs = tuple[tuple[str, str], ...]  # factor and level
MOST_TRAINED = 0.05  # of the runs of a way to fail
WAYS = 3
FEWEST_RUNS = 2

Terms = tuple[tuple[str, tuple[str, ...]], ...]  # factors, each with the levels of which any will do


@dataclass(frozen=True)
class Way:
    """A way to fail: its levels, the depths at which it does (none named where it is all), and what became of it.

    `mechanism` is the commonest of outcome and symptom in the runs that did not train, in `shown` of `lost`; `step`
    and `layer` are the median step and commonest layer of those that diverged, null where they did not.
    """

    terms: Terms
    depths: tuple[str, ...]
    runs: int
    trained: int
    mechanism: str
    shown: int
    lost: int
    step: float = np.nan
    layer: float = np.nan


def ways_to_fail(runs: pd.DataFrame, levels: Mapping[str, Sequence[str]], events: pd.DataFrame) -> list[Way]:
    """Up to three ways to fail, each with the most runs that no earlier one holds.

    Args:
        runs: judged runs with `trained`, and every factor of `levels` as labels.
        levels: the factors that vary.
        events: the table `divergence_events`.
    """
    factors = [name for name in levels if name not in ("depth", "dataset")]
    depths = tuple(levels.get("depth", ())) or ("",)
    frame = pd.DataFrame({name: runs[name].astype(str) for name in factors}, index=runs.index)
    frame["depth"] = runs["depth"].astype(str) if "depth" in levels else ""
    frame["trained"] = runs["trained"].to_numpy(bool)
    bad = _bad(frame, factors)
    chosen: list[Way] = []
    left = pd.Series(True, index=runs.index) & ~frame["trained"]
    masks = [(terms, where, _mask(frame, terms, where)) for terms, where in _merged(bad, levels, depths)]
    while masks and len(chosen) < WAYS:
        ranked = max(masks, key=lambda each: (int((each[2] & left).sum()), -len(each[0]), -_size(each[0])))
        terms, where, mask = ranked
        if int((mask & left).sum()) < FEWEST_RUNS:
            break
        chosen.append(_way(terms, () if len(where) == len(depths) else where, runs[mask], events))
        left &= ~mask
        masks = [each for each in masks if each is not ranked]
    return chosen


def _size(terms: Terms) -> int:
    return sum(len(levels) for _, levels in terms)


def _bad(frame: pd.DataFrame, factors: Sequence[str]) -> set[tuple[Pairs, str]]:
    """Levels and pairs of levels at a depth with which hardly a run trains; no pair of which one alone will do."""
    found: set[tuple[Pairs, str]] = set()
    for names in [*((each,) for each in factors), *combinations(factors, 2)]:
        shares = frame.groupby([*names, "depth"], observed=True)["trained"].agg(["mean", "size"])
        for key in shares.index[(shares["mean"] <= MOST_TRAINED) & (shares["size"] >= FEWEST_RUNS)]:
            *values, depth = key
            terms = tuple(zip(names, map(str, values), strict=True))
            if len(terms) == 1 or not any(((term,), str(depth)) in found for term in terms):
                found.add((terms, str(depth)))
    return found


def _merged(
    bad: set[tuple[Pairs, str]], levels: Mapping[str, Sequence[str]], depths: Sequence[str]
) -> Iterator[tuple[Terms, tuple[str, ...]]]:
    """Each with the depths at which it holds, then with the levels of its first factor that fail at the same ones."""
    where: dict[Pairs, list[str]] = {}
    for depth in depths:
        for found, at in bad:
            if at == depth:
                where.setdefault(found, []).append(depth)
    for place in (0, 1):
        groups: dict[tuple[str, Pairs, tuple[str, ...]], list[str]] = {}
        for pairs, found_at in where.items():
            if place < len(pairs):
                factor, level = pairs[place]
                groups.setdefault((factor, pairs[:place] + pairs[place + 1 :], tuple(found_at)), []).append(level)
        for (factor, rest, places), some in groups.items():
            ordered = tuple(level for level in levels[factor] if level in some)
            if len(ordered) < len(levels[factor]) or len(levels[factor]) == 1:
                yield ((factor, ordered), *((name, (level,)) for name, level in rest)), places


def _mask(frame: pd.DataFrame, terms: Terms, depths: Sequence[str]) -> pd.Series:
    mask = frame["depth"].isin(list(depths))
    for factor, some in terms:
        mask &= frame[factor].isin(list(some))
    return mask


def _way(terms: Terms, depths: tuple[str, ...], runs: pd.DataFrame, events: pd.DataFrame) -> Way:
    lost = runs[~runs["trained"].to_numpy(bool)]
    kinds = pd.Series([_mechanism(*each) for each in zip(lost["outcome"], lost["symptom_start"], strict=True)])
    common = str(kinds.value_counts().index[0])
    step = layer = np.nan
    if common == Outcome.DIVERGED:
        gone = lost.loc[lost["outcome"] == Outcome.DIVERGED, "run_id"].astype(str)
        ends = events[(events["kind"] != "loss_limit") & events["run_id"].astype(str).isin(set(gone))]
        step = float(ends["step"].median()) if len(ends) else np.nan
        known = ends["layer_index"].dropna()
        layer = float(known.mode().iloc[0]) if len(known) else np.nan
    return Way(
        terms, depths, len(runs), len(runs) - len(lost), common, int((kinds == common).sum()), len(lost), step, layer
    )


def _mechanism(outcome: str, symptom: str) -> str:
    if outcome in (Outcome.DIVERGED, Outcome.FAILED):
        return str(outcome)
    return str(outcome) if symptom in (Symptom.HEALTHY, Symptom.UNMEASURED) else str(symptom)
