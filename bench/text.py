"""Numbers, counts, shares, lists and durations as a reader sees them, each in one form wherever it stands.

Few digits, true minus signs, 10⁻⁵ and never 1e-05, nothing rounded into a falsehood.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

UNKNOWN = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def integer(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}".replace("-", "−")


def number(value: object, digits: int = 3) -> str:
    """That many significant digits, or as many as stand before the point; powers of ten from 10⁶ and below 10⁻³.

    `–` where nothing was measured; a word as it is.
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, numbers.Integral):
        return integer(int(value))
    if not isinstance(value, numbers.Real):
        return str(value)
    value = float(value) + 0.0  # no minus before a zero
    if not math.isfinite(value):
        return _not_finite(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if digits <= exponent < 6:
        shown = f"{value:,.0f}"
    elif -4 < exponent < digits:
        shown = _trimmed(f"{value:.{digits - 1 - exponent}f}")
    else:
        shown = _scientific(f"{value:.{digits - 1}e}")
    return shown.replace("-", "−")


def exactly(value: float) -> str:
    """A number with all of its digits, so that no two are spelled alike: 0.02, 64, 10⁻⁵."""
    short = f"{value:g}"
    return _scientific(short if float(short) == value else repr(value)).replace("-", "−")


def signed(value: object) -> str:
    """Two decimals with a sign, no minus before a zero: `+0.31`, `−0.05`, `+0.00`."""
    known = float(str(value))
    return UNKNOWN if math.isnan(known) else f"{round(known, 2) + 0.0:+.2f}".replace("-", "−")


def signed_range(lower: object, upper: object) -> str:
    """`−0.31 to +0.05`."""
    return f"{signed(lower)} to {signed(upper)}"


def decades(value: float) -> str:
    """A power of ten with its sign and one decimal: `−4.2`, `+0.3`, `−∞`."""
    if not math.isfinite(value):
        return _not_finite(value, "+")
    rounded = round(value, 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")


def power_of_ten(exponent: int) -> str:
    """`10⁻³`."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def percent(part: int, whole: int) -> str:
    """A share in whole percent; 0 % and 100 % only where it is exactly that."""
    if whole == 0:
        return UNKNOWN
    share = 100.0 * part / whole
    if part > 0 and share < 1.0:
        return "<1 %"
    return ">99 %" if part < whole and share > 99.0 else f"{share:.0f} %"


def share_interval(lower: float, upper: float, digits: int = 0) -> str:
    """The bounds of a share in percent: `80–90 %`."""
    return f"{100 * lower:.{digits}f}–{100 * upper:.{digits}f} %"


def of(part: int, whole: int, noun: str = "") -> str:
    """`412 of 648`; with a noun `412 of 648 runs`, `0 of 1 run`."""
    return f"{integer(part)} of {plural(whole, noun) if noun else integer(whole)}"


def region(low: float, high: float) -> str:
    """`≥ 0.3`, `≤ 0.1`, or `0.1 to 0.4`: what lies between two edges, one of which may be infinite."""
    if math.isinf(low) or math.isinf(high):
        return f"≤ {number(high)}" if math.isinf(low) else f"≥ {number(low)}"
    return f"{number(low)} to {number(high)}"


def span(low: int, high: int, to: str = "–") -> str:
    """`12`, or `12–40`."""
    return integer(low) if low == high else f"{integer(low)}{to}{integer(high)}"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{integer(count)} {noun}{'' if count == 1 else 's'}"


def p_value(value: object) -> str:
    """`p = 0.03`, `p < 0.001`; `–` where there was no test."""
    known = float(str(value))
    if math.isnan(known):
        return UNKNOWN
    return "p < 0.001" if known < 0.001 else f"p = {known:.2g}"


def duration(seconds: float) -> str:
    """Seconds as people say them: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def listed(items: Sequence[str], most: int = 8) -> str:
    """`a, b and c`; beyond `most`, how many more there are."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def spoken(name: str) -> str:
    """A column's name as words: `learning_rate` as `learning rate`."""
    return name.replace("_", " ")


def shortened(text: str, most: int) -> str:
    """At most that many characters, with an ellipsis where something is left out."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def ratio(value: float, digits: int = 2) -> str:
    """How many times as much or as little: `× 12`, `÷ 30,000`; two digits."""
    if not math.isfinite(value) or value <= 0.0:
        return UNKNOWN
    more = float(f"{max(value, 1.0 / value):.{digits - 1}e}")
    return f"{'÷' if value < 1.0 else '×'} {number(more, digits)}"


def sentence(text: str) -> str:
    """With a capital first and a full stop last."""
    return (text[:1].upper() + text[1:]).rstrip(".") + "." if text else ""


def _not_finite(value: float, plus: str = "") -> str:
    if math.isnan(value):
        return UNKNOWN
    return f"{plus}∞" if value > 0 else "−∞"


def _scientific(written: str) -> str:
    """`2.50e-05` as `2.5·10⁻⁵` and `1e-05` as `10⁻⁵`; what has no exponent as it is."""
    mantissa, _, exponent = written.partition("e")
    if not exponent:
        return written
    mantissa, power = _trimmed(mantissa), power_of_ten(int(exponent))
    return mantissa.replace("1", power) if mantissa in ("1", "-1") else f"{mantissa}·{power}"


def _trimmed(decimal: str) -> str:
    """Without the zeros that end a fraction."""
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
