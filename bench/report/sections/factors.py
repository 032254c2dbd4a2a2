"""Which factor matters: shares of variance, and what each level changes against its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from bench.analysis import Opposites, Outcome, opposites
from bench.report.axes import Axis
from bench.report.blocks import Lead, Section, Sentence, Table, Text, based, blocks_of, sentences
from bench.report.frames import Frames
from bench.report.sections.effect_figures import (
    ACCURACY,
    ALPHA,
    MOST_LEVELS,
    MOST_NAMED,
    Effects,
    against,
    effect_figures,
    effects_of,
    named_terms,
    share_words,
    strongest,
    telling,
)
from bench.report.sections.network_words import shortest
from bench.text import integer, listed, of, p_value, plural, share_interval, signed, signed_range, spoken

MOST_TERMS, MOST_PAIRS, MOST_OPPOSITES = 8, 5, 3
PAIRED = (
    "mean paired difference of the final validation accuracy, a lost run counting as chance: same other levels, same "
    "replicate; interval and test respect that pairs share contexts and replicates, that accuracies end at 0 and 1, "
    "and what so few contexts cannot have shown; p after Holm's correction over all levels"
)


def section(frames: Frames) -> Section | None:
    """The answer, figures and tables; None where no factor varies in a way that can be told apart."""
    frames = frames.training
    effects = effects_of(frames.worded, frames.axes, frames.lines.colour)
    tables = effect_grids(effects)
    if not tables:
        return None
    found, told = opposites(frames.labelled, frames.varied), set(telling(effects)["factor"])
    hidden = [each for each in found if not {each.factor, each.where} <= told]  # an average of one says nothing
    together = opposite_sentences([*hidden, *(each for each in found if each not in hidden)], frames.axes)
    averages = effect_sentences(effects)
    first = (*opposite_sentences(hidden[:1], frames.axes), *share_sentence(effects), *averages)
    intro = Text(
        "Where every combination of levels was run, the variance of a response splits into what each factor explains "
        "alone and what two explain only together. A level's own effect is the mean difference between runs that "
        "differ in nothing else."
    )
    blocks = blocks_of(
        Lead(first[0]) if first else None,
        *effect_figures(effects),
        sentences((*together, *averages)),
        intro,
        *tables,
    )
    short = (*opposite_sentences(hidden[:1], frames.axes), *share_sentence(effects))
    return Section("factors", "Which factor matters", "Factors", blocks, short=short)


def effect_grids(effects: Effects) -> tuple[Table, ...]:
    """Shares of variance of two responses, the effects of all levels, and the largest interactions."""
    grids = [_shares(name, effects) for name, shares in effects.shares.items() if len(shares)]
    if len(effects.levels):
        grids.append(_levels(effects.levels))
    if len(effects.pairs):
        grids.append(_interactions(effects))
    return tuple(grids)


def share_sentence(effects: Effects) -> tuple[Sentence, ...]:
    """Which terms explain most of the variance of the final accuracy; nothing where none can be told from 0."""
    terms = named_terms(effects.shares[ACCURACY]).head(MOST_NAMED)
    if not len(terms):
        return ()
    (name, share), *more = [(spoken(row.factors), share_words(row)) for row in terms.itertuples()]
    rest = "".join(f", {each} {percent}" for each, percent in more)
    text = f"{name.capitalize()} explains {share} of the variance of the final accuracy{rest}."
    part, lost = effects.part, integer(int(effects.shares[ACCURACY]["lost"].iloc[0]))
    runs = f"{of(len(part.runs), part.of, 'run')}, the largest full part of the grid" if part else ""
    runs = f"all {plural(part.of, 'run')}, a full grid" if part and part.whole else runs
    return (Sentence(text, f"{runs}, {lost} lost and counted as chance; 95 % intervals over replicates", "#factors"),)


def opposite_sentences(found: Sequence[Opposites], axes: Sequence[Axis]) -> tuple[Sentence, ...]:
    """What a level does at one level of another factor alone, before any average that would hide it."""
    said = {Outcome.DIVERGED: "diverged", Outcome.LEARNED: "learned"}
    words = {axis.factor: axis.words for axis in axes}
    made = []
    for each in found[:MOST_OPPOSITES]:
        at, other = (words[each.where](level) for level in (each.at, each.other))
        most, least = (
            listed([words[each.factor](level) for level in side.levels], MOST_NAMED) for side in (each.most, each.least)
        )
        texts = [
            f"With {at}, {of(each.least.hits, each.least.runs, 'run')} with {least} {said[each.outcome]}{joined} "
            f"{of(each.most.hits, each.most.runs)} with {most}; with {other}{verb} "
            f"{of(each.elsewhere.hits, each.elsewhere.runs)}."
            for joined, verb in ((" and", " it was"), (",", " it was"), (",", ","))
        ]
        made.append(Sentence(shortest(texts), "", f"#where={each.where}:{quote(each.at, '')}"))
    return based(made, "nearly all runs of some levels and nearly none of others, at one level of another factor")


def effect_sentences(effects: Effects) -> tuple[Sentence, ...]:
    """For each factor of words the level that changes the accuracy most, and where the data cannot tell."""
    numeric = [name for name, axis in effects.axes.items() if axis.numeric]
    words = effects.levels[~effects.levels["factor"].isin(numeric)]
    if not words["pairs"].any():  # of values there is no accuracy
        return ()
    best = strongest(effects)
    found = []
    for row in best[~best["factor"].isin(numeric)].to_dict("records"):
        where = f"#where={row['factor']}:{quote(str(row['level']), '')}|{quote(str(row['reference']), '')}"
        name = effects.axes[row["factor"]].words(row["level"])
        text = (
            f"With {name}{against(effects, row)} the final accuracy changes by {signed(row['difference'])} "
            f"({signed_range(row['lower'], row['upper'])}; {p_value(row['p_holm'])}) over "
            f"{plural(row['pairs'], 'pair')}, {row['lost']} with a lost run."
        )
        found.append(Sentence(text, "", where))
    for factor in dict.fromkeys(words["factor"]):
        own = words[words["factor"] == factor]
        if not (own["p_holm"] < ALPHA).any():
            row = own.iloc[0]
            bounds = signed_range(row["lower"], row["upper"]) if row["lower"] == row["lower"] else "too few pairs"
            mean = f"{signed(row['difference'])}, " if row["pairs"] else ""
            text = (
                f"The data cannot tell whether {spoken(factor)} changes the final accuracy on average "
                f"({effects.words(factor, row['level'])}: {mean}{bounds})."
            )
            found.append(Sentence(text, "", "#factors"))
    return based(found, PAIRED)


def _shares(name: str, effects: Effects) -> Table:
    shares = effects.shares[name]
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
        return effects.words(row[side], row[f"{side}_level"])

    rows = [
        (f"{spoken(r['one'])} × {spoken(r['other'])}", f"{100 * r['share']:.1f} %",
         share_interval(r["lower"], r["upper"], 1), f"{named(r, 'one')} with {named(r, 'other')}",
         signed(r["deviation"]), f"{r['mean']:.2f}", integer(r["runs"]), integer(r["lost"]))
        for r in effects.pairs.head(MOST_PAIRS).to_dict("records")
    ]  # fmt: skip
    columns = ("two factors", "share of variance", "95 % interval", "where it is largest", "beyond the sum of both",
               "mean accuracy there", "runs", "lost")  # fmt: skip
    return Table("What two factors do only together", columns, tuple(rows), (1, 2, 4, 5, 6, 7))
