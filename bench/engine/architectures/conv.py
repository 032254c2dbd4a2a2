"""Convolutional networks: convolutions over sequences or images with normalization and skip connections, and a head.

Layer l computes z_l = W_l * h + b_l at every position; `bench.engine.response` has what it makes of that. All layers
have equally many filters, so that blocks at one size are equal, and one traced loop body stands for each size.

Images may be halved on their way, in front of a block: by its first convolution's stride, or by pooling what that
convolution reads. The stream that goes around the block is pooled the same way, or every second position of it taken,
as He et al. 2016 (arXiv:1512.03385) do without weights (their option A; filters stay equally many here).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from math import prod
from typing import Any

import keras

from bench.engine.blocks import Block, Layer, Network, Stage
from bench.engine.fitting import check_sample
from bench.engine.layers import CircularPadding
from bench.engine.precision import model_input
from bench.engine.response import FIXUP, Structure, before_layer, branch_of, is_known, make_response, number
from bench.errors import DataError
from bench.factors import Choice, halves_before, layers_of_blocks, misfit_in_space, sizes_of_layers

OF_BLOCK = (  # the factors that a block depends on
    "activation", "normalization", "skip", "width", "kernel_size", "padding", "downsample", "precision",
)  # fmt: skip
LAYERS = {  # by the axes of a sample's positions
    "convolution": {1: keras.layers.Conv1D, 2: keras.layers.Conv2D},
    "max_pool": {1: keras.layers.MaxPooling1D, 2: keras.layers.MaxPooling2D},
    "average_pool": {1: keras.layers.AveragePooling1D, 2: keras.layers.AveragePooling2D},
    "global_average": {1: keras.layers.GlobalAveragePooling1D, 2: keras.layers.GlobalAveragePooling2D},
}


def build(structure: Structure, input_shape: tuple[int, ...], outputs: int) -> Network:
    """A first layer, blocks of equal layers, perhaps a shorter last block, and a linear head.

    Raises:
        DataError: samples that are neither sequences nor images, or smaller than the kernel.
    """
    check_sample(structure["dataset"], input_shape, "conv")
    if misfit := misfit_in_space(structure, input_shape):
        raise DataError(f'dataset "{structure["dataset"].label}": {misfit}')
    depth, skip, layers = number(structure, "depth"), structure["skip"], layers_of_blocks(structure)
    downsample = structure["downsample"]
    every = 0 if downsample.is_none else int(downsample.setting("every"))
    blocks = 0 if skip.is_none else -(-(depth - 1) // layers)
    sizes = list(sizes_of_layers(structure, input_shape))
    stages = [Stage(_block(structure, input_shape, 1, 0, halves=False), 1)]
    alike = [
        ((*sizes[first - 1], number(structure, "width")), min(layers, depth - first), halves_before(first, every))
        for first in range(1, depth, layers)
    ]
    for (shape, count, halves), equal in groupby(alike):
        stages.append(Stage(_block(structure, shape, count, blocks, halves=halves), len(list(equal))))
    head = _head(structure, (*sizes[-1], number(structure, "width")), outputs)
    return Network(tuple(stages), head, flattens=False, positions=prod(input_shape[:-1]))


def _block(structure: Structure, shape: tuple[int, ...], layers: int, blocks: int, *, halves: bool) -> Block:
    """A block of so many layers that reads samples of a shape; a skip connection ends in it where there are `blocks`.

    Structures that differ in nothing that a block knows share it, and with it what was traced for its layers.
    """
    of_block = tuple((name, structure[name]) for name in OF_BLOCK)
    skip = structure["skip"].name
    told = (of_block, shape, layers, blocks if skip == "residual_damped" else min(blocks, 1), halves)
    return _shared_block(*told) if is_known(of_block) else _shared_block.__wrapped__(*told)


@lru_cache(maxsize=128)
def _shared_block(
    of_block: tuple[tuple[str, Choice], ...], shape: tuple[int, ...], layers: int, blocks: int, halves: bool
) -> Block:
    structure, made = dict(of_block), []
    branch = branch_of(structure["skip"], blocks) if blocks else None
    below = shape
    for index in range(layers):
        affine = _convolution(structure, below, halves=halves and not index, in_block=blocks > 0)
        below = tuple(affine.output_shape[1:])
        ends = branch if index == layers - 1 else None
        entering = (shape, lambda stream: _halved(structure["downsample"].name, stream)) if halves else None
        made.append(Layer(affine, *make_response(structure, below, ends, entering), convolves=True))
    return Block(tuple(made))


def _convolution(structure: Structure, shape: tuple[int, ...], *, halves: bool, in_block: bool) -> keras.Model:
    """From h [B, positions..., channels] to z, with every second position along each axis where it `halves`."""
    axes, kernel, downsample = len(shape) - 1, number(structure, "kernel_size"), structure["downsample"].name
    strided, circular = halves and downsample == "stride", structure["padding"].name == "circular"
    inputs = model_input(shape)
    h = before_layer(structure, inputs) if in_block else inputs
    if halves and not strided:
        h = _halved(downsample, h)
    if circular and kernel > 1:
        h = CircularPadding(kernel)(h)
    convolution = LAYERS["convolution"][axes](
        number(structure, "width"), kernel, strides=2 if strided else 1, padding="valid" if circular else "same",
        use_bias=structure["skip"].name != FIXUP,
    )  # fmt: skip
    return keras.Model(inputs, convolution(h))


def _halved(downsample: str, h: Any) -> Any:
    """Half the positions along each axis: of a pooling, or every second one."""
    axes = len(h.shape) - 2
    if downsample == "stride":  # a pool of one position: Keras's way to take every second
        return LAYERS["max_pool"][axes](1, strides=2)(h)
    return LAYERS[downsample][axes](2)(h)


def _head(structure: Structure, shape: tuple[int, ...], outputs: int) -> keras.Model:
    inputs = model_input(shape)
    flat = structure["head_pool"].name == "flatten"
    pool = keras.layers.Flatten() if flat else LAYERS["global_average"][len(shape) - 1]()
    return keras.Model(inputs, keras.layers.Dense(outputs)(before_layer(structure, pool(inputs))))
