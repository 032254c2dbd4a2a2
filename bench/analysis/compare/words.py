"""A comparison in words: numbers with their intervals, units by what they are, and why a verdict is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.compare.model import Comparison, FirstSteps, Power, Verdict
from bench.analysis.compare.responses import RESPONSES, TIME
from bench.text import UNKNOWN, listed, number, of, plural, spoken

RESPONSE = {each.name: each for each in (*RESPONSES, TIME)}
MARKS: Mapping[str, str] = {"worse": "▼", "better": "▲", "same": "=", "inconclusive": "~", "": ""}
_UNITS = {"decades": " decades", "ln": "", "1": ""}
TWICE = 2.0  # a factor of more is called one
ROUNDING = 1e-9  # a mean of differences that cancel


def signed(value: object) -> str:
    """Three digits with a sign: `+0.031`, `−1.2`."""
    known = float(str(value))
    known = 0.0 if abs(known) < ROUNDING else known
    shown = number(known)
    return shown if shown == UNKNOWN or known <= 0.0 or shown == "0" else f"+{shown}"


def change_words(row: Mapping[Any, Any], unit: bool = True) -> str:
    """`−0.031 [−0.05, −0.012]`; a bare number where there is no interval."""
    said = signed(row["change"])
    if not pd.isna(row["low"]):
        said += f" [{signed(row['low'])}, {signed(row['high'])}]"
    return said + (_UNITS[RESPONSE[str(row["response"])].unit] if unit else "")


def apart_words(decades: float) -> str:
    """`0.07 %` or `a factor of 2.1` of two numbers that are so many decades apart."""
    factor = 10.0**decades
    return f"{number(100.0 * (factor - 1.0))} %" if factor < TWICE else f"a factor of {number(factor)}"


def rounded_words(steps: FirstSteps) -> str:
    """How runs with one seed start where none does otherwise."""
    if steps.equal == steps.pairs:
        return f"{plural(steps.pairs, 'pair')} with one seed start equal to the bit."
    most = apart_words(max(each for each in steps.largest.values() if np.isfinite(each)))
    return (
        f"{of(steps.rounded, steps.pairs, 'pair')} with one seed differ in their first ten steps, by no more than "
        f"rounding could: {most} at most."
    )


def lost_words(row: Mapping[Any, Any]) -> str:
    """How many runs behind a mean were lost, and how many pairs lack a number: what a mean must not hide."""
    lost = f"{of(int(row['base_lost']), int(row['pairs']))} lost"
    lost += f", then {int(row['candidate_lost'])}" if row["base_lost"] != row["candidate_lost"] else ""
    return lost + (f"; {plural(int(row['unmeasured']), 'pair')} unmeasured on one side" if row["unmeasured"] else "")


def unit_words(unit: str) -> str:
    """`activation tanh` of `activation=tanh`."""
    name, _, level = unit.partition("=")
    return f"{spoken(name)} {level}".strip()


def row_words(row: Mapping[Any, Any]) -> str:
    """`accuracy −0.31 [−0.4, −0.2]`."""
    return f"{RESPONSE[str(row['response'])].label} {change_words(row)}"


def count_words(row: Mapping[Any, Any]) -> str:
    """`learned: 461 of 780 runs, then 430; 45 pairs differ, 38 lost it and 7 gained it`."""
    gone, come = int(row["base_only"]), int(row["candidate_only"])
    said = f"{row['count']}: {of(int(row['base']), int(row['pairs']), 'run')}, then {int(row['candidate'])}"
    return f"{said} ({gone} no longer, {come} newly)" if gone + come else said


def failed_words(count: int) -> str:
    """What is always worse."""
    return f"{plural(count, 'run')} failed that had not."


def cells_words(verdicts: pd.DataFrame) -> str:
    """`2 of 260 cells are worse, 1 better, 200 the same, 57 inconclusive`."""
    found = verdicts["verdict"].value_counts()
    names = {"worse": "worse", "better": "better", "same": "the same", "inconclusive": "inconclusive"}
    parts = [f"{found[word]} {said}" for word, said in names.items() if found.get(word, 0)]
    return f"{plural(len(verdicts), 'cell')}: {listed(parts)}"


def power_words(power: Power) -> str:
    """How many cells could decide, and how many replicates would."""
    now = (
        f"With {plural(power.replicates, 'replicate')} {of(power.deciding, power.cells, 'cell')} can be called the same"
    )
    if power.deciding >= 0.9 * power.cells:
        return f"{now}: their intervals fit into the margins."
    if power.replicates < 2:
        return f"{now}: how much the others vary shows with two replicates or more, and three at least decide a cell."
    if power.needed is None:
        return f"{now}: intervals of the others are wider than the margins, and would be with 1,000 replicates."
    return f"{now}; with {plural(power.needed, 'replicate')} {power.would} could. The others vary too much for so few."


def headline(told: Comparison) -> str:
    """The verdict as a sentence."""
    if told.identical:
        return "Bit-identical: every number in every table is the same, but for times."
    if told.verdict is Verdict.INCONCLUSIVE and told.first and told.first.otherwise and _within(told):
        return "Inconclusive: all means lie within their margins, yet something is computed otherwise."
    return {
        Verdict.WORSE: "Worse.",
        Verdict.BETTER: "Better.",
        Verdict.SAME: "The same, within the margins.",
        Verdict.INCONCLUSIVE: "Inconclusive.",
    }[told.verdict]


def _within(told: Comparison) -> bool:
    """Whether every mean, over all pairs and with each level, is the same."""
    return all((table["verdict"] == Verdict.SAME).all() for table in (told.suite, told.levels))
