"""What to avoid: the ways to fail in words, with links to their runs; where no level is to blame, what went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from bench.analysis.avoided import WAYS, Way
from bench.report.blocks import Table
from bench.report.headline import Words, treatment
from bench.report.sections.why import ID as CAUSES
from bench.report.sections.why import IN_TIME, Why, with_article
from bench.text import listed, number, of


@dataclass(frozen=True)
class Avoided:
    """A way to fail: its levels, and what became of the runs."""

    name: str
    said: str
    link: str = ""  # to its runs in the explorer, or to the causes


def avoided(ways: Sequence[Way], words: Words) -> tuple[Avoided, ...]:
    """The ways to fail."""
    return tuple(Avoided(words_of(way, words), _became(way), _runs_of(way)) for way in ways)


def went_wrong(why: Sequence[Why]) -> tuple[Avoided, ...]:
    """The commonest causes, where every level fails alike and none is to blame."""
    found = []
    for each in why[:WAYS]:
        seen = f"; for example {each.example}" if each.example else ""
        said = f"{of(each.runs, each.lost, 'run')} that did not learn{seen}."
        found.append(Avoided(each.cause.capitalize(), said, f"#{CAUSES}"))
    return tuple(found)


def words_of(way: Way, words: Words) -> str:
    """`relu or gelu at 32 layers without a skip connection`."""
    head = ""
    given: list[str] = []
    without: list[str] = []
    for factor, levels in way.terms:
        said = " or ".join(words.level(factor, each) for each in levels)
        if factor == words.found.ask:
            head = said
        elif levels == ("none",):
            without.append("a skip connection" if factor == "skip" else treatment(factor))
        else:
            given.append(said)
    parts = [head or "Any network", _depths(way.depths, words)]
    parts += [f"with {' and '.join(given)}"] if given else []
    parts += [f"without {' or '.join(without)}"] if without else []
    return " ".join(part for part in parts if part)


def _depths(some: Sequence[str], words: Words) -> str:
    known = words.found.depths
    if not some:
        return ""
    if len(some) > 1 and list(some) == list(known[len(known) - len(some) :]):
        return f"beyond {words.depth(known[len(known) - len(some) - 1])}"
    if len(some) > 1 and list(some) == list(known[: len(some)]):
        return f"up to {words.depth(some[-1])}"
    return f"at {listed([*some[:-1], words.depth(some[-1])])}"


def _became(way: Way) -> str:
    """Counts, mechanism and where it was seen."""
    where = [f"step {number(way.step)}"] if not math.isnan(way.step) else []
    where += [way.layer] if way.layer else []
    seen = f"; {', '.join(where)}" if where else ""
    mechanism = with_article(way.mechanism) if way.mechanism in IN_TIME else way.mechanism
    return f"{of(way.trained, way.runs, 'run')} trained; mostly {mechanism} ({of(way.shown, way.lost)}{seen})."


def _runs_of(way: Way) -> str:
    """`#where=activation:relu|gelu;depth:32`, which the explorer follows."""
    terms = [*way.terms, *([("depth", way.depths)] if way.depths and way.depths != ("",) else [])]
    return "#where=" + ";".join(f"{name}:{'|'.join(quote(level, '') for level in levels)}" for name, levels in terms)


def avoided_table(ways: Sequence[Way], words: Words) -> Table | None:
    """The same with all numbers."""
    rows = []
    for way in ways:
        counts = of(way.trained, way.runs), way.mechanism, of(way.shown, way.lost)
        rows.append((words_of(way, words), *counts, number(way.step), way.layer.removeprefix("layer ") or "–"))
    columns = ("with", "trained", "commonest cause", "in", "median step", "commonest layer")
    note = "The rule: docs/rules.md, What to avoid."
    return Table("The commonest ways to fail", columns, tuple(rows), (1, 3, 4, 5), note) if rows else None
