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

    def __len__(self) -> int:
        return len(self.cell)

    def words(self, factor: str) -> np.ndarray:
        """Each pair's level of a factor, as the base has it in words."""
        return np.asarray(_words(self.base, factor).to_numpy())


def pair(base: pd.DataFrame, candidate: pd.DataFrame, names: tuple[str, str] = ("BASE", "CANDIDATE")) -> Pairs:
    """Pair the judged runs of two results.

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
    paired = np.flatnonzero(partner >= 0)
    if not len(paired):
        raise NotComparable(
            f"{names[0]} and {names[1]} have no run in common: none of {plural(base['cell_key'].nunique(), 'cell')} is "
            f"among the other's {plural(candidate['cell_key'].nunique(), 'cell')}. Results of one suite compare."
        )
    ours, other = base.iloc[paired].reset_index(drop=True), candidate.iloc[partner[paired]].reset_index(drop=True)
    code, cells = pd.factorize(ours["cell_key"])
    renamed = {one: two for one, two in zip(ours["cell_key"], other["cell_key"], strict=True) if one != two}
    known = set(cells), set(other["cell_key"])
    only = [tuple(dict.fromkeys(key for key in side["cell_key"] if key not in own))
            for side, own in zip((base, candidate), known, strict=True)]  # fmt: skip
    extra = [int(side["cell_key"].isin(own).sum()) - len(paired)
             for side, own in zip((base, candidate), known, strict=True)]  # fmt: skip
    varied = [name for name in FACTORS if name in ours and ours[name].nunique(dropna=False) > 1]
    levels = {name: tuple(dict.fromkeys(_words(ours, name))) for name in varied}
    return Pairs(ours, other, code.astype(np.int64), ours["replicate"].to_numpy(np.int64), tuple(cells), renamed,
                 only[0], only[1], (extra[0], extra[1]), levels)  # fmt: skip


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
