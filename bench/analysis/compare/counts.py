"""What became of runs on either side, counted, and whether it changed: McNemar's exact test on discordant pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import binom
from scipy.stats import t as student

from bench.analysis.compare.estimates import fixed_error
from bench.analysis.compare.model import COUNTS, Verdict
from bench.analysis.compare.pairs import Pairs
from bench.analysis.effects import holm
from bench.analysis.recipes import with_trained
from bench.analysis.verdicts import Outcome

WANTED = {"failed": False, "diverged": False, "learned": True, "trained": True}  # whether more are better


def flags(pairs: Pairs) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each thing that is counted, which of the base's runs it holds for, and which of the candidate's.

    Both sides' runs trained by the same bar: that of the base's best cell (docs/rules.md, Recipes).
    """
    sides = (pairs.base, pairs.candidate)
    found = {
        str(word): tuple((side["outcome"] == word).to_numpy(bool) for side in sides)
        for word in (Outcome.FAILED, Outcome.DIVERGED, Outcome.LEARNED)
    }
    ours, bars, _ = with_trained(pairs.base)
    theirs, *_ = with_trained(pairs.candidate, bars)
    trained = tuple(side["trained"].to_numpy(bool) for side in (ours, theirs))
    return {name: (each[0], each[1]) for name, each in (found | {"trained": trained}).items()}


def count(
    pairs: Pairs, found: Mapping[str, tuple[np.ndarray, np.ndarray]], share: float, *, same_draws: bool
) -> pd.DataFrame:
    """`COUNTS`: for each thing that `flags` found, how many on either side, the pairs that differ, and the verdict.

    p is one-sided and Holm's over the counts: how often as many of the discordant pairs would go that way by chance
    (McNemar 1947, exact). Of other draws those of one replicate are shared, which that test does not know; so p is
    then no less than that of the mean change. A pair that failed where it had not is always worse.
    """
    rows, tests = [], []
    for name, (base, candidate) in found.items():
        gone, come = int((base & ~candidate).sum()), int((candidate & ~base).sum())
        change = candidate.astype(np.float64) - base.astype(np.float64)
        fewer, more = exact(gone, come), exact(come, gone)
        if not same_draws:
            fewer, more = max(fewer, _shared(change, pairs)), max(more, _shared(-change, pairs))
        tests.append((fewer, more) if WANTED[name] else (more, fewer))
        rows.append((name, int(base.sum()), int(candidate.sum()), gone, come, len(pairs)))
    p_values = np.array(tests, np.float64)
    worse, better = holm(p_values[:, 0]), holm(p_values[:, 1])
    failed = [name == "failed" and row_come > 0 for name, _, _, _, row_come, _ in rows]
    verdicts = [
        Verdict.WORSE if fail or low <= share else Verdict.BETTER if high <= share
        else Verdict.SAME if not row[3] + row[4] else Verdict.INCONCLUSIVE
        for fail, low, high, row in zip(failed, worse, better, rows, strict=True)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=COUNTS[:6])
    return table.assign(p_worse=worse, p_better=better, verdict=list(map(str, verdicts)))


def exact(gone: int, come: int) -> float:
    """One-sided p of so many more pairs that are gone than have come, where either is as likely."""
    return float(binom.sf(gone - 1, gone + come, 0.5)) if gone + come else 1.0


def _shared(change: np.ndarray, pairs: Pairs) -> float:
    """One-sided p of a mean change below 0, where a replicate's runs share a draw."""
    error, freedom, _ = fixed_error(change, pairs.cell, pairs.replicate, same_draws=False)
    return float(student.cdf(change.mean() / error, freedom)) if error > 0.0 else 0.0


def moved(pairs: Pairs) -> pd.DataFrame:
    """The pairs whose outcome differs: cell, replicate, base, candidate; what failed first, then what diverged."""
    ours, theirs = (side["outcome"].astype(str).to_numpy() for side in (pairs.base, pairs.candidate))
    frame = pd.DataFrame(
        {
            "cell": np.array(pairs.cells, object)[pairs.cell],
            "replicate": pairs.replicate,
            "base": ours,
            "candidate": theirs,
        }
    )[ours != theirs]
    rank = {Outcome.FAILED: 0, Outcome.DIVERGED: 1, Outcome.NOT_LEARNED: 2}
    order = frame["candidate"].map(lambda word: rank.get(word, 3)).sort_values(kind="stable").index
    return frame.loc[order].reset_index(drop=True)
