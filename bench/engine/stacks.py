"""Stacked weights: every variable of a stage once, with the blocks and the runs as leading axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from bench.engine.blocks import Stage


@dataclass(frozen=True)
class LayerStack:
    """The variables of one layer of a block, each [blocks, runs, ...].

    The kernel comes first in `affine`; it is what "the layer's weights" means in the tables.
    """

    affine: list[keras.Variable]
    response: list[keras.Variable]
    state: list[keras.Variable]

    @property
    def kernel(self) -> keras.Variable:
        """The layer's kernel."""
        return self.affine[0]

    @property
    def trainable(self) -> list[keras.Variable]:
        """What the optimizer updates."""
        return [*self.affine, *self.response]


def stack(prototypes: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> list[keras.Variable]:
    """Stacked variables with the names of their prototypes and these values."""
    return [
        keras.Variable(value, dtype=prototype.dtype, trainable=prototype.trainable, name=prototype.name)
        for prototype, value in zip(prototypes, values, strict=True)
    ]


def repeated(prototypes: Sequence[keras.Variable], blocks: int, runs: int) -> list[np.ndarray]:
    """Keras's own start of each variable, the same in every block and run."""
    return [np.broadcast_to(v.numpy(), (blocks, runs, *v.shape)).copy() for v in prototypes]


def stack_stage(stage: Stage, affine_values: Sequence[Sequence[np.ndarray]], runs: int) -> list[LayerStack]:
    """One `LayerStack` for each layer of the stage's block.

    Args:
        affine_values: for each layer of the block, the starts of its affine model's variables, [blocks, runs, ...].
    """
    stacks = []
    for layer, values in zip(stage.block.layers, affine_values, strict=True):
        response = layer.response
        stacks.append(
            LayerStack(
                stack(layer.affine.trainable_variables, values),
                stack(response.trainable_variables, repeated(response.trainable_variables, stage.count, runs)),
                stack(response.non_trainable_variables, repeated(response.non_trainable_variables, stage.count, runs)),
            )
        )
    return stacks
