"""What two manifests say that differs: versions, machine, suite, data. Of two results it is the question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from bench.results.manifest import Manifest
from bench.rules.choice import FORMER

MOST_LINES = 6  # of a suite's file that are quoted
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Difference:
    """One thing that differs: its kind (versions, machine, suite or data), what it is, and both sides in words."""

    kind: str
    what: str
    base: str
    candidate: str


def made_by_former(manifest: Manifest) -> bool:
    """Whether results are of the time of the project's former name."""
    return FORMER in manifest.versions and "gradtrial" not in manifest.versions


def differences(base: Manifest, candidate: Manifest) -> tuple[Difference, ...]:
    """All that differs but times and command lines, versions first."""
    found = [
        *_by_key("versions", base.versions, candidate.versions),
        *_by_key("machine", base.machine, candidate.machine),
    ]
    for what in ("seed", "replicates", "kind"):
        one, two = getattr(base, what), getattr(candidate, what)
        if one != two:
            found.append(Difference("suite", what, str(one), str(two)))
    if base.text != candidate.text:
        removed, added = changed_lines(base.text, candidate.text)
        found.append(Difference("suite", "suite file", _quoted(removed), _quoted(added)))
    for what in ("verdicts", "report"):
        one, two = getattr(base, what), getattr(candidate, what)
        if one != two and base.text == candidate.text:
            found.append(Difference("suite", f"[{what}]", _words(one), _words(two)))
    found += _by_key("data", base.datasets, candidate.datasets)
    for what in ("incidents", "sources"):
        one, two = len(getattr(base, what)), len(getattr(candidate, what))
        if one or two:
            found.append(Difference("suite", what, str(one), str(two)))
    return tuple(found)


def changed_lines(base: str, candidate: str) -> tuple[list[str], list[str]]:
    """The lines of two texts that only the one has, and those that only the other has, without empty ones."""
    lines = list(unified_diff(base.splitlines(), candidate.splitlines(), n=0, lineterm=""))[2:]
    return tuple([each[1:].strip() for each in lines if each.startswith(mark) and each[1:].strip()] for mark in "-+")  # type: ignore[return-value]


def _by_key(kind: str, base: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Difference]:
    names = dict.fromkeys((*base, *candidate))
    return [
        Difference(kind, name.replace("_", " "), *(str(each.get(name, _UNKNOWN)) for each in (base, candidate)))
        for name in names
        if base.get(name) != candidate.get(name)
    ]


def _quoted(lines: list[str]) -> str:
    said = "; ".join(lines[:MOST_LINES])
    return said + (f"; {len(lines) - MOST_LINES} more lines" if len(lines) > MOST_LINES else "") if lines else "–"


def _words(value: Any) -> str:
    return "–" if value is None else ", ".join(f"{key} {each}" for key, each in dict(value).items())
