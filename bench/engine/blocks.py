"""The pieces a network is made of: layers, blocks and stages, each an ordinary Keras model or a group of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from bench.engine.layers import is_shared
from bench.factors import Choice


@dataclass(frozen=True)
class Layer:
    """One hidden layer in two halves.

    Attributes:
        affine: h of the layer below to z; holds the layer's kernel.
        response: z (and, at the end of a block with a skip connection, the stream) to five tensors: the
            pre-activation s (z, plus the stream where there is a skip), the input u of the activation, the
            activation phi(u), the h that the next layer reads, and what a later skip connection adds: s, or u
            where the path itself is normalized.
        activation: phi, elementwise; None of a layer without, which only a stage with a pass of its own may have.
        convolves: whether a unit is a filter, at many positions of a sample by the same weights: dead where it is at
            all of them. TensorFlow has no convolution with a kernel for each run, so runs take it one by one.

    In a stage with a pass of its own the halves only bring variables: they may be any Keras layers that are built.
    """

    affine: keras.layers.Layer
    response: keras.layers.Layer
    activation: keras.layers.Layer | None
    convolves: bool = False

    @property
    def takes_stream(self) -> bool:
        """Whether the skip connection is added in this layer."""
        return isinstance(self.response, keras.Model) and len(self.response.inputs) == 2


@dataclass(frozen=True)
class Block:
    """One or more layers; with a skip connection the last of them adds the block's incoming stream."""

    layers: tuple[Layer, ...]

    @property
    def models(self) -> tuple[keras.layers.Layer, ...]:
        """Its models in the order in which they compute."""
        return tuple(model for layer in self.layers for model in (layer.affine, layer.response))

    @property
    def skips(self) -> bool:
        """Whether the block has a skip connection."""
        return self.layers[-1].takes_stream

    @property
    def parameter_count(self) -> int:
        """Trainable numbers in one block."""
        return sum(int(keras.ops.size(v.value)) for model in self.models for v in model.trainable_variables)


@dataclass(frozen=True)
class Stage:
    """`count` blocks of one shape, one after the other, each with weights of its own.

    `own_pass` makes what takes all runs through the stage (`passes.Pass`), of the stage, its stacked weights and what
    its runs' levels say (`RunSettings`); None: layer by layer, each half as the Keras model that it is.
    """

    block: Block
    count: int
    own_pass: Callable[[Stage, list[Any], Any], Any] | None = None


@dataclass(frozen=True)
class Network:
    """The stages in order, and the head that maps the last h to the outputs.

    `flattens`: samples come as vectors; otherwise as they are. `length`: time steps of a sample that is a sequence.
    `positions`: of a sample at which layers have their units, more than once: 0 where there is one alone.
    `embeds`: tokens come as whole numbers; otherwise one-hot. `names`: of the hidden layers, where they have their own.
    `widest`: numbers of a time step that are held at once, where they are more than any layer's units.
    `tells_z`: whether the mean of (ln Z)^2 is recorded, Z the sum of the exponentials of the head's logits.
    """

    stages: tuple[Stage, ...]
    head: keras.Model
    flattens: bool = True
    length: int = 0
    positions: int = 0
    embeds: bool = False
    names: tuple[str, ...] = ()
    widest: int = 0
    tells_z: bool = False

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return sum(stage.count * len(stage.block.layers) for stage in self.stages)

    @cached_property
    def parameter_count(self) -> int:
        """Trainable numbers."""
        stages = sum(stage.count * stage.block.parameter_count for stage in self.stages)
        own = [variable for variable in self.head.trainable_variables if not is_shared(variable)]
        return stages + sum(int(keras.ops.size(variable.value)) for variable in own)

    def layer_names(self) -> list[str]:
        """Names of the rows of `gradient_norms`: the hidden layers, then the head."""
        return [*(self.names or (f"hidden_{index}" for index in range(self.depth))), "head"]


Build = Callable[[Mapping[str, Choice], tuple[int, ...], int], Network]
