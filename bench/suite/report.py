"""What the report asks of a suite: which factor's levels, and from which baseline changes are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.errors import SuiteError, during, nearest
from bench.factors import FACTORS, Choice, show
from bench.suite.cells import Levels

KEYS = ("ask", "baseline")


@dataclass(frozen=True)
class ReportTable:
    """`[report]`: the factor that recipes are for (empty: activation, or else the first of words), and the baseline.

    `baseline` holds the factors whose level the suite names; of others the report finds it (docs/rules.md).
    """

    ask: str = ""
    baseline: Mapping[str, Choice] = field(default_factory=dict)

    def as_written(self) -> dict[str, Any]:
        """For the manifest: levels as the tables hold them."""
        return {"ask": self.ask, "baseline": {name: choice.column for name, choice in self.baseline.items()}}


def read_report(written: Mapping[str, object], levels: Levels) -> ReportTable:
    """The table `[report]` of a suite.

    Raises:
        SuiteError: an unknown key, factor or level; a factor that does not vary, or that is asked and in the baseline.
    """
    for key in written:
        if key not in KEYS:
            raise SuiteError(f"[report] {show(key)} is not a key. {nearest(key, KEYS)}")
    ask = _ask(written["ask"], levels) if "ask" in written else ""
    baseline = written.get("baseline", {})
    if not isinstance(baseline, Mapping):
        raise SuiteError(f"[report] baseline: {show(baseline)} is not a table of factors and levels.")
    chosen = {}
    for factor, value in baseline.items():
        with during(f"[report] baseline {factor}:"):
            chosen[factor] = _level(str(factor), value, ask, levels)
    return ReportTable(ask, chosen)


def _ask(written: object, levels: Levels) -> str:
    with during("[report] ask:"):
        return _varied(written, levels)


def _varied(factor: object, levels: Levels) -> str:
    if not isinstance(factor, str) or factor not in FACTORS:
        raise SuiteError(f"{show(factor)} is not a factor. {nearest(str(factor), FACTORS)}")
    if factor not in levels.varied:
        raise SuiteError(f"{factor} does not vary here. {nearest(factor, levels.varied)}")
    return factor


def _level(factor: str, written: object, ask: str, levels: Levels) -> Choice:
    if _varied(factor, levels) == ask:
        raise SuiteError("it is the factor that is asked for: each of its levels has recipes of its own.")
    found = levels.named(factor, written)
    labels = [level.label for level in found or levels.varied[factor]]
    if not found:
        raise SuiteError(f"{show(written)} is not a level of this suite. {nearest(str(written), labels)}")
    if len(found) > 1:
        raise SuiteError(f"{show(written)} may be {' or '.join(labels)} here. Write a table with its settings.")
    return found[0]
