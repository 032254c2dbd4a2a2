"""The suite's claims as cards: what is claimed, by whom, and what these results say of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis import Tables
from bench.analysis.claims import Judged, JudgedPart, judge_stored
from bench.analysis.claims.units import AGAINST, OF
from bench.errors import SuiteError
from bench.report.claims_figure import claim_figure, number_tables
from bench.report.claims_words import (
    MARKS,
    beside,
    best_levels,
    claimed,
    counted,
    effect,
    interval,
    readable,
    tally,
)
from bench.report.claims_words import verdict_counts as counts_of
from bench.report.view import ClaimCard, ClaimPart, Claims, Grid, Sentence
from bench.results import Manifest
from bench.text import integer, p_value, plural, sentence, spoken


def claims_view(tables: Tables, manifest: Manifest) -> Claims | None:
    """The section's data; None where the suite carries no claims.

    Where it has some that this version cannot read, the section says so and the rest of the page stands.
    """
    try:
        judged = judge_stored(tables, manifest.text)
    except SuiteError as error:
        return Claims("", {}, (), f"The suite's claims cannot be read by this version of gradtrial. {error}")
    return claim_cards(judged) if judged else None


def claim_cards(judged: Sequence[Judged]) -> Claims:
    """The same of claims that were judged."""
    counts = counts_of(judged)
    return Claims(tally(counts), counts, tuple(_card(claim) for claim in judged))


def claims_sentence(claims: Claims | None) -> tuple[Sentence, ...]:
    """How many claims came out how, for the answer."""
    if claims is None or not claims.cards:
        return ()
    supported, refuted, open_ = claims.counts.values()
    text = (
        f"Of {plural(len(claims.cards), 'claim')} put to the test {integer(supported)} "
        f"{'is' if supported == 1 else 'are'} supported, {integer(refuted)} refuted, "
        f"and {integer(open_)} inconclusive."
    )
    return (Sentence(text, "each judged by its own rule, which stands on its card", "#claims"),)


def _card(claim: Judged) -> ClaimCard:
    parts = tuple(_part(part) for part in claim.parts)
    return ClaimCard(
        id=claim.id,
        statement=claim.statement,
        source=claim.source,
        verdict=str(claim.verdict),
        mark=MARKS[claim.verdict],
        why=sentence(claim.why),
        paper=claim.paper,
        differs=claim.differs,
        rule=readable(claim.rule),
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
        verdict=f"{MARKS[part.verdict]} {part.verdict}",
        effect=f"{effect(part)}, {interval(part)}",
        claimed=claimed(part),
        counts=counted(part.counts),
        p_value="" if tested == "–" else f"one-sided {tested}",
        rule=readable(part.rule),
        why=sentence(part.why),
        best=best_levels(part),
        runs=part.runs[columns].reset_index(names="run_id"),
    )


def _table(claim: Judged, parts: Sequence[ClaimPart]) -> Grid:
    rows = tuple((p.name, p.verdict, p.effect, p.claimed, p.counts, p.p_value or "–") for p in parts)
    needed = "All of them must hold." if claim.needs == "all" else "One of them must hold."
    heads = ("part", "verdict", "effect", "claimed", "counts", "test")
    return Grid("Parts of the claim", heads, rows, note=needed)


def _best(claim: Judged) -> Grid | None:
    """Every network's best level of what the claim tunes; columns that would say nothing are left out."""
    found = [part.best.assign(part=part.name, named=_side(part)) for part in claim.parts if len(part.best)]
    if not found:
        return None
    rows = pd.concat(found)
    networks = [beside(side, network) for side, network in zip(rows["named"], rows["network"], strict=True)]
    columns = {"part": rows["part"], "side": rows["named"], "network": pd.Series(networks, rows.index, dtype=object)}
    shown = {name: column.replace("", "–") for name, column in columns.items() if (column != "").any()}
    shown |= {
        "factor": rows["factor"].map(spoken),
        "best": rows["level"].astype(str).map(readable),
        "tried": rows["tried"].astype(str),
        "on the edge": rows["on_edge"].astype(bool).map({True: "yes", False: "no"}),
    }
    note = "On the edge: the smallest or largest tried, so that a better one may lie beyond."
    return Grid("Best levels", tuple(shown), tuple(zip(*shown.values(), strict=True)), note=note)


def _side(part: JudgedPart) -> pd.Series:
    names = dict(zip((OF, AGAINST), map(readable, part.sides), strict=False))
    return part.best["side"].map(names)
