"""What the sides of a part are called."""

from __future__ import annotations

from bench.analysis.claims.words import cells_in_words
from bench.suite.claims import Part


def sides_in_words(part: Part) -> tuple[str, ...]:
    """The side that a part is about, then the other, if any: each by what tells it from the other."""
    if part.against is None:
        return (cells_in_words(part.of),)
    shared = {name for name, levels in part.of.items() if part.against.get(name) == levels}
    sides = ({k: v for k, v in side.items() if k not in shared} for side in (part.of, part.against))
    return tuple(map(cells_in_words, sides))
