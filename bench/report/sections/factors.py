"""Which factor matters: shares of variance, and what each level changes against its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.analysis import Opposites, Outcome, interactions, main_effects, opposites, variance_shares
from bench.quantities import quantity
from bench.report.blocks import Section, Sentence, Table, Text, based, blocks_of, sentences
from bench.report.frames import Frames
from bench.text import integer, listed, of, p_value, share_interval, signed, signed_range, spoken

ACCURACY = "final_validation_accuracy"
SHARED = (ACCURACY, "decay_rate_start")  # the responses whose variance is shared out
MOST_TERMS, MOST_PAIRS, MOST_LEVELS, MOST_OPPOSITES = 8, 5, 24, 3
ALPHA = 0.05
REST = "everything else"
PAIRED = (
    "mean paired difference of the final validation accuracy, a lost run counting as chance: same other levels, same "
    "replicate; interval and test respect that pairs share contexts and replicates, that accuracies end at 0 and 1, "
    "and what so few contexts cannot have shown; p after Holm's correction over all levels"
)


def section(frames: Frames) -> Section | None:
    """Sentences and tables; None where no factor varies in a way that can be told apart."""
    effects = effects_of(frames.worded, frames.varied)
    tables = effect_grids(effects)
    if not tables:
        return None
    found, telling = opposites(frames.labelled, frames.varied), set(_telling(effects)["factor"])
    hidden = [each for each in found if not {each.factor, each.where} <= telling]  # an average of one says nothing
    together = opposite_sentences([*hidden, *(each for each in found if each not in hidden)])
    intro = Text(
        "In a full factorial design the variance of a response over all runs splits into what each factor explains "
        "alone and what two explain only together; a level's own effect is the mean difference between runs that "
        "differ in nothing else."
    )
    blocks = blocks_of(intro, sentences((*together, *effect_sentences(effects))), *tables)
    short = (*opposite_sentences(hidden[:1]), *share_sentence(effects))
    return Section("factors", "Which factor matters", "Factors", blocks, short=short)


@dataclass(frozen=True)
class Effects:
    """What the factors do: shares of variance by response, then levels and pairs of factors on the final accuracy."""

    shares: Mapping[str, pd.DataFrame]
    levels: pd.DataFrame
    pairs: pd.DataFrame
    numbers: frozenset[str]  # the factors whose levels are numbers


def effects_of(judged: pd.DataFrame, varied: Sequence[str]) -> Effects:
    """Compute them, of what `judge` returned with words in the suite's order and numbers as such."""
    accuracy = quantity(ACCURACY)
    return Effects(
        shares={name: variance_shares(judged, varied, quantity(name)) for name in SHARED},
        levels=main_effects(judged, varied, accuracy),
        pairs=interactions(judged, varied, accuracy),
        numbers=frozenset(name for name in varied if is_numeric_dtype(judged[name])),
    )


def effect_grids(effects: Effects) -> tuple[Table, ...]:
    """Shares of variance of two responses, the effects of all levels, and the largest interactions."""
    grids = [_shares(name, shares) for name, shares in effects.shares.items() if len(shares)]
    if len(effects.levels):
        grids.append(_levels(effects.levels))
    if len(effects.pairs):
        grids.append(_interactions(effects))
    return tuple(grids)


def share_sentence(effects: Effects) -> tuple[Sentence, ...]:
    """Which terms explain most of the variance of the final accuracy; nothing where none can be told from 0."""
    shares = effects.shares[ACCURACY]
    terms = shares[(shares["factors"] != REST) & (shares["lower"] > 0.0)].head(4) if len(shares) else shares
    if len(terms):
        parts = [f"{spoken(row.factors)} {_percent(row)}" for row in terms.itertuples()]
        text = f"Of the variance of the final validation accuracy, {listed(parts)} explain the most."
        runs, lost = (integer(int(shares[name].iloc[0])) for name in ("runs", "lost"))
        basis = (
            f"{runs} runs of a full factorial design, {lost} lost and counted as chance; 95 % intervals over replicates"
        )
        return (Sentence(text, basis, "#factors"),)
    return ()


def opposite_sentences(found: Sequence[Opposites]) -> tuple[Sentence, ...]:
    """What a level does at one level of another factor alone, before any average that would hide it."""
    said = {Outcome.DIVERGED: "left the finite numbers", Outcome.LEARNED: "learned"}
    made = []
    for each in found[:MOST_OPPOSITES]:
        most, least = (
            f"{of(side.hits, side.runs, 'run')} with {spoken(each.factor)} {listed(side.levels)}"
            for side in (each.most, each.least)
        )
        there = f"at {each.other}, {of(each.elsewhere.hits, each.elsewhere.runs)} with {listed(each.most.levels)}"
        text = f"At {spoken(each.where)} {each.at}, {most} {said[each.outcome]}, and {least}; {there}."
        made.append(Sentence(text, "", f"#where={each.where}:{quote(each.at, '')}"))
    return based(made, "nearly all runs of some levels and nearly none of others, at one level of another factor")


def effect_sentences(effects: Effects) -> tuple[Sentence, ...]:
    """For each factor of words the level that changes the accuracy most, and where the data cannot tell."""
    words = effects.levels[~effects.levels["factor"].isin(effects.numbers)]
    telling = _telling(effects)
    telling = telling[~telling["factor"].isin(effects.numbers)]
    best = telling.reindex(telling["difference"].abs().sort_values(ascending=False).index).drop_duplicates("factor")
    sentences = []
    for row in best.to_dict("records"):
        where = f"#where={row['factor']}:{quote(str(row['level']), '')}|{quote(str(row['reference']), '')}"
        text = (
            f"{spoken(row['factor']).capitalize()} {row['level']} against {row['reference']} changes the final "
            f"accuracy by {signed(row['difference'])} ({signed_range(row['lower'], row['upper'])}; "
            f"{p_value(row['p_holm'])}) over {integer(row['pairs'])} pairs of runs, {row['lost']} with a lost run."
        )
        sentences.append(Sentence(text, "", where))
    unclear = [f for f in dict.fromkeys(words["factor"]) if not (words[words["factor"] == f]["p_holm"] < ALPHA).any()]
    if unclear:
        parts = []
        for factor in unclear:
            row = words[words["factor"] == factor].iloc[0]
            bounds = signed_range(row["lower"], row["upper"]) if row["lower"] == row["lower"] else "one pair"
            parts.append(f"{spoken(factor)} ({row['level']}: {signed(row['difference'])}, {bounds})")
        text = f"The data cannot tell whether these change the final accuracy on average: {listed(parts)}."
        sentences.append(Sentence(text, "", "#factors"))
    return based(sentences, PAIRED)


def _telling(effects: Effects) -> pd.DataFrame:
    """The levels whose mean change of the accuracy can be told from 0."""
    return effects.levels[effects.levels["p_holm"] < ALPHA]


def _percent(row: object) -> str:
    share, lower, upper = (100.0 * getattr(row, name) for name in ("share", "lower", "upper"))
    return f"{share:.0f} % ({lower:.0f}–{upper:.0f})"


def _shares(name: str, shares: pd.DataFrame) -> Table:
    last = len(shares) - 1
    rows = [
        (spoken(row.factors), f"{100 * row.share:.1f} %", share_interval(row.lower, row.upper, 1))
        for row in shares.itertuples()
        if row.Index == last or row.Index < MOST_TERMS
    ]
    lost = int(shares["lost"].iloc[0])
    counted = f"{integer(int(shares['runs'].iloc[0]))} runs, {integer(lost)} lost"
    rule = "; a lost one counts as chance" if name == ACCURACY else "; a lost one counts with what was measured"
    columns = ("factor, or two together", "share of variance", "95 % interval")
    return Table(f"What explains the {spoken(name)}", columns, tuple(rows), (1, 2), counted + rule)


def _levels(effects: pd.DataFrame) -> Table:
    rows = [
        (f"{spoken(r['factor'])} {r['level']}", str(r["reference"]), signed(r["difference"]),
         signed_range(r['lower'], r['upper']) if r["lower"] == r["lower"] else "–",
         p_value(r["p_holm"]), integer(r["pairs"]), integer(r["lost"]))
        for r in effects.head(MOST_LEVELS).to_dict("records")
    ]  # fmt: skip
    left = len(effects) - len(rows)
    more = f" {left} more levels are left out." if left > 0 else ""
    columns = ("level", "against", "change of final accuracy", "95 % interval", "p (Holm)", "pairs", "with a lost run")
    return Table("What each level changes", columns, tuple(rows), (2, 3, 4, 5, 6), PAIRED + "." + more)


def _interactions(effects: Effects) -> Table:
    def named(row: dict[str, Any], side: str) -> str:
        """A level by its word, a number with its factor."""
        level = row[f"{side}_level"]
        return f"{spoken(row[side])} {level}" if row[side] in effects.numbers else level

    rows = [
        (f"{spoken(r['one'])} × {spoken(r['other'])}", f"{100 * r['share']:.1f} %",
         share_interval(r["lower"], r["upper"], 1), f"{named(r, 'one')} with {named(r, 'other')}",
         signed(r["deviation"]), f"{r['mean']:.2f}", integer(r["runs"]), integer(r["lost"]))
        for r in effects.pairs.head(MOST_PAIRS).to_dict("records")
    ]  # fmt: skip
    columns = ("two factors", "share of variance", "95 % interval", "where it is largest", "beyond the sum of both",
               "mean accuracy there", "runs", "lost")  # fmt: skip
    return Table("What two factors do only together", columns, tuple(rows), (1, 2, 4, 5, 6, 7))
