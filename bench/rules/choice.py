"""The sets that come with the project, and a suite's choice: which judge its runs, with which thresholds."""

from __future__ import annotations

import re
import reprlib
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from bench.errors import SuiteError, nearest, printable
from bench.rules.model import LearnedRule, Rule, RuleSet

_FILES = resources.files("bench.rules")
_OUTCOME = "outcome"  # the file that says when a run learned, whatever the set
OWN = "gradtrial"
WATCHING = "gradtrial_watching"  # our own rules on a whole run, as the published tools look at it
# Each TOML file beside this one is a set; our own speak first.
NAMES = (
    OWN,
    WATCHING,
    *sorted(
        {f.name.removesuffix(".toml") for f in _FILES.iterdir() if f.name.endswith(".toml")} - {OWN, WATCHING, _OUTCOME}
    ),
)
LEARNED = "outcome.learned_share"
FORMER = "gradbench"  # our own set's name before the project's was changed: suites and results of that time hold it
MOST_SHOWN = 200  # characters of a value in a message


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(_FILES.joinpath(f"{name}.toml").read_text("utf-8"))


@cache
def rule_set(name: str) -> RuleSet:
    """The set of that name.

    Raises:
        FileNotFoundError: there is none.
    """
    return RuleSet.model_validate(_read(name))


@cache
def learned_rule() -> LearnedRule:
    """When a run counts as having learned, whatever the rule set."""
    return LearnedRule.model_validate(_read(_OUTCOME))


@dataclass(frozen=True)
class RulesChoice:
    """The sets that judge, our own first, with their thresholds as the suite wants them, and when a run learned.

    `moved` holds the thresholds that the suite changed: name → value.
    """

    sets: tuple[RuleSet, ...]
    learned: LearnedRule
    moved: Mapping[str, float]

    def as_written(self) -> dict[str, Any]:
        """What `choose_rules` reads back."""
        return {"rules": [each.name for each in self.sets], "thresholds": dict(self.moved)}

    @property
    def own(self) -> RuleSet:
        """The project's own set: the one whose symptoms the page speaks of."""
        return self.sets[0]


def choose_rules(written: Mapping[str, Any] | None = None) -> RulesChoice:
    """Read a suite's `[verdicts]`: `rules`, a list of names (all, if left out), and `thresholds`, name → value.

    Our own sets always judge. A threshold is named `<set>.<rule>.<measure>`, or `outcome.learned_share`.

    Raises:
        SuiteError: an unknown key, set or threshold, or a value that is not a number.
    """
    given = dict(written or {})
    names = given.pop("rules", list(NAMES))
    moved = given.pop("thresholds", {})
    if isinstance(names, list):
        names = [OWN if name == FORMER else name for name in names]
    if isinstance(moved, dict):
        moved = {re.sub(rf"^{FORMER}\.", f"{OWN}.", str(name)): value for name, value in moved.items()}
    for key in given:
        raise SuiteError(f'[verdicts] "{_shown(key)}" is not a key. {nearest(key, ["rules", "thresholds"])}')
    if not isinstance(names, list):
        raise SuiteError(f'[verdicts] rules: {_shown(names)} is not a list. Write ["{OWN}"].')
    for name in names:
        if name not in NAMES:
            raise SuiteError(f'[verdicts] rules: "{_shown(name)}" is not a rule set. {nearest(str(name), NAMES)}')
    if not isinstance(moved, dict):
        raise SuiteError(f"[verdicts] thresholds: {_shown(moved)} is not a table of names and numbers.")
    chosen = [name for name in NAMES if name in (*names, OWN, WATCHING)]
    return _moved(tuple(rule_set(name) for name in chosen), moved)


def _shown(value: object) -> str:
    """A value for a message: what is long is cut, and Python cannot spell the longest whole numbers at all."""
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return "a number beyond 1e308"
    return printable(value if isinstance(value, str) else reprlib.repr(value))[:MOST_SHOWN]


def _moved(sets: tuple[RuleSet, ...], moved: Mapping[str, Any]) -> RulesChoice:
    for name, value in moved.items():
        if name not in threshold_names():
            raise SuiteError(f'[verdicts] thresholds: "{_shown(name)}" is not one. {nearest(name, threshold_names())}')
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise SuiteError(f"[verdicts] thresholds {name}: {_shown(value)} is not a number, or not a finite one.")
    learned = learned_rule()
    if LEARNED in moved:
        if not 0.0 < moved[LEARNED] < 1.0:
            raise SuiteError(f"[verdicts] thresholds {LEARNED}: {_shown(moved[LEARNED])} must lie between 0 and 1.")
        learned = learned.model_copy(update={"learned_share": float(moved[LEARNED])})
    return RulesChoice(tuple(_with(each, moved) for each in sets), learned, dict(moved))


def threshold_names() -> list[str]:
    """The full name of every threshold that a suite may move."""
    sets = [rule_set(name) for name in NAMES]
    return [LEARNED, *(f"{s.name}.{rule.name}.{c.measure}" for s in sets for rule in s.rules for c in rule.conditions)]


def _with(rules: RuleSet, moved: Mapping[str, float]) -> RuleSet:
    def changed(rule: Rule) -> Rule:
        conditions = []
        for condition in rule.conditions:
            value = moved.get(f"{rules.name}.{rule.name}.{condition.measure}")
            conditions.append(condition if value is None else condition.moved(float(value)))
        return rule.model_copy(update={"conditions": tuple(conditions)})

    return rules.model_copy(update={"rules": tuple(changed(rule) for rule in rules.rules)})
