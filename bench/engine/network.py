"""A cohort's structure as ordinary Keras models, cut where gradients are tapped.

A network is a chain of stages and a head. A stage repeats one block; a block is one or more layers; a layer is
two models: `affine` (h to z) and `response` (z to what the layer passes on). The cut at z lets the backward pass
start from a saved z instead of computing it again, and it is where the pre-activation gradient is read. Equal
blocks share one traced loop body, so a deep cohort compiles as fast as a shallow one.

A new architecture is one file in `architectures/` with a function `build(structure, input_shape, classes)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import keras

from bench.engine.architectures import mlp
from bench.engine.blocks import Block, Layer, Stage
from bench.factors import Choice


@dataclass(frozen=True)
class Network:
    """The stages in order, and the head that maps the last h to logits."""

    stages: tuple[Stage, ...]
    head: keras.Model

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return sum(stage.count * len(stage.block.layers) for stage in self.stages)

    @cached_property
    def parameter_count(self) -> int:
        """Trainable numbers."""
        stages = sum(stage.count * stage.block.parameter_count for stage in self.stages)
        return stages + int(self.head.count_params())

    def layer_names(self) -> list[str]:
        """Names of the rows of `gradient_norms`: the hidden layers, then the head."""
        return [f"hidden_{index}" for index in range(self.depth)] + ["head"]


Build = Callable[[Mapping[str, Choice], tuple[int, ...], int], Network]


def build_network(structure: Mapping[str, Choice], input_shape: tuple[int, ...], classes: int) -> Network:
    """The network of a cohort's structure, for samples of `input_shape` and that many classes."""
    stages, head = ARCHITECTURES[structure["architecture"].name](structure, input_shape, classes)
    return Network(stages, head)


ARCHITECTURES = {"mlp": mlp.build}

__all__ = ["ARCHITECTURES", "Block", "Layer", "Network", "Stage", "build_network"]
