"""Stacked weights: every variable of a stage once, with the blocks and the runs as leading axes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from bench.engine.blocks import Stage


@dataclass(frozen=True)
class LayerStack:
    """The variables of one layer of a block, each [blocks, runs, ...].

    The kernels of `affine` are what "the layer's weights" means in the tables. `shared` are kernels too that another
    layer's stack holds and trains.
    """

    affine: list[keras.Variable]
    response: list[keras.Variable]
    state: list[keras.Variable]
    shared: tuple[keras.Variable, ...] = ()

    @property
    def weights(self) -> dict[str, keras.Variable]:
        """The affine half's variables by their roles, see `roles`."""
        return dict(zip(roles(self.affine), self.affine, strict=True))

    @property
    def kernels(self) -> list[keras.Variable]:
        """What penalties and bounds apply to, and what is measured: every variable whose role is a kernel's."""
        return [*(variable for role, variable in self.weights.items() if is_kernel(role)), *self.shared]

    @property
    def kernel(self) -> keras.Variable:
        """The kernel of a layer that has one."""
        return self.weights["kernel"]

    @property
    def trainable(self) -> list[keras.Variable]:
        """What the optimizer updates."""
        return [*self.affine, *self.response]


def roles(variables: Sequence[keras.Variable]) -> list[str]:
    """What each variable of a layer is: the name that its Keras layer gave it; a second one of a name has a number.

    `kernel`, `recurrent_kernel` and whatever else ends with `kernel` (`kernel_2`) are kernels; `bias` is a bias.
    """
    found: list[str] = []
    for name in (variable.name for variable in variables):
        numbered = (f"{name}_{count}" for count in range(2, len(variables) + 2))
        found.append(name if name not in found else next(each for each in numbered if each not in found))
    return found


def kind_of_role(role: str) -> str:
    """A role without its number: `kernel` of `kernel_2`."""
    return re.sub(r"_[0-9]+$", "", role)


def is_kernel(role: str) -> bool:
    """Whether a role is a kernel's."""
    return kind_of_role(role).endswith("kernel")


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
