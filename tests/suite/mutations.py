"""Suites altered in ways that people and accidents alter files, for the property tests."""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from bench.factors import FACTORS

MANY = int(os.environ.get("PROPERTY_EXAMPLES", "1"))  # times as many, from new seeds: PROPERTY_EXAMPLES=50 for an hour
SUITES = [path.read_text(encoding="utf-8") for path in sorted(Path("suites").glob("*.toml"))]
VERDICTS = '\n[verdicts]\nrules = ["gradtrial"]\nthresholds = { "outcome.learned_share" = 0.6 }\n'
TABLES = ("suite", "factors", "fixed", "record", "include", "exclude", "verdicts")
LEVELS = sorted({level.name for factor in FACTORS.values() for level in factor.levels} | {"a.b:c", "x.npz", "../x.npz"})
KEYS = [
    "level", "gain", "threshold", "name", "question", "replicates", "seed", "every", "at", "last", "rules",
    "thresholds", "outcome.learned_share",
]  # fmt: skip
WORDS = [*TABLES, *FACTORS, *LEVELS, *KEYS]
NUMBERS = [
    0, 1, -1, 2, 3, 1000, 2**31, 2**63, 10**30, 10**400, -(10**400), 0.5, -0.0, 1e-320, 1e308, math.inf, -math.inf,
    math.nan,
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "\x1b[31m", "a\nb", "[/bold]", "é" * 300, date(2026, 1, 1)]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def examples(count: int, few: int = 10) -> settings:
    """Settings for so many examples, or `few` in `make test`; from new seeds where more are asked for."""
    most = count if settings.get_current_profile_name() == "ci" else min(count, few)
    return settings(max_examples=most * MANY, derandomize=MANY == 1)


def as_toml(suite: dict[str, Any]) -> str:
    """A table as TOML, its tables inline."""
    return "".join(f"{_text(key)} = {_value(value)}\n" for key, value in suite.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def altered_tables(draw: st.DrawFn) -> str:
    """A shipped suite with keys taken away, renamed, moved or doubled, and values of other kinds."""
    text, verdicts = draw(st.sampled_from(SUITES)), draw(st.sampled_from(["", VERDICTS]))
    suite = tomllib.loads(text if "[verdicts]" in text else text + verdicts)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(suite))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        _alter(draw, holder, key, draw(st.sampled_from([h for h, _ in places])))
    return as_toml(suite)


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every table or list with each of its keys or positions."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(inner)


def _alter(draw: st.DrawFn, holder: Any, key: Any, other: Any) -> None:
    what = draw(st.sampled_from(["value", "value", "value", "delete", "rename", "double", "move", "wrap", "empty"]))
    old = holder[key]
    if what == "value":
        holder[key] = draw(values)
    elif what == "delete":
        del holder[key]
    elif what == "wrap":
        holder[key] = draw(st.sampled_from([[old], {"level": old}, [old, old]]))
    elif what == "empty":
        holder[key] = draw(st.sampled_from([[], {}, ""]))
    elif isinstance(holder, list):
        holder.append(old) if what == "double" else holder.reverse()
    else:
        new = draw(st.sampled_from(WORDS) | st.text(max_size=6))
        copy = json.loads(json.dumps(old, default=str))
        target = other if what == "move" and isinstance(other, dict) else holder
        target[new] = copy
        if what != "double" and key in holder and (target is not holder or new != key):
            del holder[key]


@st.composite
def altered_text(draw: st.DrawFn) -> bytes:
    """A shipped suite with lines and bytes taken away, doubled, swapped or replaced."""
    lines = (draw(st.sampled_from(SUITES)) + draw(st.sampled_from(["", VERDICTS]))).encode().splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        what = draw(st.sampled_from(["delete", "double", "swap", "bytes", "cut"]))
        if what == "delete":
            del lines[at]
        elif what == "double":
            lines.insert(other, lines[at])
        elif what == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        else:
            start = draw(st.integers(0, len(lines[at])))
            new = draw(st.binary(max_size=4)) if what == "bytes" else b""
            lines[at] = lines[at][:start] + new + lines[at][start + (1 if what == "bytes" else 200) :]
    return b"".join(lines)
