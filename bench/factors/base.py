"""The nouns of a suite: factors, their levels, a level's settings, and a choice of one level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Scalar = str | int | float | bool

# Levels that stand for what there is without their factor: names and keys of runs leave them out.
ABSENT = ("none", "forward", "auto", "float32")

# Words of recorded networks that no suite can write: what the project has no word for, and what differs by layer.
OWN, MIXED = "own", "mixed"


def absent_of(levels: Sequence[str]) -> str:
    """The absent treatment among a factor's labels, or the first of them."""
    return next((level for level in levels if level in ABSENT), levels[0])


class Place(StrEnum):
    """Where a factor lives while a cohort trains."""

    GRAPH = "graph"  # its levels need different graphs: one cohort each
    RUN = "run"  # its levels share a graph: one slice of the run axis each


@dataclass(frozen=True)
class Setting:
    """A number, word or switch that refines a level, e.g. an orthogonal initializer's `gain`.

    A setting whose default is the empty text must be given. With `or_number` the default is a word, and a number may
    be written in its place. One that came `later` than runs of its level is left out of their keys at its default.
    """

    default: Scalar
    summary: str
    minimum: float | None = None
    exclusive: bool = False  # the minimum itself is refused
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()
    or_number: bool = False
    later: bool = False


def above_zero(default: float, summary: str, *, later: bool = False) -> Setting:
    """A setting that is a number above 0."""
    return Setting(default, summary, minimum=0.0, exclusive=True, later=later)


@dataclass(frozen=True)
class Level:
    """One value of a catalogued factor.

    `target` names what the engine builds, as `module:attribute`; empty where the engine has its own
    function for the level. `settings` are passed to it by name, but for two: a normalization's `position`
    says where in the layer it stands, and random_uniform's `limit` gives both of Keras's bounds. One that is
    `elsewhere` stands for what networks without the factor have, which a suite of the others never writes. Keras has
    its target `since` a version, where older ones that the project runs on have not.
    """

    name: str
    summary: str
    source: str
    target: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    elsewhere: bool = False
    since: str = ""


@dataclass(frozen=True)
class Number:
    """The values a numeric factor may take."""

    kind: type[int | float]
    minimum: float
    exclusive: bool = False
    maximum: float | None = None


@dataclass(frozen=True)
class Factor:
    """A controlled input. Catalogued factors have `levels`; numeric ones have a `number`.

    A number that came `later` than runs, with a default that is what there was before, is left out of keys at that
    default, as levels in `ABSENT` are. At its `absent` number the network has no such thing, as at a level `none`.
    """

    name: str
    summary: str
    place: Place
    default: Scalar
    levels: tuple[Level, ...] = ()
    number: Number | None = None
    plugins: bool = False  # also takes `module:name` from outside the project
    later: bool = False
    absent: int | None = None

    def level(self, name: str) -> Level | None:
        """The level of that name, or None."""
        return next((level for level in self.levels if level.name == name), None)


@dataclass(frozen=True)
class Choice:
    """One level as a suite chose it: `name` with every setting resolved, or a number's `value`.

    `label` is how tables and pages spell it: `orthogonal(gain=1.5)`, with only the settings that differ
    from their defaults; for a number, the number. `digest` is that of a dataset's content that may be another
    elsewhere (`content_of`), once it was read. `unsaid` are the settings at a default that keys leave out
    (`Setting.later`).
    """

    name: str
    settings: tuple[tuple[str, Scalar], ...] = ()
    value: int | float | None = None
    label: str = ""
    digest: str = field(default="", compare=False)
    unsaid: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def is_none(self) -> bool:
        """Whether this is the absent treatment, which names and keys leave out."""
        return self.name in ABSENT

    @property
    def column(self) -> Scalar:
        """What the `runs` table holds for this choice."""
        return self.label if self.value is None else self.value

    @property
    def meaning(self) -> object:
        """What a run's key hashes: plain data, every setting resolved; of a local dataset its content, not its path.

        A setting that its level did not always have is there only where it departs from its default, which is what
        there was before: no run is renamed.
        """
        if self.value is not None:
            return self.value
        if self.digest:
            settings = {name: value for name, value in self.settings if name != "path" and name not in self.unsaid}
            return [self.name, settings | {"sha256": self.digest}]
        said = {name: value for name, value in self.settings if name not in self.unsaid}
        return [self.name, said] if said else self.name

    def setting(self, name: str) -> Scalar:
        """The resolved value of a setting.

        Raises:
            KeyError: the level has no such setting.
        """
        return dict(self.settings)[name]


# Factors, and a function of a level of each: why no network can have them together, and what it can; empty if it can.
Rule = tuple[tuple[str, ...], Callable[..., str]]


def nearest_divisors(count: int, of: int) -> str:
    """The next smaller and the next larger number that divides another, for a sentence."""
    fitting = [number for number in range(1, of + 1) if of % number == 0]
    near = [max((n for n in fitting if n < count), default=0), min((n for n in fitting if n > count), default=0)]
    return " or ".join(str(number) for number in near if number)
