"""What became of a claim: its verdict with everything that a page or a table says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from bench.suite.claims import Statement


class Verdict(StrEnum):
    """What a claim's rule says."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Counts:
    """How many runs a verdict rests on, and what became of the others.

    `planned` runs of the suite, of which `missing` are not in the results; `judged` ones at the best levels, of which
    `lost` diverged or failed (`excluded` of them left out), `censored` did not get to a threshold, `unmeasured`
    have no number; `unpaired` means had no partner. `replicates` is the number of units.
    """

    planned: int
    missing: int
    judged: int
    lost: int
    excluded: int
    censored: int
    unmeasured: int
    unpaired: int
    replicates: int


@dataclass(frozen=True)
class JudgedPart:
    """One part of a rule, judged.

    Attributes:
        name: the part's; "" where the rule has one part.
        rule: the rule in words.
        verdict: what the interval says of the region.
        why: the same in a sentence.
        effect: the estimate, in `unit`; a ratio where `scale` is ratio.
        low: lower end of the interval at `level`.
        high: upper end.
        least: lower edge of the claimed region, or None.
        most: upper edge, or None.
        level: the interval's confidence.
        p_value: one-sided, against the region's edge (for two shares: against no difference); NaN without a test.
        scale: value, difference, ratio, share or difference of shares.
        unit: of the effect.
        side_unit: of the numbers of one side.
        statistic: over replicates: mean, median or each; the interval of each is the range.
        sides: what the sides are called in words, the one it is about first.
        counts: of runs.
        best: per network the best level: side, network, factor, level, tried, on_edge.
        units: side, replicate, value, low, high: what a figure shows; a ratio's differences are of logarithms.
        runs: the runs behind them, by run_id.
    """

    name: str
    rule: str
    verdict: Verdict
    why: str
    effect: float
    low: float
    high: float
    least: float | None
    most: float | None
    level: float
    p_value: float
    scale: str
    unit: str
    side_unit: str
    statistic: str
    sides: tuple[str, ...]
    counts: Counts
    best: pd.DataFrame
    units: pd.DataFrame
    runs: pd.DataFrame

    @property
    def edges(self) -> tuple[str, ...]:
        """Per tuned factor, a sentence on networks whose best level is the smallest or largest tried, if any."""
        said = []
        sides = dict(zip(("of", "against"), self.sides, strict=False)) if len(self.sides) > 1 else {}
        for factor, rows in self.best.groupby("factor", sort=False):
            on_edge = rows[rows["on_edge"].astype(bool)]
            named = "; ".join(
                f"{name} at {level}" if name else str(level)
                for name, level in (
                    (network or sides.get(side, ""), level)
                    for side, network, level in zip(on_edge["side"], on_edge["network"], on_edge["level"], strict=True)
                )
            )
            if len(on_edge):
                said.append(
                    f"The best {factor} of {len(on_edge)} of {len(rows)} networks is on the edge of the levels tried, "
                    f"so that a better one may lie beyond: {named}."
                )
        return tuple(said)


@dataclass(frozen=True)
class Judged(Statement):
    """A claim, judged; `rule` and `why` are sentences."""

    rule: str
    verdict: Verdict
    why: str
    parts: tuple[JudgedPart, ...]
