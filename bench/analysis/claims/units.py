"""From runs to one number per replicate: reduced, paired between two sides, averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.claims.numbers import BOUNDS, run_numbers
from bench.analysis.claims.reductions import averages, matching, reduced
from bench.analysis.claims.tuned import at_best, varied
from bench.analysis.tables import Tables
from bench.schema import FACTOR_COLUMNS
from bench.suite.claims import Part

OF, AGAINST, PAIRED = "of", "against", "of less against"


@dataclass(frozen=True)
class Units:
    """What a part is judged by.

    Attributes:
        runs: its runs at their best levels, by run_id: side, replicate, the varied factors, value, low, high and what
            became of them (lost, censored, unmeasured).
        units: side, replicate, value, low, high: a row per replicate of each side, and of their differences (of logs
            where the part compares a ratio).
        best: the level that was best, by network.
        found: how many of the planned runs the tables hold.
        lost: of the judged runs, those that diverged or failed.
        excluded: those of them that the part leaves out.
        unpaired: runs' means without a partner on the other side.
        compared: whether there are two sides.
    """

    runs: pd.DataFrame
    units: pd.DataFrame
    best: pd.DataFrame
    found: int
    lost: int
    excluded: int
    unpaired: int
    compared: bool

    @property
    def judged(self) -> pd.DataFrame:
        """The rows on which the verdict rests: the differences, or the one side's."""
        return self.units[self.units["side"] == (PAIRED if self.compared else OF)]


def units_of(tables: Tables, part: Part) -> Units:
    """Number, best levels, reductions and pairs of a part."""
    frame = _sided(tables, part)
    found = len(frame)
    best = pd.DataFrame(columns=["side", "network", "factor", "level", "tried", "on_edge"])
    if part.best and len(frame):
        frame, best = at_best(tables, part, frame)
    kept = frame[frame["kept"]]
    lost, excluded = int(frame["lost"].sum()), len(frame) - len(kept)
    context = [name for name in varied(kept) if name not in part.best]
    rows, left = _reduce(kept, part, context)
    units, unpaired = _paired(rows, part, left)
    told = frame[["side", "replicate", *varied(frame), *BOUNDS, "lost", "censored", "unmeasured", "kept"]]
    return Units(told, units, best, found, lost, excluded, unpaired, part.against is not None)


def _sided(tables: Tables, part: Part) -> pd.DataFrame:
    """The part's runs with their side and numbers, by run_id."""
    runs = tables["runs"].set_index("run_id")
    numbers = run_numbers(tables, part)
    frame = runs[["replicate", *FACTOR_COLUMNS]].join(numbers)
    sides = [(OF, part.of)] + ([(AGAINST, part.against)] if part.against is not None else [])
    return pd.concat([frame[matching(frame, cells)].assign(side=side) for side, cells in sides])


def _reduce(frame: pd.DataFrame, part: Part, context: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The frame after all reductions, and the factors that are left."""
    rows, left = frame, context
    for place, reduction in enumerate(part.reduce):
        if rows.empty:
            break
        left = [name for name in left if name not in reduction.factors]
        # A list of points may name a factor that has one level here, and so is not in the context.
        later = [name for each in part.reduce[place + 1 :] for name in each.factors if name not in reduction.factors]
        rows = reduced(rows, reduction, list(dict.fromkeys(["side", "replicate", *left, *later])))
    return rows, left


def _paired(rows: pd.DataFrame, part: Part, context: list[str]) -> tuple[pd.DataFrame, int]:
    """A row per replicate and side, and per pair of sides; and how many means had no partner."""
    columns = ["side", "replicate", *BOUNDS]
    if rows.empty:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(BOUNDS, np.float64)), 0
    units = averages(rows, ["side", "replicate"])
    if part.against is None:
        return units[columns], 0
    own = {name for name in {*part.of, *part.against} if part.of.get(name) != part.against.get(name)}
    keys = ["replicate", *(name for name in context if name not in own)]
    means = averages(rows, ["side", *keys])
    if part.compare == "ratio":
        means = means.assign(**{name: _positive_ln(means[name]) for name in BOUNDS})
        means = means.assign(low=means["low"].fillna(-np.inf), high=means["high"].fillna(np.inf))
    of, against = (means[means["side"] == side].drop(columns="side") for side in (OF, AGAINST))
    both = of.merge(against, on=keys, suffixes=("", "_against"))
    differences = both[keys].assign(
        side=PAIRED,
        value=both["value"] - both["value_against"],
        low=(both["low"] - both["high_against"]).fillna(-np.inf),
        high=(both["high"] - both["low_against"]).fillna(np.inf),
    )
    unpaired = len(of) + len(against) - 2 * len(both)
    if differences.empty:
        return units[columns], unpaired
    return pd.concat([units, averages(differences, ["side", "replicate"])])[columns], unpaired


def _positive_ln(values: pd.Series) -> pd.Series:
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)
