"""The largest full part of made-up grids, by hand and against every product of levels."""

from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pandas as pd
import pytest

from bench.analysis.full_part import largest_full_part

SQUARE = ["a1b1", "a1b2", "a2b1", "a2b2"]
CASES = {  # cells as levels of a, b and c where there are; the part's, and how many others are as large
    "all of it": (SQUARE, {"a": ["a1", "a2"], "b": ["b1", "b2"]}, 0),
    "a corner is missing": (SQUARE[:3], {"a": ["a1"], "b": ["b1", "b2"]}, 1),
    "a level of one cell is left": ([*SQUARE, "a3b1"], {"a": ["a1", "a2"], "b": ["b1", "b2"]}, 0),
    "one factor": (["a1", "a2", "a3"], {"a": ["a1", "a2", "a3"]}, 0),
    "a row is larger than a square": (
        [*SQUARE, *(f"a3b{k}" for k in range(1, 6))], {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}, 0
    ),
    "more factors break a tie": (
        ["a1b1", "a1b2", "a1b3", "a1b4", "a2b1", "a2b2"], {"a": ["a1", "a2"], "b": ["b1", "b2"]}, 1
    ),
    "cells added to a grid": (
        [*(f"{cell}c1" for cell in SQUARE), "a1b1c2"], {"a": ["a1", "a2"], "b": ["b1", "b2"], "c": ["c1"]}, 0
    ),
}  # fmt: skip


def judged(cells: list[str], replicates: int = 2) -> pd.DataFrame:
    rows = [
        {cell[k]: cell[k : k + 2] for k in range(0, len(cell), 2)} | {"replicate": r}
        for cell in cells for r in range(replicates)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("cells", "levels", "ties"), CASES.values(), ids=list(CASES))
def test_the_largest_full_part(cells: list[str], levels: dict[str, list[str]], ties: int) -> None:
    frame = judged(cells)
    part = largest_full_part(frame, list(levels))
    assert part is not None
    assert {name: list(found) for name, found in part.levels.items()} == levels
    assert len(part.runs) == 2 * np.prod([len(found) for found in levels.values()])
    assert (part.of, part.ties, part.whole) == (len(frame), ties, len(part.runs) == len(frame))
    assert part.varied == [name for name, found in levels.items() if len(found) > 1]


def test_a_cell_without_one_replicate_or_with_one_twice_is_no_part() -> None:
    frame = judged(SQUARE)
    for broken in (frame.drop(index=0), pd.concat([frame, frame.iloc[:1]])):
        part = largest_full_part(broken, ["a", "b"])
        assert part is not None
        assert (part.levels, part.ties) == ({"a": ("a1", "a2"), "b": ("b2",)}, 1)


def test_where_nothing_varies_there_is_no_part() -> None:
    assert largest_full_part(judged(["a1b1", "a2b2"]), ["a", "b"]) is None
    assert largest_full_part(judged([]).reindex(columns=["a", "replicate"]), ["a"]) is None
    assert largest_full_part(judged(SQUARE), []) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_product_of_levels_is_larger(seed: int) -> None:
    draw = np.random.default_rng(seed)
    cells = [cell for cell in product(range(3), range(4), range(3)) if draw.random() < 0.7]
    frame = pd.DataFrame(cells, columns=["a", "b", "c"]).assign(replicate=0)

    def subsets(n: int) -> list[tuple[int, ...]]:
        return list(chain.from_iterable(combinations(range(n), size) for size in range(1, n + 1)))

    held = set(cells)
    sizes = [
        len(a) * len(b) * len(c)
        for a, b, c in product(subsets(3), subsets(4), subsets(3))
        if held.issuperset(product(a, b, c))
    ]
    part = largest_full_part(frame, ["a", "b", "c"])
    assert part is not None
    assert len(part.runs) == max(sizes)
    assert part.ties == sizes.count(max(sizes)) - 1
