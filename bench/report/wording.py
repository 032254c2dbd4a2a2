"""Numbers and lists as a reader sees them: few digits, true minus signs, nothing rounded into a falsehood."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.rules import MEASURES, Condition

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def integer(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """A share in whole percent; 0 % and 100 % only where it is exactly that."""
    if whole == 0:
        return "–"
    share = 100.0 * part / whole
    if part > 0 and share < 1.0:
        return "<1 %"
    if part < whole and share > 99.0:
        return ">99 %"
    return f"{share:.0f} %"


def share_interval(lower: float, upper: float, digits: int = 0) -> str:
    """The bounds of a share in percent: `80–90 %`."""
    return f"{100 * lower:.{digits}f}–{100 * upper:.{digits}f} %"


def of(part: int, whole: int) -> str:
    """`412 of 648`."""
    return f"{integer(part)} of {integer(whole)}"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{integer(count)} {noun}{'' if count == 1 else 's'}"


def decades(value: float) -> str:
    """A power of ten with its sign and one decimal: `−4.2`, `+0.3`, `−∞`."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    rounded = round(value, 1)
    return "0.0" if rounded == 0 else f"{'+' if rounded > 0 else '−'}{abs(rounded):.1f}"


def number(value: object) -> str:
    """Three significant digits, powers of ten for the very large and small; `–` where nothing was measured."""
    if value is None or not isinstance(value, (int, float)):
        return "–" if value is None else str(value)
    if isinstance(value, int):
        return integer(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 < exponent < 6:
        shown = f"{value:.{max(0, 2 - exponent)}f}"
        return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")
    return f"{value / 10.0**exponent:.1f}·{power_of_ten(exponent)}".replace("-", "−")


def signed(value: object) -> str:
    """Two decimals with a sign, no minus before a zero: `+0.31`, `−0.05`, `+0.00`."""
    number_ = float(str(value))
    if math.isnan(number_):
        return "–"
    return f"{round(number_, 2) + 0.0:+.2f}".replace("-", "−")


def p_value(value: object) -> str:
    """`p = 0.03`, `p < 0.001`; `–` where there was no test."""
    number_ = float(str(value))
    if math.isnan(number_):
        return "–"
    return "p < 0.001" if number_ < 0.001 else f"p = {number_:.2g}"


def condition_text(condition: Condition) -> str:
    """`signal ratio below −1.5 decades`."""
    unit = MEASURES[condition.measure].unit
    said = f"{spoken(condition.measure)} {spoken(condition.comparison)} {number(condition.threshold)}"
    return said if unit == "1" else f"{said} {unit}"


def power_of_ten(exponent: int) -> str:
    """`10⁻³`."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def listed(items: Sequence[str], most: int = 8) -> str:
    """`a, b and c`; beyond `most`, how many more there are."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def spoken(name: str) -> str:
    """A column's name as words: `learning_rate` as `learning rate`."""
    return name.replace("_", " ")
