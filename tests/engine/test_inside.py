"""Which heads and positions of what passes tell become rows, and that each row has its own numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bench.engine.inside import ATTENTION_COLUMNS, heads_of, positions_of
from bench.engine.passes import StageGradients

RUNS = 2


def fake(count: int, layers: int = 1, **told: Any) -> Any:
    """A pass through so many blocks of so many layers."""
    return SimpleNamespace(stage=SimpleNamespace(count=count, block=SimpleNamespace(layers=[None] * layers)), **told)


def numbered(*shape: int) -> tf.Tensor:
    return tf.reshape(tf.range(np.prod(shape), dtype=tf.float32), shape)


def test_heads_have_the_layers_of_their_sublayers() -> None:
    found = heads_of([fake(1), fake(2, 2, heads=3, attended=(0, 2))])
    assert found.rows == tuple((layer, head) for layer in (1, 3) for head in range(3))
    told = numbered(2, 3, len(ATTENTION_COLUMNS), RUNS)
    rows = found.gather([StageGradients([], []), StageGradients([], [], attention=told)])
    np.testing.assert_array_equal(rows, tf.reshape(told, rows.shape))
    assert rows.dtype == tf.float64
    assert found.gather([StageGradients([], [])]) is None


@pytest.mark.parametrize(("sizes", "most"), [([(4, 4), (2, 2)], 16), ([(20, 20), (10, 10)], 64)])
def test_positions_are_those_of_each_stage(sizes: list[tuple[int, int]], most: int) -> None:
    found = positions_of([fake(2, places=size) for size in sizes] + [fake(1)])
    told = [numbered(2, rows * columns, 2, RUNS) + 1e4 * k for k, (rows, columns) in enumerate(sizes)]
    stages = [StageGradients([], [], positions=each) for each in told] + [StageGradients([], [])]
    gathered = found.gather(stages)
    assert gathered is not None
    for (layer, row, column), numbers in zip(found.rows, gathered.numpy(), strict=True):
        stage = layer // 2
        np.testing.assert_array_equal(numbers, told[stage][layer % 2, row * sizes[stage][1] + column])
    assert {layer for layer, *_ in found.rows} == {0, 1, 2, 3}
    assert sum(layer == 0 for layer, *_ in found.rows) == most
    assert positions_of([fake(3)]).rows == ()
