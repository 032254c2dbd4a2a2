"""Heads and positions of a layer become one number, from tables of which every row is known."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bench.analysis.claims.words import number_in_words
from bench.analysis.slices import sliced
from bench.errors import SuiteError
from bench.factors import kept_heads, kept_positions
from bench.quantities import Quantity
from bench.suite.claims.numbers import read_number

# Head k of layer 2b has 10 b + k; of a 3 x 3 image row 10, column 1 is added to the layer's number.
HEADS = pd.DataFrame(
    [{"run_id": "a", "step": 0, "layer_index": 2 * b, "head": k, "max_logit": 10.0 * b + k, "entropy": 1.0}
     for b in range(3) for k in range(4)]
)  # fmt: skip
PLACES = pd.DataFrame(
    [{"run_id": "a", "step": 0, "layer_index": layer, "row": i, "column": j, "mean_square": 100.0 * (layer + 1) + i + j}
     for layer in range(2) for i, j in kept_positions(3, 3)]
    + [{"run_id": "b", "step": 0, "layer_index": 0, "row": 0, "column": j, "mean_square": 1.0 + j} for j in range(5)]
)  # fmt: skip


def numbers(frame: pd.DataFrame, **keys: object) -> dict[tuple[str, int], float]:
    table = "attention" if "head" in frame else "positions"
    found = sliced(frame, read_number({"table": table} | keys))
    return {(row.run_id, row.layer_index): row.value for row in found.itertuples()}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [1.5, 11.5, 21.5]),
        ({"head": 3}, [3.0, 13.0, 23.0]),
        ({"head": "min"}, [0.0, 10.0, 20.0]),
        ({"head": "max", "transform": "square"}, [9.0, 169.0, 529.0]),
    ],
)
def test_heads_become_one_number_a_layer(keys: dict[str, object], expected: list[float]) -> None:
    found = numbers(HEADS, column="max_logit", **keys)
    assert list(found) == [("a", 0), ("a", 2), ("a", 4)]
    assert list(found.values()) == expected


@pytest.mark.parametrize(
    ("keys", "first", "sequence"),
    [
        ({}, 102.0, 3.0),
        ({"position": [0, 0]}, 100.0, 1.0),
        ({"position": [0, -1]}, 102.0, 5.0),
        ({"position": "corner"}, 102.0, 3.0),
        ({"position": "edge"}, 102.0, None),
        ({"position": "center"}, 102.0, 3.0),
        ({"position": [0, 0], "over_position": "center", "transform": "log10"}, np.log10(100 / 102), np.log10(1 / 3)),
    ],
)
def test_positions_become_one_number_a_layer(keys: dict[str, object], first: float, sequence: float | None) -> None:
    found = numbers(PLACES, column="mean_square", **keys)
    assert found["a", 0] == pytest.approx(first)
    assert found.get(("b", 0)) == (None if sequence is None else pytest.approx(sequence))


def test_words_say_which_head_and_where() -> None:
    said = {
        "max_logit (head 2)": {"column": "max_logit", "head": 2},
        "entropy (its lowest over heads)": {"column": "entropy", "head": "min"},
        "mean_square at row 0, column -1 over that at the center": {
            "column": "mean_square", "position": [0, -1], "over_position": "center",
        },
    }  # fmt: skip
    for words, keys in said.items():
        assert words in number_in_words(read_number(keys))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"column": "std", "head": 1}, "head: only attention has any, and std is in activations"),
        ({"column": "std", "position": "edge"}, "position: only positions has any, and std is in activations"),
        ({"column": "mean_square", "position": [1]}, "position: [1] is not [row, column]; of a sequence the row is 0."),
        ({"column": "mean_square", "over_position": "border"}, "over_position"),
        ({"column": "entropy", "head": -1}, "head"),
        ({"column": "entropy", "layers": "head"}, "layers: attention has no head, only hidden layers."),
    ],
)
def test_what_no_head_or_position_can_tell_is_refused(keys: dict[str, object], says: str) -> None:
    with pytest.raises(SuiteError, match=re.escape(says)):
        read_number(keys)


def test_a_gradient_of_a_position_is_meant_where_one_is_named() -> None:
    named = read_number({"column": "preactivation_grad_norm", "position": "corner"})
    assert isinstance(named, Quantity)
    assert (named.table, named.slice.place) == ("positions", "corner")
    assert read_number({"column": "preactivation_grad_norm"}).table == "gradient_norms"


@pytest.mark.parametrize(("rows", "columns"), [(1, 40), (1, 64), (1, 1000), (8, 8), (9, 16), (28, 28), (1, 1)])
def test_kept_positions_are_few_symmetric_and_hold_borders_and_middle(rows: int, columns: int) -> None:
    kept = kept_positions(rows, columns)
    assert len(set(kept)) == len(kept) <= 64
    assert {(rows - 1 - i, columns - 1 - j) for i, j in kept} == set(kept)
    assert {(0, 0), ((rows - 1) // 2, (columns - 1) // 2)} <= set(kept)
    assert len(kept) == rows * columns or rows * columns > 64


def test_heads_of_deep_and_wide_networks_are_thinned() -> None:
    assert kept_heads(3, 2) == ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1))
    kept = kept_heads(100, 64)
    assert len(kept) == 32 * 16
    assert {(0, 0), (99, 63)} <= set(kept)
