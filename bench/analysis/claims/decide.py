"""`judge_claims`: tables and claims → verdicts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.claims import intervals
from bench.analysis.claims.intervals import Estimate, Region
from bench.analysis.claims.judged import Counts, Judged, JudgedPart, Verdict
from bench.analysis.claims.units import AGAINST, OF, Units, units_of
from bench.analysis.claims.words import part_in_words, rule_in_words, sides_in_words, unit_of
from bench.analysis.quantities import Measurements
from bench.analysis.tables import Tables
from bench.rules import LearnedRule
from bench.suite import parse_suite
from bench.suite.claims import Claim, Part, Statement
from bench.text import number


def judge_claims(tables: Tables, claims: Sequence[Claim], learned: LearnedRule | None = None) -> list[Judged]:
    """Every claim judged by the tables of a results folder, in their order.

    `learned` is when a run counts as learned by the suite's `[verdicts]`; the default rule, if None.
    """
    measured = Measurements(tables, learned)
    return [_judge(measured, claim) for claim in claims]


def judge_stored(tables: Tables, text: str) -> list[Judged]:
    """The claims of the suite with this text, judged; none where it has none, or is no suite at all.

    A text without claims is not checked further: what another version wrote need not be right for this one.

    Raises:
        SuiteError: the suite has claims, but cannot be read.
    """
    try:
        claiming = bool(tomllib.loads(text).get("claims"))
    except tomllib.TOMLDecodeError:
        claiming = False
    if not claiming:
        return []
    suite = parse_suite(text, Path("manifest.json"))
    return judge_claims(tables, suite.claims, suite.verdicts.learned)


def _judge(measured: Measurements, claim: Claim) -> Judged:
    parts, shared = [], []
    for part in claim.parts:
        units = units_of(measured, part)
        parts.append(_judged_part(part, units))
        if len(claim.parts) > 1:
            stricter = 1.0 - (1.0 - part.level) / len(claim.parts)
            shared.append(_judged_part(replace(part, level=stricter), units))
    verdict, why = _together(claim.needs, parts, shared)
    stated = {each.name: getattr(claim, each.name) for each in fields(Statement)}
    return Judged(**stated, rule=rule_in_words(claim), verdict=verdict, why=why, parts=tuple(parts))


def _together(needs: str, parts: Sequence[JudgedPart], shared: Sequence[JudgedPart]) -> tuple[Verdict, str]:
    """What parts say together: one of several decides alone only at the level they share (Bonferroni)."""
    if len(parts) == 1:
        return parts[0].verdict, parts[0].why
    alone, together = (Verdict.REFUTED, Verdict.SUPPORTED) if needs == "all" else (Verdict.SUPPORTED, Verdict.REFUTED)
    deciding = [part for part in shared if part.verdict is alone]
    if deciding:
        return alone, f"{deciding[0].name}: {deciding[0].why}"
    left = [part for part in parts if part.verdict is not together]
    if not left:
        return together, "every part holds" if together is Verdict.SUPPORTED else "no part holds"
    close = " At the level that the parts share this decides nothing." if left[0].verdict is alone else ""
    return Verdict.INCONCLUSIVE, f"{left[0].name}: {left[0].why}{close}"


def _judged_part(part: Part, units: Units) -> JudgedPart:
    region = Region(
        *(
            edge if each is None else (float(np.log(each)) if part.compare == "ratio" else each)
            for each, edge in ((part.least, -np.inf), (part.most, np.inf))
        )
    )
    estimate = _estimate(part, units, region)
    verdict, why = _verdict(estimate, region)
    if part.compare == "ratio":
        with np.errstate(over="ignore"):
            ends = [float(np.exp(each)) for each in (estimate.effect, estimate.low, estimate.high)]
        estimate = replace(estimate, effect=ends[0], low=ends[1], high=ends[2])
    counts = _counts(part, units)
    return JudgedPart(
        name=part.name,
        rule=part_in_words(part),
        verdict=verdict,
        why=_why(why, part, estimate, counts),
        effect=estimate.effect,
        low=estimate.low,
        high=estimate.high,
        least=part.least,
        most=part.most,
        level=part.level,
        p_value=estimate.p_value,
        scale=_scale(part, units),
        unit=unit_of(part),
        side_unit=unit_of(replace(part, compare="difference")),
        statistic=part.statistic,
        sides=sides_in_words(part),
        counts=counts,
        best=units.best,
        units=units.units,
        runs=units.runs,
    )


def _estimate(part: Part, units: Units, region: Region) -> Estimate:
    if _is_share(part, units.units, units.runs):
        sides = {
            side: (group["low"].to_numpy(np.float64), group["high"].to_numpy(np.float64))
            for side, group in units.units.groupby("side")
        }
        if part.against is None:
            return intervals.share_estimate(*sides[OF], part.level, region)
        empty = (np.empty(0), np.empty(0))
        return intervals.share_difference(sides.get(OF, empty), sides.get(AGAINST, empty), part.level, region)
    value, low, high = (units.judged[name].to_numpy(np.float64) for name in ("value", "low", "high"))
    if part.statistic == "each":
        return intervals.each_estimate(value, low, high, region)
    estimate = intervals.median_estimate if part.statistic == "median" else intervals.mean_estimate
    return estimate(value, low, high, part.level, region)


def _is_share(part: Part, units: pd.DataFrame, runs: pd.DataFrame) -> bool:
    """Whether each replicate is one run that learned or not, so that runs are counted."""
    plain = part.number.at_least is not None and not part.reduce and part.statistic == "mean"
    alone = not runs.duplicated(["side", "replicate"]).any()
    return plain and alone and len(units) > 0 and part.compare == "difference"


def _scale(part: Part, units: Units) -> str:
    share = _is_share(part, units.units, units.runs)
    if part.against is None:
        return "share" if share else "value"
    return "difference of shares" if share else part.compare


def _verdict(estimate: Estimate, region: Region) -> tuple[Verdict, str]:
    """The verdict, and why as the start of a sentence."""
    if estimate.short:
        return Verdict.INCONCLUSIVE, f"too few: {estimate.short}"
    if np.isnan(estimate.low) or np.isnan(estimate.high):
        return Verdict.INCONCLUSIVE, "nothing was measured"
    if estimate.refuted:
        return Verdict.REFUTED, "some replicate lies outside the region"
    if estimate.low >= region.least and estimate.high <= region.most:
        if not estimate.passes:
            return Verdict.INCONCLUSIVE, f"the interval lies in the region, but Fisher's p is {estimate.p_value:.2g}"
        return Verdict.SUPPORTED, "the interval lies in the region"
    if estimate.low > region.most or estimate.high < region.least:
        return Verdict.REFUTED, "the interval lies outside the region"
    unbounded = [name for name, end in (("lower", estimate.low), ("upper", estimate.high)) if np.isinf(end)]
    if unbounded:
        without = f"lost or censored runs leave the interval without its {' and '.join(unbounded)} end"
        return Verdict.INCONCLUSIVE, without
    return Verdict.INCONCLUSIVE, "the interval crosses the region's edge"


def _why(why: str, part: Part, estimate: Estimate, counts: Counts) -> str:
    shown = f"{number(estimate.effect)} [{number(estimate.low)}, {number(estimate.high)}]"
    edges = [f"at least {number(part.least)}" if part.least is not None else ""]
    edges += [f"at most {number(part.most)}" if part.most is not None else ""]
    claimed = " and ".join(edge for edge in edges if edge)
    missing = f"; {counts.missing} of {counts.planned} planned runs are missing" if counts.missing else ""
    return f"{why}: {shown}, claimed {claimed}{missing}."


def _counts(part: Part, units: Units) -> Counts:
    runs = units.runs[units.runs["kept"]]
    return Counts(
        planned=part.planned,
        missing=max(0, part.planned - units.found),
        judged=len(units.runs),
        lost=units.lost,
        excluded=units.excluded,
        censored=int(runs["censored"].sum()),
        unmeasured=int(runs["unmeasured"].sum()),
        unpaired=units.unpaired,
        replicates=len(units.judged),
    )
