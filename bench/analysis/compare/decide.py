"""`compare`: two results → counts, differences, verdicts. Each rule stands in docs/rules.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.compare import counts as counted
from bench.analysis.compare.estimates import Means, cell_means, pooled_means
from bench.analysis.compare.model import CHANGES, Comparison, Margin, Side, Verdict
from bench.analysis.compare.noise import margin_of
from bench.analysis.compare.overall import overall
from bench.analysis.compare.pairs import Pairs, pair
from bench.analysis.compare.power import power_of
from bench.analysis.compare.responses import RESPONSES, TIME, Response, lost
from bench.analysis.compare.starts import (
    first_steps,
    otherwise,
    share_of_other_draws,
    start_differences,
    start_table,
)
from bench.analysis.compare.timing import unlike
from bench.analysis.effects import holm
from bench.analysis.tables import Indices, Reals

# A false `worse` in 5 % of comparisons at most, shared by counts, all pairs, levels and cells; Holm within each.
SHARE = 0.05 / 4
MOST_APART = 0.5  # of the pairs, which start as other draws do although their seed is the same
# By how much, in ln, two whole trainings of one code may differ in time on a machine that does nothing else (0.23 was
# seen): all cohorts of one side share it, so that no spread among them shows it.
BETWEEN_TRAININGS = 0.25
CHANGED = "changed"  # beyond the margin, which nothing says is better or worse
Flags = Mapping[str, tuple[np.ndarray, np.ndarray]]
Place = Indices | list[np.ndarray]  # where each pair belongs: codes of cells, or a mask for each unit


def compare(
    base: Side, candidate: Side, margins: Mapping[str, float] | None = None, *, identical: bool = False
) -> Comparison:
    """Compare two results of one suite.

    Args:
        base: what is compared with.
        candidate: what may have changed.
        margins: of a response by its name, instead of its own; one of `time` asks for a verdict on it.
        identical: whether the tables of both were found equal to the bit.

    Raises:
        NotComparable: no run of one has a partner in the other.
    """
    given = dict(margins or {})
    pairs = pair(base.runs, candidate.runs, (base.name, candidate.name), own=base.own)
    units = {f"{name}={level}": pairs.words(name) == level for name, levels in pairs.levels.items() for level in levels}
    asked = [each for each in (*RESPONSES, *((TIME,) if TIME.name in given else ())) if _measured(each, pairs)]
    found = {each.name: margin_of(each, each.of(pairs.base), pairs.cell, given) for each in asked}
    whole = {"": np.ones(len(pairs), bool)}
    timing = margin_of(TIME, TIME.of(pairs.base), pairs.cell, given)
    other_load = unlike(pairs, timing.margin) if _measured(TIME, pairs) else ""
    judged = [_Judged(each, pairs, found[each.name], told=each is not TIME or not other_load) for each in asked]
    moved_by = start_differences(pairs)
    if base.own:  # whose seeds nobody wrote down: another rate moves the first update, never the first loss
        first_loss = {name: each for name, each in moved_by.items() if name == "loss"}
        same_seed = bool(first_loss) and share_of_other_draws(first_loss) <= MOST_APART
    else:
        same_seed = base.seed == candidate.seed if None not in (base.seed, candidate.seed) else not pairs.renamed
    apart = otherwise(moved_by, pairs) if same_seed else {}
    starts = start_table(pairs, apart, units) if apart else start_table(pairs, {}, {})
    same_draws = same_seed and (base.own or share_of_other_draws(moved_by) <= MOST_APART)
    suite, levels = (_table([each.pooled(some, same_draws) for each in judged], same_draws) for some in (whole, units))
    cells = _table([each.of_cells() for each in judged], same_draws)
    flags = counted.flags(pairs)
    counts, moved = counted.count(pairs, flags, SHARE, same_draws=same_draws), counted.moved(pairs)
    verdicts = _verdicts(pairs, flags, cells, moved, apart)
    time = pd.DataFrame(columns=CHANGES)
    if _measured(TIME, pairs):
        time = _Judged(TIME, pairs, timing).pooled(whole, same_draws)
        time = time.assign(verdict="")[list(CHANGES)]
    power = power_of({each.response.name: each.change for each in judged}, pairs, found)
    told = Comparison(Verdict.INCONCLUSIVE, (), identical, same_seed, same_draws, pairs, found, counts, moved, suite,
                      levels, cells, verdicts, starts, first_steps(moved_by, apart, pairs) if apart else None, time,
                      other_load, power)  # fmt: skip
    verdict, why = overall(told)
    return replace(told, verdict=verdict, why=why)


def _measured(response: Response, pairs: Pairs) -> bool:
    """Whether some pair has it on both sides."""
    return bool((~np.isnan(response.of(pairs.base)) & ~np.isnan(response.of(pairs.candidate))).any())


class _Judged:
    """One response of all pairs: differences, and what they come to by unit; where nothing is `told`, untested."""

    def __init__(self, response: Response, pairs: Pairs, margin: Margin, *, told: bool = True) -> None:
        self.response, self.pairs, self.margin, self.told = response, pairs, margin, told
        self.base, self.candidate = response.of(pairs.base), response.of(pairs.candidate)
        self.change = self.candidate - self.base
        self.worth = response.worth(self.base, self.candidate)
        self.cluster, self.replicate = pairs.cell, pairs.replicate
        cohorts = next((side["cohort"] for side in (pairs.base, pairs.candidate) if "cohort" in side), None)
        if response is TIME and cohorts is not None:  # reference results do not say theirs
            # What trained together was timed together: a cohort is one number, and cohorts are a sample of such.
            self.cluster = pd.factorize(cohorts)[0].astype(np.int64)
            self.replicate = np.zeros(len(pairs), np.int64)

    def pooled(self, units: Mapping[str, np.ndarray], same_draws: bool) -> pd.DataFrame:
        """`CHANGES` of each unit: a mask of pairs."""
        masks, where = list(units.values()), (self.cluster, self.replicate)
        means = [pooled_means(each, *where, masks, same_draws=same_draws) for each in (self.change, self.worth)]
        return self._rows(list(units), masks, *means)

    def of_cells(self) -> pd.DataFrame:
        """`CHANGES` of each cell."""
        cells = len(self.pairs.cells)
        means = [cell_means(each, self.pairs.cell, cells) for each in (self.change, self.worth)]
        return self._rows(list(self.pairs.cells), self.pairs.cell, *means)

    def _rows(self, units: Sequence[str], place: Place, change: Means, worth: Means) -> pd.DataFrame:
        tally = _tally(place, len(units))
        known = ~np.isnan(self.change)
        half = np.isnan(self.base) != np.isnan(self.candidate)
        low, high = change.interval()
        margin, largest = self.margin.margin, self.margin.largest
        shared = BETWEEN_TRAININGS if self.response is TIME else 0.0
        limit = margin + shared
        worse, better = ((-worth).beyond(limit, largest), worth.beyond(limit, largest))
        moved = np.minimum(1.0, 2.0 * np.fmin(change.beyond(limit, largest), (-change).beyond(limit, largest)))
        if not self.told:
            worse, better, moved = (np.full(len(units), np.nan) for _ in range(3))
        pairs = tally(known)
        with np.errstate(divide="ignore", invalid="ignore"):
            base, candidate = (tally(np.where(known, each, 0.0)) / pairs for each in (self.base, self.candidate))
        frame = pd.DataFrame(
            {
                "unit": list(units),
                "response": self.response.name,
                "pairs": pairs.astype(np.int64),
                "cells": _distinct(place, self.pairs.cell, known, len(units)),
                "replicates": _distinct(place, self.pairs.replicate, known, len(units)),
                "base_lost": tally(known & lost(self.pairs.base)).astype(np.int64),
                "candidate_lost": tally(known & lost(self.pairs.candidate)).astype(np.int64),
                "unmeasured": tally(half).astype(np.int64),
                "base": base,
                "candidate": candidate,
                "change": change.mean,
                "low": low - shared,
                "high": high + shared,
                "margin": margin,
                "p_worse": worse,
                "p_better": better,
                "p_changed": moved,
                "told": self.told,
            }
        )
        return frame[frame["pairs"] + frame["unmeasured"] > 0]


def _tally(place: Place, units: int) -> Callable[[np.ndarray], Reals]:
    """Sums of a number of each pair, by unit: by the cells' codes, or by masks."""
    if isinstance(place, list):
        return lambda values: np.array([np.asarray(values)[mask].sum() for mask in place], np.float64)
    return lambda values: np.bincount(place, weights=np.asarray(values, np.float64), minlength=units).astype(np.float64)


def _distinct(place: Place, code: Indices, known: np.ndarray, units: int) -> np.ndarray:
    if isinstance(place, list):
        return np.array([len(np.unique(code[mask & known])) for mask in place], np.int64)
    found = pd.Series(code[known]).groupby(place[known]).nunique()
    return np.asarray(found.reindex(range(units), fill_value=0).to_numpy(np.int64))


def _table(parts: Sequence[pd.DataFrame], same_draws: bool) -> pd.DataFrame:
    """Rows of all responses with p-values after Holm's correction over all of them, and a verdict each.

    Of the same draws what is equal to the bit in every pair is no test: it could not have been taken for a change.
    """
    if not parts:
        return pd.DataFrame(columns=CHANGES)
    table = pd.concat(parts, ignore_index=True)
    still = np.asarray((table[["change", "low", "high"]] == 0.0).all(axis=1).to_numpy(bool)) & same_draws
    for name in ("p_worse", "p_better", "p_changed"):
        found = table[name].to_numpy(np.float64)
        table[name] = np.where(still & ~np.isnan(found), 1.0, holm(np.where(still, np.nan, found)))
    within = (table["low"] >= -table["margin"]) & (table["high"] <= table["margin"])
    inside = within & (table["unmeasured"] == 0) & table["told"].astype(bool)
    choices = [table["p_worse"] <= SHARE, table["p_better"] <= SHARE, inside]
    words = [str(Verdict.WORSE), str(Verdict.BETTER), str(Verdict.SAME)]
    table["verdict"] = np.select([np.asarray(each, bool) for each in choices], words, str(Verdict.INCONCLUSIVE))
    return table[list(CHANGES)]


def _verdicts(
    pairs: Pairs, flags: Flags, cells: pd.DataFrame, moved: pd.DataFrame, apart: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """One verdict for each cell, with why and its counts."""
    total = len(pairs.cells)
    sums = {
        f"{side}_{name}": np.bincount(pairs.cell, weights=each, minlength=total).astype(np.int64)
        for name, both in flags.items()
        for side, each in zip(("base", "candidate"), both, strict=True)
    }
    starts = np.logical_or.reduce([np.zeros(len(pairs), bool), *apart.values()])
    table = pd.DataFrame({"cell": list(pairs.cells), "pairs": np.bincount(pairs.cell, minlength=total), **sums})
    table["otherwise"] = np.bincount(pairs.cell, weights=starts, minlength=total).astype(np.int64)
    before, after = flags["failed"]
    newly = np.bincount(pairs.cell, weights=after & ~before, minlength=total)
    numbers: dict[str, list[tuple[str, str]]] = {}
    told = np.where(
        (cells["verdict"] == Verdict.INCONCLUSIVE) & (cells["p_changed"] <= SHARE), CHANGED, cells["verdict"]
    )
    for unit, response, verdict in zip(cells["unit"], cells["response"], told, strict=True):
        numbers.setdefault(unit, []).append((str(verdict), response))
    outcomes = set(moved["cell"])
    said = [
        _cell_verdict(numbers.get(cell, []), bool(newly[at]), cell in outcomes) for at, cell in enumerate(pairs.cells)
    ]
    return table.assign(verdict=[str(verdict) for verdict, _ in said], why=[why for _, why in said])


def _cell_verdict(numbers: Sequence[tuple[str, str]], failed: bool, moved: bool) -> tuple[Verdict, str]:
    """A cell's verdict and, in short, why: the responses that say so."""
    if failed:
        return Verdict.WORSE, "failed"
    by: dict[str, list[str]] = {}
    for verdict, response in numbers:
        by.setdefault(verdict, []).append(response)
    for word in (Verdict.WORSE, Verdict.BETTER):
        if str(word) in by:
            return word, " ".join(by[str(word)])
    if CHANGED in by:
        return Verdict.INCONCLUSIVE, f"{CHANGED} {' '.join(by[CHANGED])}"
    if moved or not by:
        return Verdict.INCONCLUSIVE, "moved" if moved else "unmeasured"
    left = by.get(str(Verdict.INCONCLUSIVE), [])
    return (Verdict.INCONCLUSIVE, " ".join(left)) if left else (Verdict.SAME, "")
