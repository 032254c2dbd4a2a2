"""A comparison as parts in the order in which a reader needs them: what differs, verdict, counts, differences, where.

The terminal, the Markdown document and the page show the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.compare import TIME, Margin, Verdict
from bench.analysis.compare.model import FirstSteps
from bench.analysis.compare.sides import in_training
from bench.analysis.compare.starts import STARTS
from bench.analysis.compare.words import (
    MARKS,
    RESPONSE,
    cells_words,
    change_words,
    headline,
    lost_words,
    power_words,
    rounded_words,
    unit_words,
)
from bench.factors import OWN
from bench.report.compared import REFERENCE, Compared
from bench.text import UNKNOWN, integer, listed, number, p_value, plural, spoken

NAMES = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy", "gradtrial": "gradtrial"}
FIRST = 5  # rows of levels and of cells that are shown at first
SIDES = ("BASE", "CANDIDATE")
Row = Mapping[Hashable, object]


@dataclass(frozen=True)
class Part:
    """A heading, sentences, and a table if `heads` has any; `left` rows of it are not shown."""

    title: str
    lines: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    left: int = 0


def outline(compared: Compared, most: int | None = FIRST) -> list[Part]:
    """The parts, with at most so many levels and cells each; None for all."""
    if compared.comparison.identical:
        return [_differing(compared), _verdict(compared), _counts(compared)]
    found = [
        _differing(compared), _verdict(compared), _counts(compared), _over_all(compared), _starts(compared, most),
        _levels(compared, most), _cells(compared, most), _moved(compared, most), _noise(compared),
    ]  # fmt: skip
    return [part for part in found if part.lines or part.rows]


def _differing(compared: Compared) -> Part:
    rows = tuple((NAMES.get(each.what, each.what), each.base, each.candidate) for each in compared.differences)
    same = [f"{NAMES[name]} {one}" for name, (one, two) in compared.versions.items() if one == two and one != UNKNOWN]
    names = [f"{side} is {name}." for side, name in zip(SIDES, compared.names, strict=True)]
    lines = [f"On both sides: {listed(same)}."] if same else []
    kinds = {each.kind for each in compared.differences}
    if not kinds & {"versions", "machine"}:
        lines.insert(0, "Versions and machine are the same.")
    if compared.manifest.dry:
        lines.append("Both are dry: made by formula, not by training.")
    lines += _pairing(compared)
    return Part("What differs", (" ".join(names), *lines), ("", *SIDES), rows)


def _pairing(compared: Compared) -> list[str]:
    pairs = compared.comparison.pairs
    said = [f"{plural(len(pairs), 'pair')} of runs in {plural(len(pairs.cells), 'cell')}."]
    for name, only, lone in zip(compared.names, (pairs.base_only, pairs.candidate_only), pairs.unpaired, strict=True):
        if only:
            have = "has" if len(only) == 1 else "have"
            said.append(f"{plural(len(only), 'cell')} of {name} {have} no partner: {listed(list(only), 3)}.")
        if lone:
            said.append(f"{plural(lone, 'run')} of {name} {'has' if lone == 1 else 'have'} no partner in its cell.")
    if compared.manifest.suite == OWN:
        alike = "Most have the same first loss" if compared.comparison.same_seed else "Their first losses differ"
        said.append(f"{alike}: taken for {'the same draws' if compared.comparison.same_seed else 'other draws'}.")
        if in_training(pairs.base, pairs.candidate):
            said.append("Not both sides were validated: losses are those of a training batch.")
    if pairs.renamed and compared.comparison.same_seed:
        names = listed(list(pairs.renamed), 3)
        said.append(f"{plural(len(pairs.renamed), 'cell')} have the same words and another meaning: {names}.")
    return said


def _verdict(compared: Compared) -> Part:
    told = compared.comparison
    lines = [headline(told), *told.why]
    if compared.unexplained and told.verdict is Verdict.SAME:
        lines[0] = "The same, within the margins, yet something changed: unchanged code gives the same bits here."
    elif compared.unexplained:
        lines.append("Seed, machine and versions are the same: unchanged code would give the same bits.")
    if told.first and told.first.pairs and not told.first.otherwise and not told.identical:
        lines.append(rounded_words(told.first))
    if compared.tables and not told.identical:
        lines.append(f"Tables with other numbers: {listed(list(compared.tables), 12)}.")
    return Part(f"Verdict: {told.verdict}", tuple(lines))


def _counts(compared: Compared) -> Part:
    rows = tuple(
        (
            str(row["count"]), integer(int(row["base"])), integer(int(row["candidate"])),
            integer(int(row["base_only"])), integer(int(row["candidate_only"])),
            p_value(min(row["p_worse"], row["p_better"])), _mark(row["verdict"]),
        )
        for row in compared.comparison.counts.to_dict("records")
    )  # fmt: skip
    heads = ("runs that", *SIDES, "no longer", "newly", "p", "verdict")
    return Part("What became of runs", (f"Of {plural(len(compared.comparison.pairs), 'pair')}.",), heads, rows)


def _over_all(compared: Compared) -> Part:
    told = compared.comparison
    rows = [_difference(row) for row in told.suite.to_dict("records")]
    lines = ["A lost run counts in each mean: at chance, or with the largest loss."]
    for row in told.time.to_dict("records") if TIME.name not in told.margins else ():
        rows.append(_timed(row))
        lines.append("Time per step judges nothing: machines are noisy, and so are two runs on one.")
        lines += [told.unlike] if told.unlike else []
    if told.time.empty and compared.names[0] == REFERENCE:
        lines.append("These reference results hold no times.")
    heads = ("mean over pairs", *SIDES, "difference", "margin", "of these", "verdict")
    return Part("Differences over all pairs", tuple(lines), heads, tuple(rows))


def _difference(row: Row) -> tuple[str, ...]:
    response = RESPONSE[str(row["response"])]
    return (response.label, number(row["base"]), number(row["candidate"]), change_words(row),
            f"±{number(row['margin'])}", lost_words(row), _mark(row["verdict"]))  # fmt: skip


def _timed(row: Row) -> tuple[str, ...]:
    low, middle, high, base, candidate = (
        number(float(np.exp(float(str(row[name]))))) for name in ("low", "change", "high", "base", "candidate")
    )
    return (f"{TIME.label} (ms)", base, candidate, f"× {middle} [{low}, {high}]", "", lost_words(row), "")


def _starts(compared: Compared, most: int | None) -> Part:
    table = compared.comparison.starts
    if not len(table) or not table["otherwise"].iloc[0]:
        return Part("")
    own = table[table["otherwise"] > 0]
    own = own.assign(_share=own["otherwise"] / own["pairs"]).sort_values("_share", ascending=False, kind="stable")
    rows = tuple(
        (unit_words(str(row["unit"])) or "all pairs", integer(int(row["pairs"])), integer(int(row["otherwise"])),
         *(integer(int(row[each.name])) for each in STARTS))
        for row in own.head(most or len(own)).to_dict("records")
    )  # fmt: skip
    lines = (
        "Runs of one seed start alike, but for rounding. Where they do not, weights are drawn otherwise, or something "
        "is computed otherwise.",
    )
    heads = ("pairs with", "pairs", "start otherwise", *(each.label for each in STARTS))
    return Part("Starts", lines, heads, rows, max(0, len(own) - len(rows)))


def _levels(compared: Compared, most: int | None) -> Part:
    return _ranked(unit_words, compared.comparison.levels, ("By level", "pairs with"), most)


def _cells(compared: Compared, most: int | None) -> Part:
    told = compared.comparison
    words = dict(zip(told.verdicts["cell"], told.verdicts["verdict"], strict=True))
    part = _ranked(str, told.cells, ("Cells", "cell"), most)
    failed = [cell for cell, why in zip(told.verdicts["cell"], told.verdicts["why"], strict=True) if why == "failed"]
    lines = [f"{cells_words(told.verdicts)}. {power_words(told.power)}"] if words else []
    if failed:
        lines.append(f"Runs newly failed in {listed(failed, 6)}.")
    return Part(part.title, tuple(lines), part.heads, part.rows, part.left)


def _ranked(named: Callable[[str], str], table: pd.DataFrame, heads: tuple[str, str], most: int | None) -> Part:
    """Rows that changed, by how far beyond their margin; all of them where `most` is None."""
    told = table[(table["verdict"] != Verdict.SAME) if most is None else beyond(table)]
    rank = {"worse": 0, "better": 1}
    order = told.assign(
        _rank=told["verdict"].map(rank).fillna(2), _far=(told["change"].abs() / told["margin"]).fillna(0.0)
    ).sort_values(["_rank", "_far"], ascending=[True, False], kind="stable")
    shown = order.head(most or len(order))
    rows = tuple((named(str(row["unit"])), *_difference(row)) for row in shown.to_dict("records"))
    title, first = heads
    columns = (first, "mean over pairs", *SIDES, "difference", "margin", "of these", "verdict")
    return Part(title, (), columns, rows, len(order) - len(rows))


def beyond(table: pd.DataFrame) -> pd.Series:
    """Which rows are worse or better, or lie wholly beyond their margin on one side."""
    told = table["verdict"].isin([str(Verdict.WORSE), str(Verdict.BETTER)])
    return told | (table["low"] > table["margin"]) | (table["high"] < -table["margin"])


def _moved(compared: Compared, most: int | None) -> Part:
    moved = compared.comparison.moved
    if not len(moved):
        return Part("")
    tally = moved.groupby(["base", "candidate"], sort=False).size()
    said = [f"{count} {spoken(str(base))} → {spoken(str(candidate))}" for (base, candidate), count in tally.items()]
    rows = tuple(
        (f"{row['cell']}-r{row['replicate']}", spoken(str(row["base"])), spoken(str(row["candidate"])))
        for row in moved.head(most or len(moved)).to_dict("records")
    )
    return Part("Runs with another outcome", (f"{listed(said, 12)}.",), ("run", *SIDES), rows,
                len(moved) - len(rows))  # fmt: skip


def _noise(compared: Compared) -> Part:
    rows = tuple(_margin(each) for each in compared.comparison.margins.values())
    lines = ("A margin is the noise of BASE, or the least margin where that is larger, or what --margin says.",)
    heads = ("number", "margin", "noise between replicates", "largest within a cell", "least margin")
    return Part("Margins", lines, heads, rows)


def _margin(each: Margin) -> tuple[str, ...]:
    response = RESPONSE[each.response]
    unit = f" {response.unit}" if response.unit != "1" else ""
    given = " (given)" if each.given else ""
    return (response.label, f"{number(each.margin)}{unit}{given}", number(each.noise), number(each.largest),
            number(response.margin))  # fmt: skip


def _mark(verdict: object) -> str:
    return f"{MARKS[str(verdict)]} {verdict}".strip()


def plain(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON holds them: what is not a finite number is null."""

    def value(each: object) -> object:
        if isinstance(each, (bool, np.bool_)):
            return bool(each)
        if isinstance(each, (int, np.integer)):
            return int(each)
        if isinstance(each, (float, np.floating)):
            return float(each) if np.isfinite(each) else None
        return str(each)

    return [{str(name): value(each) for name, each in row.items()} for row in table.to_dict("records")]


def as_json(compared: Compared) -> dict[str, object]:
    """Everything that a comparison says."""
    told = compared.comparison
    pairs = told.pairs
    return {
        "base": compared.names[0],
        "candidate": compared.names[1],
        "suite": compared.manifest.suite,
        "differences": [vars(each) for each in compared.differences],
        "verdict": str(told.verdict),
        "why": list(told.why),
        "identical": told.identical,
        "tables_that_differ": list(compared.tables),
        "same_seed": told.same_seed,
        "pairs": len(pairs),
        "base_only": list(pairs.base_only),
        "candidate_only": list(pairs.candidate_only),
        "unpaired_runs": list(pairs.unpaired),
        "renamed_cells": dict(pairs.renamed),
        "margins": plain(pd.DataFrame([vars(each) for each in told.margins.values()])),
        "counts": plain(told.counts),
        "outcomes_that_differ": plain(told.moved),
        "all_pairs": plain(told.suite),
        "levels": plain(told.levels),
        "cells": plain(told.cells),
        "cell_verdicts": plain(told.verdicts),
        "starts": plain(told.starts),
        "unexplained": compared.unexplained,
        "first_steps": _first_steps(told.first),
        "time": plain(told.time),
        "times_unlike": told.unlike,
        "power": vars(told.power),
    }


def _first_steps(steps: FirstSteps | None) -> dict[str, object] | None:
    if steps is None:
        return None
    largest = {name: value if np.isfinite(value) else None for name, value in steps.largest.items()}
    return vars(steps) | {"largest": largest}


def markdown(parts: Sequence[Part], title: str, made_by: str) -> str:
    """The parts as a document fit for a comment on a pull request: what matters is open, long tables are folded."""
    from bench.report.claims_markdown import escaped

    lines = [f"## {escaped(title)}", ""]
    for part in parts:
        lines += [f"### {escaped(part.title)}", "", *(f"{escaped(line)}" for line in part.lines), ""]
        if part.rows:
            folded = len(part.rows) > 6
            table = [part.heads, ["---"] * len(part.heads), *([escaped(cell) for cell in row] for row in part.rows)]
            lines += ["<details><summary>table</summary>", ""] if folded else []
            lines += [f"| {' | '.join(line)} |" for line in table]
            lines += ["", f"{integer(part.left)} more rows."] if part.left else []
            lines += ["", "</details>"] if folded else []
            lines.append("")
    return "\n".join([*lines, f"Made by `{made_by}`.", ""])
