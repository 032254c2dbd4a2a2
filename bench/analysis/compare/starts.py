"""Whether runs with one seed start alike: what stands in the tables before anything is learned.

The same draw and the same arithmetic give the same first loss, gradients and update, but for rounding. Where they are
others, weights are drawn otherwise, or something is computed otherwise: which levels have such pairs says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.compare.model import FirstSteps
from bench.analysis.compare.pairs import Pairs
from bench.analysis.compare.responses import MOST_DECADES
from bench.analysis.tables import Reals
from bench.schema import RunStatus

# What rounding may come to, in units of the last place that layers compute in: ten thousand terms that each round
# by chance, where nothing amplifies it. A unit of half precision counts half, for its sums are kept in 32 bits.
UNITS = 100.0
UNIT = {"float32": 2.0**-23, "mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}
MOST = 0.5  # of a cell's pairs: no rounding moves more of them beyond what it may come to


@dataclass(frozen=True)
class Start:
    """A number of a run's first recorded step: its column, what it is, and by how many decades other draws differ.

    One that is not of the `first` step shows what is computed otherwise, and says nothing of the draws; by so much
    rounding may have grown where no gradients explode: twenty times what oneDNN on and off came to in ten updates.
    """

    name: str
    column: str
    label: str
    tolerance: float
    log: bool = False
    first: bool = True


VALIDATION = Start("validation", "final_validation_loss", "validation loss", 1e-3, log=True, first=False)
STARTS = (
    Start("loss", "loss_start", "first loss", 1e-3, log=True),
    Start("signal", "signal_ratio_start", "gradient ratio", 0.01),
    Start("time_signal", "time_ratio_start", "gradient ratio along time", 0.01),
    Start("update", "update_ratio_start", "first update", 0.01, log=True),
    Start("early", "loss_early", "loss after 10 steps", 1e-3, log=True, first=False),
    VALIDATION,
)
CURVE = (
    "loss_curve"  # a column of runs: the same where all recorded training losses are equal to the bit; 0 without any
)
GROWING = ("signal_ratio_start", "time_ratio_start")  # decades by which gradients, and so rounding, grow on their way
COLUMNS = ("unit", "pairs", "otherwise", *(each.name for each in STARTS))


def start_differences(pairs: Pairs) -> dict[str, Reals]:
    """By how many decades each number that both sides recorded differs; infinite where one of a pair lacks it.

    NaN where a run of the pair failed: it has no start, and is counted elsewhere. Validation counts where training is
    equal to the bit alone: else what training makes of rounding is in it.
    """
    sides = (pairs.base, pairs.candidate)
    both = {each.name: _decades(each, pairs) for each in STARTS if all(each.column in side for side in sides)}
    if VALIDATION.name in both:
        ours, theirs = (side[CURVE] if CURVE in side else pd.Series(0, index=side.index) for side in sides)
        both[VALIDATION.name] = np.where((ours == theirs) & (ours != 0), both[VALIDATION.name], 0.0)
    failed = np.logical_or(*(side["status"].to_numpy() == RunStatus.FAILED for side in sides))
    return {name: np.where(failed, np.nan, each) for name, each in both.items()}


def share_of_other_draws(differences: Mapping[str, Reals]) -> float:
    """The share of pairs that differ in a number of the first step by as much as other draws do."""
    first = [(differences[each.name], each.tolerance) for each in STARTS if each.first and each.name in differences]
    other = [found > tolerance for found, tolerance in first]
    known = np.logical_and.reduce([~np.isnan(found) for found, _ in first]) if first else np.zeros(0, bool)
    return float(np.logical_or.reduce(other)[known].mean()) if known.any() else 0.0


def rounding(pairs: Pairs) -> Reals:
    """By how many decades rounding may move numbers of each pair's first step."""
    unit = np.array([UNIT.get(str(word), UNIT["float32"]) for word in pairs.words("precision")])
    return np.asarray(np.log10(1.0 + UNITS * unit) * _growth(pairs))


def _growth(pairs: Pairs) -> Reals:
    """By what rounding grows on its way through each pair's networks: as gradients do, and no less than by 1.

    Source: Schoenholz et al. 2017 (arXiv:1611.01232), sections 3 and 4.
    """
    sides = (side[name].to_numpy(np.float64) for side in (pairs.base, pairs.candidate) for name in GROWING
             if name in side)  # fmt: skip
    grown = np.fmax.reduce([np.zeros(len(pairs)), *sides])
    return np.asarray(10.0 ** np.clip(grown, 0.0, MOST_DECADES))


def otherwise(differences: Mapping[str, Reals], pairs: Pairs) -> dict[str, np.ndarray]:
    """Of each number, which pairs' are further apart than rounding makes them.

    In a cell with few such pairs those count alone whose first step is as far apart as of other draws: rounding may
    now and then be more. After ten updates it has grown on its way there and back; but where the whole first step is
    equal to the bit nothing rounds otherwise, and then it is allowed no more than at the first.
    """
    growth, allowed, found = _growth(pairs), rounding(pairs), {}
    equal = np.logical_and.reduce([differences[each.name] == 0.0 for each in STARTS
                                   if each.first and each.name in differences])  # fmt: skip
    size = np.bincount(pairs.cell, minlength=len(pairs.cells))
    for each in STARTS:
        if each.name not in differences:
            continue
        apart = differences[each.name]
        grown = growth * np.where(equal, allowed, np.maximum(each.tolerance * growth, allowed))
        limit = allowed if each.first else each.tolerance * growth if each is VALIDATION else grown
        beyond = apart > limit
        share = np.bincount(pairs.cell, beyond, len(pairs.cells)) / size
        found[each.name] = beyond & ((share[pairs.cell] > MOST) | (each.first & (apart > each.tolerance)))
    return found


def first_steps(differences: Mapping[str, Reals], apart: Mapping[str, np.ndarray], pairs: Pairs) -> FirstSteps:
    """How many pairs start equal to the bit, by rounding and otherwise, and the most by which a number differs."""
    moved = np.logical_or.reduce([np.zeros(len(pairs), bool), *(each > 0.0 for each in differences.values())])
    other = np.logical_or.reduce([np.zeros(len(pairs), bool), *apart.values()])
    known = ~np.logical_or.reduce([np.zeros(len(pairs), bool), *(np.isnan(each) for each in differences.values())])
    largest = {name: float(np.nan_to_num(each, posinf=np.inf).max(initial=0.0)) for name, each in differences.items()}
    return FirstSteps(int(known.sum()), int((known & ~moved).sum()), int((moved & ~other).sum()), int(other.sum()),
                      largest, float(np.median(rounding(pairs))))  # fmt: skip


def start_table(pairs: Pairs, apart: Mapping[str, np.ndarray], units: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """`COLUMNS`: of all pairs (the unit "") and of each level, how many start otherwise, and by what."""
    either = np.logical_or.reduce([np.zeros(len(pairs), bool), *apart.values()])
    rows = []
    for unit, mask in ({"": np.ones(len(pairs), bool)} | dict(units)).items():
        by = [int((apart[each.name] & mask).sum()) if each.name in apart else 0 for each in STARTS]
        rows.append((unit, int(mask.sum()), int((either & mask).sum()), *by))
    return pd.DataFrame(rows, columns=COLUMNS)


def _decades(start: Start, pairs: Pairs) -> Reals:
    base, candidate = (side[start.column].to_numpy(np.float64) for side in (pairs.base, pairs.candidate))
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, theirs = (np.log10(each) if start.log else each for each in (base, candidate))
        ours, theirs = (np.clip(each, -MOST_DECADES, MOST_DECADES) for each in (ours, theirs))
        apart = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.abs(ours - theirs))
    return np.asarray(np.where(np.isnan(ours) != np.isnan(theirs), np.inf, apart))
