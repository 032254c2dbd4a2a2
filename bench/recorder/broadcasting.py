"""Whether a traced step sets targets of shape [rows] against answers of shape [rows, 1]: the result is [rows, rows]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

PAIRWISE = ("Sub", "SquaredDifference", "Mul", "AddV2", "RealDiv", "DivNoNan", "Maximum", "Minimum", "Pow", "Xdivy")


def broadcasts(targets: Iterable[Any], answers: Any) -> bool:
    """Whether an operation of the targets' graph takes both, with one axis between them.

    Each may have passed operations of one input, as a cast or a logarithm. False where there is no graph.
    """
    rows = {id(each) for each in targets if isinstance(each, tf.Tensor) and each.shape.rank == 1}
    given = [each for each in tf.nest.flatten(answers) if isinstance(each, tf.Tensor)]
    columns = {id(each): each for each in given if each.shape.rank == 2 and each.shape[1] == 1}
    if not rows or not columns or tf.executing_eagerly():
        return False
    graph = next(iter(columns.values())).graph
    for operation in graph.get_operations():
        if operation.type in PAIRWISE and sorted(each.shape.rank or 0 for each in operation.inputs) == [1, 2]:
            met = [_met(each, rows, columns) for each in operation.inputs]
            if sorted(met) == ["column", "rows"]:
                return True
    return False


def _met(tensor: Any, rows: Any, columns: Any) -> str:
    """Which of both a tensor was made of, by operations of one input each; "" for neither."""
    while True:
        if id(tensor) in rows:
            return "rows"
        if id(tensor) in columns:
            return "column"
        if len(tensor.op.inputs) != 1:
            return ""
        tensor = tensor.op.inputs[0]
