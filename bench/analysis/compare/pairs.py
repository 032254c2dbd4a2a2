"""Which run of one results folder stands beside which of another: by cell and replicate.

A cell's key hashes what its levels mean, and the suite's seed. So runs are paired by key first, and those that are left
by the words of their levels: the same words with another key had another seed, or mean something else than they did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.tables import Indices
from bench.errors import BenchError
from bench.factors import FACTORS, choose
from bench.schema import RunStatus
from bench.text import of, plural


class NotComparable(BenchError):  # noqa: N818 (named for what is so, as the exit code is)
    """Two results that cannot be set beside each other; the message says why."""


@dataclass(frozen=True)
class Pairs:
    """Runs of two results, row by row beside each other.

    Attributes:
        base, candidate: the judged runs, in the same order.
        cell: each pair's cell, a position in `cells`.
        replicate: each pair's replicate.
        cells: the base's keys of the cells.
        renamed: the candidate's other keys of cells that were paired by words: base's key → candidate's.
        settings: of one's own training, what is not the same in cells that are compared: name, base's, candidate's.
        base_only, candidate_only: keys of cells that the other side does not have.
        unpaired: runs of common cells whose replicate the other side does not have: base's, then candidate's.
        levels: the factors that vary among the pairs, each with the levels that occur, as words.
    """

    base: pd.DataFrame
    candidate: pd.DataFrame
    cell: Indices
    replicate: Indices
    cells: tuple[str, ...]
    renamed: Mapping[str, str]
    base_only: tuple[str, ...]
    candidate_only: tuple[str, ...]
    unpaired: tuple[int, int]
    levels: Mapping[str, Sequence[str]]
    settings: tuple[tuple[str, str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.cell)

    def words(self, factor: str) -> np.ndarray:
        """Each pair's level of a factor, as the base has it in words."""
        return np.asarray(_words(self.base, factor).to_numpy())


def pair(
    base: pd.DataFrame,
    candidate: pd.DataFrame,
    names: tuple[str, str] = ("BASE", "CANDIDATE"),
    *,
    own: bool = False,
) -> Pairs:
    """Pair the judged runs of two results.

    Of one's `own` training a cell's key is a name of the model and its settings, which may be what changed: the one
    cell on either side that has no partner is compared with the other's.

    Raises:
        NotComparable: no run of one has a partner in the other.
    """
    theirs = {key: at for at, key in enumerate(zip(candidate["cell_key"], candidate["replicate"], strict=True))}
    keys = list(zip(base["cell_key"], base["replicate"], strict=True))
    partner = np.array([theirs.get(key, -1) for key in keys], np.int64)
    if (partner < 0).any():
        left = np.setdiff1d(np.arange(len(candidate)), partner)
        meaning, other = _meaning(base), _meaning(candidate)
        by_words = {(other[at], candidate["replicate"].iloc[at]): at for at in left}
        for at in np.flatnonzero(partner < 0):
            partner[at] = by_words.get((meaning[at], base["replicate"].iloc[at]), -1)
    joined = own and _join(base, candidate, partner)
    paired = np.flatnonzero(partner >= 0)
    if not len(paired):
        raise NotComparable(
            f"{names[0]} and {names[1]} have no run in common: none of {plural(base['cell_key'].nunique(), 'cell')} is "
            f"among the other's {plural(candidate['cell_key'].nunique(), 'cell')}. "
            + ("Record each setting into a folder of its own." if own else "Results of one suite compare.")
        )
    ours, other = base.iloc[paired].reset_index(drop=True), candidate.iloc[partner[paired]].reset_index(drop=True)
    ours, other = _with_chance(ours, other), _with_chance(other, ours)
    code, cells = pd.factorize(ours["cell_key"])
    renamed = {one: two for one, two in zip(ours["cell_key"], other["cell_key"], strict=True) if one != two}
    known = set(cells), set(other["cell_key"])
    only = [tuple(dict.fromkeys(key for key in side["cell_key"] if key not in own))
            for side, own in zip((base, candidate), known, strict=True)]  # fmt: skip
    extra = [int(side["cell_key"].isin(own).sum()) - len(paired)
             for side, own in zip((base, candidate), known, strict=True)]  # fmt: skip
    varied = [name for name in FACTORS if name in ours and ours[name].nunique(dropna=False) > 1]
    levels = {name: tuple(dict.fromkeys(_words(ours, name))) for name in varied}
    return Pairs(ours, other, code.astype(np.int64), ours["replicate"].to_numpy(np.int64), tuple(cells),
                 {} if own else renamed, only[0], only[1], (extra[0], extra[1]), levels,
                 _settings(ours, other) if joined or (own and renamed) else ())  # fmt: skip


def _with_chance(runs: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """Runs that failed with their partner's chance: where all of a data set fail nothing else says what it is."""
    if "chance_accuracy" not in runs or "chance_accuracy" not in partners:
        return runs
    failed = runs["status"] == RunStatus.FAILED
    return runs.assign(chance_accuracy=runs["chance_accuracy"].mask(failed, partners["chance_accuracy"]))


def _join(base: pd.DataFrame, candidate: pd.DataFrame, partner: Indices) -> bool:
    """Fill `partner` in for the one cell of either side that has none; whether there is one on both."""
    ours = base["cell_key"].to_numpy()
    theirs = candidate["cell_key"].to_numpy()
    lone = [set(ours) - set(ours[partner >= 0]), set(theirs) - set(theirs[partner[partner >= 0]])]
    if [len(each) for each in lone] != [1, 1]:
        return False
    (one,), (two,) = lone
    places = {candidate["replicate"].iloc[at]: at for at in np.flatnonzero(theirs == two)}
    for at in np.flatnonzero(ours == one):
        partner[at] = places.get(base["replicate"].iloc[at], -1)
    return True


def _settings(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    """The model's name and the factors whose words are not the same in some pair, with those of the first such."""
    words = {"model": [side["cell_key"].str.rpartition("-")[0] for side in (ours, theirs)]}
    words |= {name: [_words(side, name) for side in (ours, theirs)] for name in FACTORS}
    found = []
    for name, (one, two) in words.items():
        other = np.flatnonzero(one.to_numpy() != two.to_numpy())
        if len(other):
            found.append((name, str(one.iloc[other[0]]), str(two.iloc[other[0]])))
    return tuple(found)


def refuse_missing(name: str, other: str, found: int, planned: int, command: str) -> None:
    """Refuse results that lack planned runs.

    Raises:
        NotComparable: some are missing.
    """
    if found < planned:
        raise NotComparable(
            f"{name} lacks {of(planned - found, planned, 'planned run')}, and {other} has others: "
            f"`{command}` trains what is missing."
        )


def _meaning(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """Each run's levels in words; a factor that is newer than the results is at its default."""
    return list(zip(*(_words(runs, name) for name in FACTORS), strict=True))


def _words(runs: pd.DataFrame, factor: str) -> pd.Series:
    default = _spelt(choose(FACTORS[factor], FACTORS[factor].default).column)
    if factor not in runs:
        return pd.Series(default, index=runs.index)
    column = runs[factor]
    spelt = {level: _spelt(level) for level in column.dropna().unique()}
    return column.astype(object).map(spelt).fillna(default)


def _spelt(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)
