"""Python source laid out as people do: long lines broken at their brackets, and numbers side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

LONGEST = 100
INDENT = 4
OPENING, CLOSING = "([{", ")]}"
NUMBER = re.compile(r"(?:-?[\d.e+-]+|inf)(?:: ?-?[\d.e+-]+)?|\((?:-?[\d.e+-]+(?:, )?)+\)")


def call(name: str, *given: object, **named: object) -> str:
    """A call as it is written; arguments are source text, settings of other types are spelled."""
    words = [*map(str, given), *(f"{key}={value}" for key, value in named.items())]
    return f"{name}({', '.join(words)})"


def literal(value: object) -> str:
    """A value as Python spells it; text in double quotes."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    return repr(value)


def settings(values: Mapping[str, object]) -> dict[str, str]:
    """Named arguments for `call`."""
    return {name: literal(value) for name, value in values.items()}


def rows(values: Iterable[Sequence[object]]) -> str:
    """A list of numbers, or of tuples of them."""
    found = [tuple(map(literal, row)) for row in values]
    return "[" + ", ".join(row[0] if len(row) == 1 else f"({', '.join(row)})" for row in found) + "]"


def laid_out(source: str) -> str:
    """The source with no line longer than it may be, and at most two blank lines on end."""
    lines = [part for line in source.splitlines() for part in _broken(line.rstrip())]
    text = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).strip("\n"))
    return text + "\n"


def _broken(line: str) -> list[str]:
    """A line, or its parts where it is too long: what stands before a bracket, what stands in it, and what follows."""
    if len(line) <= LONGEST or line.lstrip().startswith("#"):
        return [line]
    spans = _outer_brackets(line)
    if not spans:
        return [line]
    start, end = spans[-1] if line[spans[-1][1] :].strip() in (CLOSING_ENDS) else max(spans, key=lambda s: s[1] - s[0])
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    indent = " " * (len(line) - len(line.lstrip()) + INDENT)
    if len(indent) + len(body) <= LONGEST and "for " not in head:
        return [head, indent + body, *_broken(" " * (len(indent) - INDENT) + tail)]
    items = _items(body)
    if all(NUMBER.fullmatch(item) for item in items):
        return [head, *_side_by_side(items, indent), " " * (len(indent) - INDENT) + tail]
    ends = "," if len(items) > 1 else ""
    parts = [part for item in items for part in _broken(f"{indent}{item}{ends}")]
    return [head, *parts, " " * (len(indent) - INDENT) + tail]


CLOSING_ENDS = (")", "]", "}", "):", "),", "],", "},")


def _outer_brackets(line: str) -> list[tuple[int, int]]:
    """Where the brackets that stand in no others open and close; those in a text count for nothing."""
    found: list[tuple[int, int]] = []
    opened: list[int] = []
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote and line[at - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and not opened:
            break
        elif letter in OPENING:
            opened.append(at)
        elif letter in CLOSING and opened:
            start = opened.pop()
            if not opened and at > start + 1:
                found.append((start, at))
    return found


def _items(body: str) -> list[str]:
    """What stands between the commas that are in no brackets."""
    found, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(body):
        if quote:
            quote = "" if letter == quote and body[at - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in OPENING + CLOSING:
            depth += 1 if letter in OPENING else -1
        elif letter == "," and not depth:
            found.append(body[start:at].strip())
            start = at + 1
    return [*found, *([last] if (last := body[start:].strip()) else [])]


def _side_by_side(items: Sequence[str], indent: str) -> list[str]:
    """Short items, as many a line as fit."""
    lines = [indent]
    for item in items:
        if len(lines[-1]) + len(item) + 2 > LONGEST and lines[-1] != indent:
            lines.append(indent)
        lines[-1] += ("" if lines[-1] == indent else " ") + item + ","
    return lines
