"""One verdict over all, with its reasons: counts, means over all pairs, levels, cells, then what forbids `same`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.compare.model import Comparison, FirstSteps, Verdict
from bench.analysis.compare.responses import TIME
from bench.analysis.compare.starts import STARTS, VALIDATION, Start
from bench.analysis.compare.words import apart_words, count_words, failed_words, row_words, unit_words
from bench.text import listed, of, plural, sentence

MOST_OWNERS = 3  # levels of a factor that a reason names as those of all that starts otherwise
NAMED = 2  # levels or cells that a reason names


def overall(told: Comparison) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict over all, and why, of a comparison that lacks nothing else.

    Worse where anything is: a number that gained elsewhere must not hide it. Better where something is and nothing is
    worse. The same only where means over all pairs and over each level are, no cell changed, and runs of one seed start
    alike.
    """
    if told.identical:
        return Verdict.SAME, ()
    by = {verdict: _reasons(verdict, told) for verdict in (Verdict.WORSE, Verdict.BETTER)}
    open_ = _open(told)
    if by[Verdict.WORSE]:
        return Verdict.WORSE, (*by[Verdict.WORSE], *_but(by[Verdict.BETTER], "Better: "), *open_[:1])
    if by[Verdict.BETTER]:
        return Verdict.BETTER, (*by[Verdict.BETTER], *open_[:1])
    return (Verdict.INCONCLUSIVE, open_) if open_ else (Verdict.SAME, ())


def _but(reasons: tuple[str, ...], head: str) -> tuple[str, ...]:
    return tuple(f"{head}{reason[:1].lower()}{reason[1:]}" for reason in reasons)


def _reasons(verdict: Verdict, told: Comparison) -> tuple[str, ...]:
    counts, suite, levels, verdicts = told.counts, told.suite, told.levels, told.verdicts
    said = []
    for row in counts[counts["verdict"] == verdict].to_dict("records"):
        newly = row["count"] == "failed" and verdict is Verdict.WORSE
        said.append(failed_words(int(row["candidate_only"])) if newly else sentence(count_words(row)))
    rows = suite[suite["verdict"] == verdict].to_dict("records")
    if rows:
        said.append(f"Over all pairs: {listed([row_words(row) for row in rows])}.")
    own = levels[levels["verdict"] == verdict].sort_values("change", key=abs, ascending=False, kind="stable")
    if len(own):
        named = [f"{unit_words(row['unit'])} ({row_words(row)})" for row in own.to_dict("records")]
        said.append(f"With {_few(named, 'level')}.")
    cells = verdicts[verdicts["verdict"] == verdict]
    if len(cells):
        said.append(f"{of(len(cells), len(verdicts), 'cell')}: {_few(list(cells['cell']), 'cell')}.")
    return tuple(said)


def _few(named: list[str], noun: str) -> str:
    left = len(named) - NAMED
    return (
        ", ".join(named[:NAMED]) + f" and {left} more {noun}{'' if left == 1 else 's'}" if left > 0 else listed(named)
    )


def _open(told: Comparison) -> tuple[str, ...]:
    """What keeps two results from being called the same, as sentences."""
    pairs, verdicts, starts = told.pairs, told.verdicts, told.starts
    said = []
    if pairs.renamed and told.same_seed:
        said.append(
            f"{plural(len(pairs.renamed), 'cell')} with the same words mean something else: a level's setting or a "
            "data set's content changed."
        )
    only = [(len(pairs.base_only), "in BASE alone"), (len(pairs.candidate_only), "in CANDIDATE alone")]
    lone = [f"{plural(count, 'cell')} {where}" for count, where in only if count]
    if lone:
        said.append(f"{listed(lone)}, not compared.")
    if told.same_seed and len(starts) and int(starts["otherwise"].iloc[0]):
        said.append(_starts(starts, told.first))
    if told.unlike and TIME.name in told.margins:
        said.append(f"No time is judged. {told.unlike} Train both again, in turns, where nothing else runs.")
    changed = verdicts[verdicts["why"].str.startswith("changed")]
    if len(changed):
        said.append(f"{of(len(changed), len(verdicts), 'cell')} changed, which nothing says is better or worse.")
    for table, where in ((told.suite, "Over all pairs"), (told.levels, "By level")):
        wide = table[table["verdict"] == Verdict.INCONCLUSIVE]
        if len(wide):
            named = [f"{unit_words(row['unit'])} {row_words(row)}".strip() for row in wide.to_dict("records")]
            said.append(f"{where}, not within the margin or not known: {_few(named, 'number')}.")
    return tuple(said)


def _starts(starts: pd.DataFrame, steps: FirstSteps | None) -> str:
    """`12 of 780 pairs with one seed start otherwise, by first update: all with clipping norm:1.`, and by how much."""
    first = starts.iloc[0]
    by = [each for each in STARTS if first[each.name]]
    labels = listed([each.label for each in by])
    how = f"start otherwise, by {labels}" if by != [VALIDATION] else "are validated otherwise, after equal training"
    said = f"{of(int(first['otherwise']), int(first['pairs']), 'pair')} with one seed {how}"
    if first["otherwise"] == first["pairs"]:
        said += (
            ": other draws, or a change that all runs share" if by != [VALIDATION] else ": a change that all runs share"
        )
    elif owners := _owners(starts):
        pairs = starts[starts["unit"].isin(owners)]["pairs"].sum()
        named = listed([unit_words(each) for each in owners[:1]] + [each.partition("=")[2] for each in owners[1:]])
        said += f": all with {named}, of whose pairs they are {of(int(first['otherwise']), int(pairs))}"
    return f"{said}.{_most(by, steps)}" if steps else f"{said}."


def _owners(starts: pd.DataFrame) -> list[str]:
    """The levels of one factor that have every pair which starts otherwise, of the factor with the fewest others."""
    own = starts.iloc[1:]
    own = own[own["otherwise"] > 0]
    factor = own["unit"].str.partition("=")[0]
    by = own.groupby(factor, sort=False)["pairs"].agg(["sum", "size"])
    by = by[(by["sum"] < starts["pairs"].iloc[0]) & (by["size"] <= MOST_OWNERS)].sort_values("sum", kind="stable")
    return list(own["unit"][factor == by.index[0]]) if len(by) else []


def _most(by: list[Start], steps: FirstSteps) -> str:
    """By how much they start otherwise, beside what rounding may come to."""
    known = {each.label: steps.largest[each.name] for each in by if np.isfinite(steps.largest[each.name])}
    if not known:
        return ""
    label = max(known, key=lambda name: known[name])
    most = f" The most is {apart_words(known[label])}"
    return (
        f"{most}, of the {label}; rounding comes to {apart_words(steps.rounding)}."
        if by != [VALIDATION]
        else f"{most}."
    )
