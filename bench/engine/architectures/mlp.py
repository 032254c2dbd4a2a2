"""The multilayer perceptron: dense layers, with normalization and skip connections.

Layer l computes z_l = W_l h + b_l; `bench.engine.response` has what it makes of that.
"""

from __future__ import annotations

import math
from functools import lru_cache

import keras

from bench.engine.blocks import Block, Layer, Network, Stage
from bench.engine.layers import WeightNormalizedDense
from bench.engine.precision import model_input
from bench.engine.response import FIXUP, Structure, before_layer, branch_of, is_known, make_response, number
from bench.factors import Choice, layers_of_blocks

OF_BLOCK = ("activation", "normalization", "skip", "width", "precision")  # the factors that a block depends on


def build(structure: Structure, input_shape: tuple[int, ...], outputs: int) -> Network:
    """A stem, blocks of equal layers, perhaps a shorter last block, and a linear head."""
    depth, width = number(structure, "depth"), number(structure, "width")
    stages = [Stage(_block(structure, math.prod(input_shape), layers=1), 1)]
    skip, layers = structure["skip"], layers_of_blocks(structure)
    whole, rest = divmod(depth - 1, layers)
    blocks = 0 if skip.is_none else whole + bool(rest)
    if whole:
        stages.append(Stage(_block(structure, width, layers, blocks), whole))
    if rest:
        stages.append(Stage(_block(structure, width, rest, blocks), 1))
    return Network(tuple(stages), _dense(structure, width, outputs, head=True))


def _block(structure: Structure, fan_in: int, layers: int, blocks: int = 0) -> Block:
    """A block of so many layers; a skip connection ends in it where there are `blocks` that have one.

    Structures that differ in nothing that a block knows share it, and with it what was traced for its layers. What
    comes from outside is made anew: its name may stand for something else tomorrow.
    """
    of_block = tuple((name, structure[name]) for name in OF_BLOCK)
    skip = structure["skip"].name
    told = (of_block, fan_in, layers, blocks if skip == "residual_damped" else min(blocks, 1))
    return _shared_block(*told) if is_known(of_block) else _shared_block.__wrapped__(*told)


@lru_cache(maxsize=64)
def _shared_block(of_block: tuple[tuple[str, Choice], ...], fan_in: int, layers: int, blocks: int) -> Block:
    structure = dict(of_block)
    width, branch = number(structure, "width"), branch_of(structure["skip"], blocks) if blocks else None
    return Block(
        tuple(
            Layer(
                _dense(structure, fan_in, width, in_block=blocks > 0),
                *make_response(structure, (width,), branch if index == layers - 1 else None),
            )
            for index in range(layers)
        )
    )


def _dense(structure: Structure, fan_in: int, units: int, *, head: bool = False, in_block: bool = False) -> keras.Model:
    weight_normalized = structure["normalization"].name == "weight_normalization" and not head
    dense = WeightNormalizedDense if weight_normalized else keras.layers.Dense
    inputs = model_input((fan_in,))
    h = before_layer(structure, inputs) if head or in_block else inputs
    return keras.Model(inputs, dense(units, use_bias=head or structure["skip"].name != FIXUP)(h))
