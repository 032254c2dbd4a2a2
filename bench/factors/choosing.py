"""From what a suite writes for a level to a checked `Choice`, to its label in the tables, and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from bench.errors import SuiteError, during, nearest, printable
from bench.factors.base import MIXED, OWN, Choice, Factor, Level, Number, Scalar, Setting

MOST_SHOWN = 200  # characters of a value in a message
MOST_DIGITS = 50
PLUGIN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
LABEL = re.compile(r"([^()]+)\((.*)\)", re.DOTALL)
QUOTED = r'"(?:[^"\\]|\\.)*"'
SETTING = re.compile(rf"\s*({QUOTED}|[^=,]*)=\s*({QUOTED}|[^,]*)(?:,|$)", re.DOTALL)


def choose(factor: Factor, written: object) -> Choice:
    """The choice that `written` makes for a factor: a number, a level's name, or a table with `level` and settings.

    Raises:
        SuiteError: it is not one of the factor's values; the message says which are.
    """
    if factor.number is not None:
        value = _number(written, factor.number.kind, factor.number)
        name = "none" if value == factor.absent else _word(value)
        return Choice(name, value=value, label=_word(value))
    if isinstance(written, str):
        return _choose_level(factor, written, {})
    if isinstance(written, Mapping):
        settings = {str(name): value for name, value in written.items()}
        name = settings.pop("level", None)
        if isinstance(name, str):
            return _choose_level(factor, name, settings)
    known = _known(factor)
    example = factor.default if factor.default in known else known[0]
    raise SuiteError(
        f'{show(written)} is neither the name of a level nor a table such as {{ level = "{example}" }}. '
        f"{nearest(_as_word(written), known)}"
    )


def read_label(factor: Factor, label: object) -> Choice:
    """The choice that a table holds as `label`: the inverse of `Choice.column`, for every choice of every factor.

    Args:
        factor: whose column it is.
        label: a cell of that column. A number may be one of numpy's, a float that is whole, or text. Of recorded
            networks it may be `OWN` or `MIXED`, which no suite can write.

    Raises:
        SuiteError: it is not one of the factor's values, as `choose` says.
    """
    if factor.number is not None:
        value: object = label.item() if hasattr(label, "item") else label
        value = _scalar(value) if isinstance(value, str) else value
        if factor.number.kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        return choose(factor, value)
    if label in (OWN, MIXED):
        return Choice(str(label), label=str(label))
    if isinstance(label, str) and (found := LABEL.fullmatch(label.strip())):
        settings = {_text(key): _scalar(value) for key, value in SETTING.findall(found[2])}
        return choose(factor, {"level": found[1].strip(), **settings})
    return choose(factor, label)


def level_name(label: str) -> str:
    """The level in a label, without its settings: `elu` of `elu(alpha=0.5)`; a level need not be known."""
    found = LABEL.fullmatch(label.strip())
    return found[1].strip() if found else label


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
    if factor.level("npz") and re.search(r"/|\.\w+$", name):
        raise SuiteError(_no_file(factor, name, given))
    hint = ' Or "module:name" from outside the project.' if factor.plugins else ""
    raise SuiteError(f"{show(name)} is not a level. {nearest(_as_word(name), _known(factor))}{hint}")


def _known(factor: Factor) -> list[str]:
    """The levels that a suite may mean: not what networks have that do without the factor."""
    return [level.name for level in factor.levels if not level.elsewhere]


def _as_word(written: object) -> object:
    """What a level is called that a switch would mean: yes of true, no of false."""
    return {"true": "yes", "false": "no"}.get(str(written).lower(), written)


def _no_file(factor: Factor, name: str, given: Mapping[str, object]) -> str:
    """What is wrong with a path in the place of a dataset's level, and what would be right."""
    kind = {"csv": "csv", "tsv": "csv", "txt": "csv", "parquet": "parquet", "pq": "parquet"}.get(name.split(".")[-1])
    if kind is None or factor.level(kind) is None:
        return (
            f"{show(name)} is not a file that a local dataset is: .npz "
            "(np.savez(path, x_train=…, y_train=…, x_test=…, y_test=…) writes one), .csv or .parquet."
        )
    target = given.get("target", "…")
    table = {"level": kind, "path": name, "target": target} | ({"separator": "tab"} if name.endswith("tsv") else {})
    return f"{show(name)} is a table of columns, of which one is the target. Write {show(table)}."


def _resolve(level: Level, given: Mapping[str, object]) -> Choice:
    for name in given:
        if name not in level.settings:
            allowed = nearest(name, level.settings) if level.settings else f"{level.name} has none."
            raise SuiteError(f"{show(name)} is not a setting of {level.name}. {allowed}")
    settings = {name: _setting(level, name, given) for name in level.settings}
    changed = {name: value for name, value in settings.items() if value != level.settings[name].default}
    path = str(settings["path"]) if level.name == "npz" else ""
    label = path if path.endswith(".npz") and changed.keys() == {"path"} else _label(level.name, changed)
    unsaid = frozenset(name for name in settings if level.settings[name].later and name not in changed)
    return Choice(level.name, tuple(settings.items()), label=label, unsaid=unsaid)


def _setting(level: Level, name: str, given: Mapping[str, object]) -> Scalar:
    setting = level.settings[name]
    if name not in given:
        if setting.default == "":
            raise SuiteError(f"{level.name} needs its setting {name}: {setting.summary}")
        return setting.default
    with during(f"{name} of {level.name}:"):
        return _check(setting, given[name])


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
        return _number(written, float, setting)
    if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool):
        return _number(written, type(setting.default), setting)
    if type(written) is not type(setting.default) or written == "":
        raise SuiteError(f"{show(written)} is not a {'switch' if isinstance(setting.default, bool) else 'text'}.")
    return written


def _number(written: object, kind: type[int | float], limits: Number | Setting) -> int | float:
    if isinstance(written, bool) or not isinstance(written, (int, kind)):
        raise SuiteError(f"{show(written)} is not a {'whole number' if kind is int else 'number'}.")
    low, high = limits.minimum, limits.maximum
    bad_low = low is not None and (written <= low if limits.exclusive else written < low)
    bad_high = high is not None and written > high
    if bad_low or bad_high or not is_finite(written):
        raise SuiteError(f"{show(written)} is not allowed: it must be {_range(limits)}.")
    return kind(written)


def is_finite(number: int | float) -> bool:
    """Whether a number is one that a 64-bit float can hold: not NaN, not infinite, not a whole number beyond them."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _range(limits: Number | Setting) -> str:
    least = "above" if limits.exclusive else "at least"
    low = "" if limits.minimum is None else f"{least} {_word(limits.minimum)}"
    high = "" if limits.maximum is None else f"at most {_word(limits.maximum)}"
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
    return f"{name}({', '.join(f'{_quoted(key)}={_word(value)}' for key, value in settings.items())})"


def _word(value: Scalar) -> str:
    """A value as labels spell it: 5.0 as 5, true for True, a text that would be read as something else in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    plain = text and text == text.strip() and not set(text) & set(",='\"") and _scalar(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _scalar(word: str) -> Scalar:
    """A value from the word that stands for it in a label: a switch, a whole number, a number, or a text."""
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return _text(word)


def _text(word: str) -> str:
    return str(json.loads(word)) if re.fullmatch(QUOTED, word, re.DOTALL) else word.strip(" '")
