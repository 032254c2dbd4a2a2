"""The thresholds that turn measurements into verdicts, read from `thresholds.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Threshold:
    """One number with its unit, a sentence on its meaning and where it comes from."""

    value: float
    unit: str
    meaning: str
    source: str


@dataclass(frozen=True)
class Thresholds:
    """All of them; `dataclasses.replace` makes another set."""

    vanishing_warn: Threshold
    vanishing_severe: Threshold
    exploding_warn: Threshold
    exploding_severe: Threshold
    collapse: Threshold
    learned_share: Threshold

    def items(self) -> list[tuple[str, Threshold]]:
        """Name and threshold, in the file's order."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def read_thresholds(text: str) -> Thresholds:
    """Thresholds from the text of a TOML file in the form of `thresholds.toml`.

    Raises:
        TypeError: one is missing or unknown.
    """
    return Thresholds(**{name: Threshold(**given) for name, given in tomllib.loads(text).items()})


@cache
def default_thresholds() -> Thresholds:
    """The project's own set."""
    return read_thresholds(resources.files("bench.analysis").joinpath("thresholds.toml").read_text("utf-8"))
