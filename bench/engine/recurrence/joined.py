"""A recurrent layer's weights as one matrix a run, so that a time step is one product: [x_t, 1, h_{t-1}] J = z.

Shapes: R runs, n units; J is [R, features + 1 + n, n x blocks of z], see `Cell.blocks`.
"""

from __future__ import annotations

import tensorflow as tf

from bench.engine.recurrence.cells import Cell
from bench.engine.stacks import LayerStack


def join(cell: Cell, stack: LayerStack) -> tf.Tensor:
    """J of Keras's kernel [R, features, g n], recurrent kernel [R, n, g n] and bias [R, g n] (GRU: two rows of it)."""
    kernel, recurrent, bias = (stack.weights[role].value[0] for role in ("kernel", "recurrent_kernel", "bias"))
    second = bias[:, 1, None] if len(bias.shape) == 3 else tf.zeros_like(bias)[:, None]
    first = bias[:, 0, None] if len(bias.shape) == 3 else bias[:, None]
    outer = tf.concat([kernel, first], axis=1)
    inner = tf.concat([second, recurrent], axis=1)
    outer = _columns(outer, cell, [block[0] for block in cell.blocks])
    inner = _columns(inner, cell, [block[1] for block in cell.blocks])
    return tf.concat([outer[:, :-1], outer[:, -1:] + inner[:, :1], inner[:, 1:]], axis=1)


def part(cell: Cell, stack: LayerStack, gradient: tf.Tensor, of_norm: tf.Tensor | None = None) -> list[tf.Tensor]:
    """From the gradient for J to those for kernel, recurrent kernel and bias, before them that for a gain.

    Args:
        of_norm: where J's product is normalized, the gradients for gain and offset, which is the bias, [R, 2, ...].
    """
    features = stack.weights["kernel"].shape[2]
    if of_norm is not None:
        gradient = tf.concat([gradient[:, :features], of_norm[:, 1:], gradient[:, features + 1 :]], axis=1)
    blocks = tf.split(gradient, len(cell.blocks), axis=-1)
    sides = [[block[side] for block in cell.blocks] for side in (0, 1)]
    outer, inner = (tf.concat([blocks[side.index(gate)] for gate in range(cell.gates)], axis=-1) for side in sides)
    biases = [outer[:, features], inner[:, features]]
    bias = tf.stack(biases, axis=1) if len(stack.weights["bias"].shape) == 4 else biases[0]
    gain = [] if of_norm is None else [of_norm[:, 0]]
    return [*gain, outer[:, :features], inner[:, features + 1 :], bias]


def _columns(matrix: tf.Tensor, cell: Cell, gates: list[int | None]) -> tf.Tensor:
    """The gates' columns in this order, zeros where a block has none of them."""
    if gates == list(range(cell.gates)):
        return matrix
    found = tf.split(matrix, cell.gates, axis=-1)
    return tf.concat([tf.zeros_like(found[0]) if gate is None else found[gate] for gate in gates], axis=-1)
