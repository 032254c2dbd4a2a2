"""A rule's condition in words."""

from __future__ import annotations

from bench.quantities import QUANTITIES
from bench.rules import Condition
from bench.text import number, spoken


def condition_text(condition: Condition) -> str:
    """`signal ratio below −1.5 decades`."""
    unit = QUANTITIES[condition.measure].unit
    said = f"{spoken(condition.measure)} {spoken(condition.comparison)} {number(condition.threshold)}"
    return said if unit == "1" else f"{said} {unit}"
