"""From what a suite writes for a level to a checked `Choice`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from bench.errors import SuiteError, nearest, printable
from bench.factors.base import Choice, Factor, Level, Scalar, Setting

MOST_SHOWN = 200  # characters of a value in a message
MOST_DIGITS = 50
PLUGIN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def choose(factor: Factor, written: object) -> Choice:
    """The choice that `written` makes for a factor: a number, a level's name, or a table with `level` and settings.

    Raises:
        SuiteError: it is not one of the factor's values; the message says which are.
    """
    if factor.number is not None:
        number = factor.number
        value = _number(written, number.kind, (number.minimum, number.exclusive, number.maximum))
        return Choice(_word(value), value=value, label=_word(value))
    if isinstance(written, str):
        return _choose_level(factor, written, {})
    if isinstance(written, Mapping):
        settings = {str(name): value for name, value in written.items()}
        name = settings.pop("level", None)
        if isinstance(name, str):
            return _choose_level(factor, name, settings)
    raise SuiteError(
        f'{show(written)} is neither the name of a level nor a table such as {{ level = "{factor.default}" }}.'
    )


def show(written: object) -> str:
    """A value as TOML spells it, for a message: what is long is cut, what would move a terminal's cursor escaped."""
    spelt = _spell(written)
    return spelt if len(spelt) <= MOST_SHOWN else f"{spelt[:MOST_SHOWN]}… ({len(spelt)} characters)"


def _spell(written: object) -> str:
    if isinstance(written, bool):
        return str(written).lower()
    if isinstance(written, str):
        return f'"{printable(written)}"'
    if isinstance(written, Mapping):
        return "{ " + ", ".join(f"{printable(str(key))} = {_spell(value)}" for key, value in written.items()) + " }"
    if isinstance(written, list):
        return "[" + ", ".join(_spell(value) for value in written) + "]"
    if isinstance(written, int) and abs(written) >= 10**MOST_DIGITS:
        return f"a number of more than {MOST_DIGITS} digits"  # Python refuses to spell the longest
    return str(written)


def _choose_level(factor: Factor, name: str, given: dict[str, object]) -> Choice:
    if name.endswith(".npz") and factor.level("npz") and not given:
        name, given = "npz", {"path": name}
    level = factor.level(name)
    if level is not None:
        return _resolve(level, given)
    if factor.plugins and re.fullmatch(PLUGIN, name):
        return _plugin(name, given)
    known = [level.name for level in factor.levels]
    hint = ' Or "module:name" from outside the project.' if factor.plugins else ""
    raise SuiteError(f"{show(name)} is not a level. {nearest(name, known)}{hint}")


def _resolve(level: Level, given: Mapping[str, object]) -> Choice:
    for name in given:
        if name not in level.settings:
            allowed = nearest(name, level.settings) if level.settings else f"{level.name} has none."
            raise SuiteError(f"{show(name)} is not a setting of {level.name}. {allowed}")
    settings = {name: _setting(level, name, given) for name in level.settings}
    changed = {name: value for name, value in settings.items() if value != level.settings[name].default}
    label = str(settings["path"]) if level.name == "npz" else _label(level.name, changed)
    return Choice(level.name, tuple(settings.items()), label=label)


def _setting(level: Level, name: str, given: Mapping[str, object]) -> Scalar:
    setting = level.settings[name]
    if name not in given:
        if setting.default == "":
            raise SuiteError(f"{level.name} needs its setting {name}: {setting.summary}")
        return setting.default
    try:
        return _check(setting, given[name])
    except SuiteError as error:
        raise SuiteError(f"{name} of {level.name}: {error}") from None


def _check(setting: Setting, written: object) -> Scalar:
    if setting.allowed:
        if written not in setting.allowed or isinstance(written, bool) is not isinstance(setting.default, bool):
            raise SuiteError(f"{show(written)} is not allowed. {nearest(written, setting.allowed)}")
        return type(setting.default)(written)
    if setting.or_number:
        if written == setting.default:
            return setting.default
        if isinstance(written, str):
            raise SuiteError(f"{show(written)} is neither {show(setting.default)} nor a number.")
        return _number(written, float, (setting.minimum, setting.exclusive, setting.maximum))
    if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool):
        return _number(written, type(setting.default), (setting.minimum, setting.exclusive, setting.maximum))
    if type(written) is not type(setting.default) or written == "":
        raise SuiteError(f"{show(written)} is not a {'switch' if isinstance(setting.default, bool) else 'text'}.")
    return written


def _number(written: object, kind: type[int | float], limits: tuple[float | None, bool, float | None]) -> int | float:
    if isinstance(written, bool) or not isinstance(written, (int, kind)):
        raise SuiteError(f"{show(written)} is not a {'whole number' if kind is int else 'number'}.")
    minimum, exclusive, maximum = limits
    bad_low = minimum is not None and (written <= minimum if exclusive else written < minimum)
    bad_high = maximum is not None and written > maximum
    if bad_low or bad_high or not is_finite(written):
        raise SuiteError(f"{show(written)} is not allowed: it must be {_range(limits)}.")
    return kind(written)


def is_finite(number: int | float) -> bool:
    """Whether a number is one that a 64-bit float can hold: not NaN, not infinite, not a whole number beyond them."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _range(limits: tuple[float | None, bool, float | None]) -> str:
    minimum, exclusive, maximum = limits
    low = "" if minimum is None else f"{'above' if exclusive else 'at least'} {_word(minimum)}"
    high = "" if maximum is None else f"at most {_word(maximum)}"
    return " and ".join(part for part in (low, high) if part) or "finite"


def _plugin(name: str, given: Mapping[str, object]) -> Choice:
    settings: dict[str, Scalar] = {}
    for key, value in sorted(given.items()):
        if not isinstance(value, (str, int, float)):
            raise SuiteError(f"{key} of {name}: {show(value)} is neither a number, a text nor a switch.")
        if not isinstance(value, str) and not is_finite(value):
            raise SuiteError(f"{key} of {name}: {show(value)} is not allowed: it must be finite.")
        settings[key] = value
    return Choice(name, tuple(settings.items()), label=_label(name, settings))


def _label(name: str, settings: Mapping[str, Scalar]) -> str:
    if not settings:
        return name
    return f"{name}({', '.join(f'{key}={_word(value)}' for key, value in settings.items())})"


def _word(value: Scalar) -> str:
    """A value as labels spell it: 5.0 as 5, true for True, everything else as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
