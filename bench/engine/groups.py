"""What a measured step records of each group of a layer's parameters: kernels, biases, gains, and gate by gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bench.engine.clipping import Tensors, in_order, variable_norms
from bench.engine.ensemble import Ensemble
from bench.engine.kernels import total_norm
from bench.engine.stacks import kind_of_role
from bench.factors import BIAS, EMBEDDING, GAIN, KERNEL, PROJECTIONS, RECURRENT_KERNEL

GROUP_COLUMNS = ("grad_norm", "weight_norm", "update_norm", "second_moment_root")
# What a normalization multiplies by, as Keras and this project name it, and what a `query_key` learns.
GAINS = ("gain", "branch_gain", "gamma", "scale", "length")
GAINS_OF_HEADS = ("query_gain", "key_gain", "logit_gain", "query_kernel_gain", "key_kernel_gain")


@dataclass(frozen=True)
class Group:
    """A group of a stack of layers.

    Attributes:
        name: as the table has it.
        layers: the index of the layer in each block of the stack.
        parts: the ensemble's variables in it by their place, each with the block of its last axis that counts, and how
            many blocks that has.
    """

    name: str
    layers: tuple[int, ...]
    parts: tuple[tuple[int, int, int], ...]

    def of(self, tensors: Sequence[tf.Tensor]) -> Tensors:
        """What belongs to it of one tensor [N, R, ...] for each of the ensemble's variables."""
        return [tf.split(tensors[at], blocks, axis=-1)[block] for at, block, blocks in self.parts]


def groups_of(ensemble: Ensemble) -> list[Group]:
    """The groups of all layers, the head's last; a layer's in the order of `bench.factors.GROUPS`."""
    found, at, layer = [], 0, 0
    for stage, passing in zip(ensemble.stages, ensemble.passes, strict=True):
        for j, stack in enumerate(stage):
            indices = tuple(layer + j + block * len(stage) for block in range(passing.stage.count))
            found += _of_stack(at, stack.trainable, indices, getattr(passing, "gates", ()))
            at += len(stack.trainable)
        layer += passing.stage.count * len(stage)
    return found + _of_stack(at, ensemble.head.trainable, (layer,), ())


def group_rows(groups: Sequence[Group]) -> list[tuple[int, str, int]]:
    """Layer, name, and the row of `group_columns` it is, by layer."""
    told = [(layer, group.name) for group in groups for layer in group.layers]
    return [(*told[row], row) for row in sorted(range(len(told)), key=lambda row: told[row][0])]


def group_columns(
    groups: Sequence[Group], gradients: Tensors, before: Tensors, after: Tensors, moments: Tensors | None
) -> tf.Tensor:
    """`GROUP_COLUMNS` of each layer of each group, [rows, columns, R] in float64; NaN for a moment that is not there.

    Args:
        gradients: of the data loss, one for each of the ensemble's variables, [N, R, ...].
        before, after: the variables themselves, before and after the update.
        moments: their corrected second moments after it; None of an optimizer without.
    """
    changes = [new - old for new, old in zip(after, before, strict=True)]
    parts = [[group.of(tensors) for group in groups] for tensors in (gradients, before, changes)]
    norms = iter(variable_norms([tensor for kind in parts for group in kind for tensor in group]))
    columns = [[total_norm([next(norms) for _ in group]) for group in kind] for kind in parts]
    roots = [_mean_root(group.of(moments)) for group in groups] if moments else [n * math.nan for n in columns[0]]
    return tf.concat([tf.stack(each, axis=1) for each in zip(*columns, roots, strict=True)], axis=0)


def _mean_root(tensors: Tensors) -> tf.Tensor:
    """The mean root over all entries, [N, R]."""
    sums = [
        tf.reduce_sum(tf.cast(tf.sqrt(tensor), tf.float64), axis=list(range(2, len(tensor.shape))))
        for tensor in tensors
    ]
    return in_order(sums) / float(sum(math.prod(tensor.shape[2:]) for tensor in tensors))


def _of_stack(
    at: int, variables: Sequence[keras.Variable], layers: tuple[int, ...], gates: Sequence[str]
) -> list[Group]:
    members: dict[str, list[tuple[int, int, int]]] = {}
    for place, variable in enumerate(variables, at):
        name = _name(variable)
        if not name:
            continue
        members.setdefault(name, []).append((place, 0, 1))
        for block, gate in enumerate(gates if name != GAIN else ()):
            members.setdefault(gate, []).append((place, block, len(gates)))
    order = [KERNEL, RECURRENT_KERNEL, BIAS, GAIN, *gates, *PROJECTIONS, EMBEDDING]
    return [Group(name, layers, tuple(members[name])) for name in order if name in members]


def _name(variable: keras.Variable) -> str:
    """The group of a variable [N, R, ...]; empty where it is in none, such as the offset of a normalization."""
    role = kind_of_role(variable.name)
    if (projection := role.removesuffix("_kernel").removesuffix("_bias")) in PROJECTIONS:
        return projection
    if role.removesuffix("_bias").endswith(EMBEDDING):
        return EMBEDDING
    if role.endswith(KERNEL):
        return RECURRENT_KERNEL if role.endswith(RECURRENT_KERNEL) else KERNEL
    if role in GAINS_OF_HEADS or (role in GAINS and len(variable.shape) > 2):  # a branch's learned scale is one number
        return GAIN
    return BIAS if role == BIAS else ""
