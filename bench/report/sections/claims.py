"""The suite's claims, a line each: verdict, statement, numbers per setting; all else of a claim folds behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.claims import Judged, JudgedPart, Verdict, judge_stored, words
from bench.analysis.claims.units import AGAINST, OF, PAIRED
from bench.errors import SuiteError
from bench.report.blocks import Block, Figure, Fold, Lead, Panel, Scale, Section, Sentence, Table, Text
from bench.report.frames import Frames
from bench.text import integer, number, of, p_value, plural, ratio, region, sentence, spoken

SIDES = (OF, AGAINST)
HOW = "claims-how"
TEXTBOOK = "textbook-"  # with which the ids of the textbook's statements begin
MOST_DECADES = 300  # beyond, a factor is no number
_OVER = {"ratio": "ratio", "difference": "difference"}
_INTRO = (
    "What others have claimed, each with the rule that decides it and the numbers of these results. A claim is "
    "*supported* where the effect's whole interval lies in the claimed region, *refuted* where it lies wholly "
    "outside, else *inconclusive*. A statement about several settings is judged for each of them. It holds *in part* "
    "where it is refuted as it stands and supported for some of them."
)


@dataclass(frozen=True)
class ClaimPart:
    """One test of a claim as ready text, and the runs it rests on, by run_id."""

    name: str
    verdict: str
    effect: str  # with its interval
    claimed: str
    counts: str
    p_value: str
    rule: str
    why: str
    best: tuple[str, ...]  # of tuned factors: of how many levels, and how often on the edge of those tried
    runs: pd.DataFrame
    short: str  # verdict's mark, name, effect, and how many runs were lost


@dataclass(frozen=True)
class ClaimCard:
    """A claim of the suite and what became of it; `mark` stands beside the verdict, whatever its colour."""

    id: str
    statement: str
    source: str
    verdict: str
    mark: str
    shown: tuple[str, str]  # mark and word on its line: the verdict, or `in part`
    why: str
    paper: str
    differs: str
    rule: str
    parts: tuple[ClaimPart, ...]
    table: Table | None  # of the parts, where there are several
    figure: Figure
    numbers: tuple[Table, ...]  # behind the figure
    best: Table | None  # the levels chosen for each network


@dataclass(frozen=True)
class Claims(Block):
    """How many claims came out how, and a card for each; `mixed` of the refuted hold for some settings."""

    summary: str
    counts: Mapping[str, int]
    mixed: int
    textbook: bool  # whether all are statements of the textbook
    cards: tuple[ClaimCard, ...]

    def within(self) -> Sequence[Block]:
        """The cards' figures and tables."""
        return [block for card in self.cards for block in (card.figure, *card.numbers)]


def section(frames: Frames) -> Section | None:
    """A line for each claim; None where the suite carries none.

    Where it has some that this version cannot read, the section says so and the rest of the page stands.
    """
    try:
        judged = judge_stored(frames.tables, frames.manifest.text)
    except SuiteError as error:
        said = f"The suite's claims cannot be read by this version of gradtrial. {error}"
        return Section("claims", "Claims put to the test", "Claims", (Text(said, "warning"),))
    if not judged:
        return None
    claims = claim_cards(judged)
    name = "Textbook" if claims.textbook else "Claims"
    title = f"{'The textbook' if claims.textbook else 'Claims'} put to the test"
    short = claims_sentence(claims)
    blocks = (
        Lead(Sentence(short[0].text, link=f"#{HOW}")),
        claims,
        Fold("How a verdict is reached", (Text(_INTRO),), HOW),
    )
    return Section("claims", title, name, blocks, short=short)


def claim_cards(judged: Sequence[Judged]) -> Claims:
    """The same of claims that were judged."""
    counts = words.verdict_counts(judged)
    textbook = all(claim.id.startswith(TEXTBOOK) for claim in judged)
    mixed = sum(map(_in_part, judged))
    return Claims(words.tally(counts), counts, mixed, textbook, tuple(_card(claim) for claim in judged))


def _in_part(claim: Judged) -> bool:
    """Whether a claim is refuted as it stands and supported for some of its settings."""
    return claim.verdict is Verdict.REFUTED and any(part.verdict is Verdict.SUPPORTED for part in claim.parts)


def claims_sentence(claims: Claims) -> tuple[Sentence, ...]:
    """How many claims came out how, for the answer."""
    supported, refuted, open_ = claims.counts.values()
    refuted -= claims.mixed
    text = (
        f"Of {plural(len(claims.cards), 'textbook statement' if claims.textbook else 'claim')} put to the test "
        f"{integer(supported)} {'is' if supported == 1 else 'are'} supported, {integer(refuted)} refuted, "
        f"and {integer(open_)} inconclusive"
    )
    if claims.mixed:
        text += f"; {integer(claims.mixed)} {'holds' if claims.mixed == 1 else 'hold'} for some settings only"
    text += "."
    return (Sentence(text, "each judged by its own rule, which stands on its card", "#claims"),)


def _card(claim: Judged) -> ClaimCard:
    parts = tuple(_part(part) for part in claim.parts)
    stated = {name: getattr(claim, name) for name in ("id", "statement", "source", "paper", "differs")}
    return ClaimCard(
        **stated,
        verdict=str(claim.verdict),
        mark=words.MARKS[claim.verdict],
        shown=_shown(claim),
        why=sentence(claim.why),
        rule=words.readable(claim.rule),
        parts=parts,
        table=_table(claim, parts) if len(parts) > 1 else None,
        figure=claim_figure(claim),
        numbers=number_tables(claim),
        best=_best(claim),
    )


def _part(part: JudgedPart) -> ClaimPart:
    tested = p_value(part.p_value)
    columns = ["side", "replicate", "value", "low", "high", "lost", "censored", "unmeasured", "kept"]
    return ClaimPart(
        name=part.name,
        verdict=f"{words.MARKS[part.verdict]} {part.verdict}",
        effect=f"{words.effect(part)}, {words.interval(part)}",
        claimed=words.claimed(part),
        counts=words.counted(part.counts),
        p_value="" if tested == "–" else f"one-sided {tested}",
        rule=words.readable(part.rule),
        why=sentence(part.why),
        best=words.best_levels(part),
        runs=part.runs[columns].reset_index(names="run_id"),
        short=_short(part),
    )


def _short(part: JudgedPart) -> str:
    """`✗ tanh ÷ 1.03 per layer`, and how many runs were lost."""
    lost = f" ({of(part.counts.lost, part.counts.judged, 'run')} lost)" if part.counts.lost else ""
    return " ".join(filter(None, [words.MARKS[part.verdict], part.name, _told(part)])) + lost


def _told(part: JudgedPart) -> str:
    """The effect as it is read at a glance: decades as factors."""
    decades, _, per = part.unit.partition(" per ")
    if decades == "decades" and abs(part.effect) < MOST_DECADES:
        return ratio(10.0**part.effect, 3) + (f" per {per.replace('depth', 'layer')}" if per else "")
    unit = "" if part.unit == "share of runs" else words.unit_said(part.unit)
    sign = "× " if part.scale == "ratio" else "+" if "difference" in part.scale and part.effect > 0.0 else ""
    return f"{sign}{number(part.effect)}{unit}"


def _table(claim: Judged, parts: Sequence[ClaimPart]) -> Table:
    rows = tuple((p.name, p.verdict, p.effect, p.claimed, p.counts, p.p_value or "–") for p in parts)
    needed = "All of them must hold." if claim.needs == "all" else "One of them must hold."
    heads = ("part", "verdict", "effect", "claimed", "counts", "test")
    return Table("Parts of the claim", heads, rows, note=needed)


def _best(claim: Judged) -> Table | None:
    """Every network's best level of what the claim tunes; columns that would say nothing are left out."""
    found = [part.best.assign(part=part.name, named=_side(part)) for part in claim.parts if len(part.best)]
    if not found:
        return None
    rows = pd.concat(found)
    networks = [words.beside(side, network) for side, network in zip(rows["named"], rows["network"], strict=True)]
    columns = {"part": rows["part"], "side": rows["named"], "network": pd.Series(networks, rows.index, dtype=object)}
    shown = {name: column.replace("", "–") for name, column in columns.items() if (column != "").any()}
    shown |= {
        "factor": rows["factor"].map(spoken),
        "best": rows["level"].astype(str).map(words.readable),
        "tried": rows["tried"].astype(str),
        "on the edge": rows["on_edge"].astype(bool).map({True: "yes", False: "no"}),
    }
    note = "On the edge: the smallest or largest tried, so that a better one may lie beyond."
    return Table("Best levels", tuple(shown), tuple(zip(*shown.values(), strict=True)), note=note)


def _side(part: JudgedPart) -> pd.Series:
    names = dict(zip((OF, AGAINST), map(words.readable, part.sides), strict=False))
    return part.best["side"].map(names)


def _shown(claim: Judged) -> tuple[str, str]:
    """Mark and word of a claim: its verdict, or `in part`."""
    return ("◐", "in part") if _in_part(claim) else (words.MARKS[claim.verdict], str(claim.verdict))


def claim_figure(claim: Judged) -> Figure:
    """A panel for each part: numbers per replicate, effect with interval, claimed region."""
    return Figure(
        key=f"claim-{claim.id}",
        kind="claim",
        title=f"{claim.id}: {' '.join(_shown(claim))}",
        scale=Scale("", ""),
        panels=tuple(Panel(part.name, figure_rows(part)) for part in claim.parts),
    )


def figure_rows(part: JudgedPart) -> pd.DataFrame:
    """The rows of one panel.

    `what` is of, against, compared (one row per replicate each), effect or claimed; `value` with what is known of it
    between `low` and `high`, or the interval, or the region's edges (infinite where open); `unit`, and how the two
    sides are compared in `compare`. A ratio's rows are ratios.
    """
    units = part.units[part.units["side"].isin([*SIDES, *([PAIRED] if part.scale in _OVER else [])])]
    values = units[["value", "low", "high"]].astype(np.float64)
    compared = (units["side"] == PAIRED).to_numpy()
    if part.scale == "ratio":
        with np.errstate(over="ignore"):
            ratios = np.exp(values[compared])
        values[compared] = ratios.assign(low=ratios["low"].where(ratios["low"] > 0.0, -np.inf))  # 0: nothing is known
    names = dict(zip(SIDES, map(words.readable, part.sides), strict=False)) | {PAIRED: _compared(part)}
    rows = pd.DataFrame({
        "what": units["side"].replace({PAIRED: "compared"}).to_numpy(), "series": units["side"].map(names).to_numpy(),
        "replicate": units["replicate"].to_numpy(), **{name: values[name].to_numpy() for name in values},
        "unit": np.where(compared, part.unit, part.side_unit),
    })  # fmt: skip
    low, high = (edge if edge is not None else end for edge, end in ((part.least, -np.inf), (part.most, np.inf)))
    told = pd.DataFrame([
        ("effect", _effect(part), None, part.effect, part.low, part.high, part.unit),
        ("claimed", "claimed", None, np.nan, low, high, part.unit),
    ], columns=rows.columns)  # fmt: skip
    joined = pd.concat([rows.astype({"replicate": object}), told], ignore_index=True) if len(rows) else told
    return joined.assign(replicate=joined["replicate"].astype("Int64"), compare=part.scale)


def _compared(part: JudgedPart) -> str:
    return f"{_OVER.get(part.scale, 'difference')}, by replicate"


def _effect(part: JudgedPart) -> str:
    if np.isnan(part.effect) and np.isnan(part.low):
        return "no effect: too few numbers"
    if part.statistic == "each":
        return "median, and the range over replicates"
    kind = {"ratio": "geometric mean" if part.statistic == "mean" else "median", "share": "share",
            "difference of shares": "difference of shares"}  # fmt: skip
    return f"{kind.get(part.scale, part.statistic)} with {100 * part.level:g} % interval"


def number_tables(claim: Judged) -> tuple[Table, ...]:
    """The numbers of the figure, a table for each part with a row for each replicate."""
    return tuple(_numbers(part) for part in claim.parts if len(part.units))


def _numbers(part: JudgedPart) -> Table:
    rows = figure_rows(part)
    points = rows[rows["what"].isin([*SIDES, "compared"])]
    series = list(dict.fromkeys(points["series"]))
    told = {(row.replicate, row.series): _bounded(row.value, row.low, row.high) for row in points.itertuples()}
    lines = tuple(
        (str(replicate), *(told.get((replicate, name), "–") for name in series))
        for replicate in sorted(points["replicate"].unique())
    )
    unit = f" Unit: {part.side_unit}." if part.side_unit != "1" else ""
    caption = f"Numbers: {part.name}" if part.name else "Numbers"
    note = f"The mean over a replicate's runs.{unit}"
    return Table(caption, ("replicate", *series), lines, tuple(range(1, len(series) + 1)), note)


def _bounded(value: float, low: float, high: float) -> str:
    """A number, or what is known of it."""
    if low == high or (np.isnan(value) and np.isfinite(low) and np.isfinite(high)):
        return number(value) if low == high else f"{number(low)} to {number(high)}"
    if np.isinf(low) and np.isinf(high):
        return "unknown"
    return region(low, high)
