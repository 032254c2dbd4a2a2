"""What a rule set is: its rules, each a few conditions on quantities, and when in a run they are looked at."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from bench.errors import nearest
from bench.quantities import QUANTITIES


class Symptom(StrEnum):
    """What a rule set says of a run: the symptom of the first of its rules that holds."""

    HEALTHY = "healthy"  # none held
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    COLLAPSED = "collapsed"  # samples have become alike
    DEAD = "dead"  # units or gradients that are exactly 0
    SATURATED = "saturated"
    SLOW = "slow"  # updates too small for the weights
    FAST = "fast"  # updates too large for the weights
    UNSCALED = "unscaled"  # weights too small or too large
    UNMEASURED = "unmeasured"  # what the rules need was not recorded


# Symptoms at initialization for which remedies and onsets are looked for.
PATHOLOGIES = (Symptom.VANISHING, Symptom.EXPLODING, Symptom.COLLAPSED)


class When(StrEnum):
    """At which recorded steps a rule looks."""

    START = "start"  # the first
    END = "end"  # the last; for a run that diverged, the last before it did
    EVER = "ever"  # any of them


class Comparison(StrEnum):
    """How a quantity stands to a threshold."""

    BELOW = "below"
    ABOVE = "above"
    AT_LEAST = "at_least"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Frozen):
    """A quantity (`measure`) beyond a threshold: exactly one of `below`, `above`, `at_least`."""

    measure: str
    below: float | None = None
    above: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.measure not in QUANTITIES:
            raise ValueError(f'"{self.measure}" is not a quantity. {nearest(self.measure, QUANTITIES)}')
        if len([each for each in Comparison if getattr(self, each) is not None]) != 1:
            raise ValueError(f"{self.measure}: give one of {', '.join(Comparison)}.")
        return self

    @property
    def comparison(self) -> Comparison:
        """Which way the condition looks."""
        return next(each for each in Comparison if getattr(self, each) is not None)

    @property
    def threshold(self) -> float:
        """The number it compares with."""
        return float(getattr(self, self.comparison))

    def moved(self, threshold: float) -> Condition:
        """The same condition with another threshold."""
        return Condition.model_validate({"measure": self.measure, self.comparison.value: threshold})


class Rule(_Frozen):
    """A symptom, and the conditions that must all hold at one recorded step."""

    name: str
    symptom: Symptom
    when: When
    conditions: tuple[Condition, ...]
    source: str
    activations: tuple[str, ...] = ()  # the levels it is meant for; none named: all
    severe: bool = False  # a stricter version of an earlier rule with the same symptom: it changes no verdict

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        asked = [QUANTITIES[condition.measure] for condition in self.conditions]
        tables = {quantity.table for quantity in asked if quantity.per_step}
        if not asked or len(tables) > 1:
            raise ValueError(f"{self.name}: give conditions, and those per step on one table, not {sorted(tables)}.")
        return self


class RuleSet(_Frozen):
    """Rules in the order in which they speak, and the name of the one without which no run is called healthy.

    Where a `gate` is given, a run only has a symptom if one of its conditions holds too.
    """

    name: str
    title: str
    source: str
    differs: str = ""  # what here is not as in the original, and which of its rules are left out
    needs: str = "vanishing"
    gate: tuple[Condition, ...] = ()
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = [rule.name for rule in self.rules]
        if any(QUANTITIES[condition.measure].per_step for condition in self.gate):
            raise ValueError(f"{self.name}: a gate asks for quantities of a run, not of each step.")
        if self.needs not in names or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: rules need different names, and {self.needs} among them.")
        return self


class LearnedRule(_Frozen):
    """When a run learned: it makes so much less of the error of the best constant answer; outcome.toml has it."""

    learned_share: float
    unit: str
    meaning: str
    source: str
