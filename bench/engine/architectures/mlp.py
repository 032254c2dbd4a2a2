"""The multilayer perceptron: dense layers, with normalization and skip connections.

Layer l computes z_l = W_l h + b_l, s_l = z_l (plus the stream, where a skip connection ends), u_l = norm(s_l)
and h_l = phi(u_l); with the normalization after the activation u_l = s_l and h_l = norm(phi(s_l)). The skip
connection thus runs over pre-activations: the identity path is clean, as in He et al. 2016b
(arXiv:1603.05027), and one block changes the stream by F = W phi(norm(s)). With `residual_post_norm` the stream is
u_l instead of s_l: s_{l+1} = u_l + W phi(u_l), the order of Vaswani et al. 2017 (arXiv:1706.03762).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import keras

from bench.engine.activations import make_activation
from bench.engine.blocks import Block, Layer, Network, Stage
from bench.engine.layers import BranchScale, WeightNormalizedDense
from bench.engine.targets import target_of
from bench.factors import FACTORS, Choice

Structure = Mapping[str, Choice]
Branch = Callable[[Any], Any]
OF_BLOCK = ("activation", "normalization", "skip", "width")  # the factors that a block depends on


def build(structure: Structure, input_shape: tuple[int, ...], outputs: int) -> Network:
    """A stem, blocks of equal layers, perhaps a shorter last block, and a linear head."""
    depth, width = _number(structure, "depth"), _number(structure, "width")
    stages = [Stage(_block(structure, math.prod(input_shape), layers=1), 1)]
    skip = structure["skip"]
    layers = 1 if skip.is_none else int(skip.setting("layers"))
    whole, rest = divmod(depth - 1, layers)
    blocks = 0 if skip.is_none else whole + bool(rest)
    if whole:
        stages.append(Stage(_block(structure, width, layers, blocks), whole))
    if rest:
        stages.append(Stage(_block(structure, width, rest, blocks), 1))
    return Network(tuple(stages), _dense(structure, width, outputs, head=True))


def _branch(skip: Choice, blocks: int) -> Branch:
    """What multiplies the output of each of so many blocks before the skip connection adds it."""
    if skip.name == "residual_scaled":
        return lambda z: BranchScale()(z)
    if skip.name == "residual_damped":
        factor = float(skip.setting("scale")) / blocks ** float(skip.setting("exponent"))
        return lambda z: keras.layers.Rescaling(factor)(z)
    return lambda z: z


def _number(structure: Structure, factor: str) -> int:
    return int(structure[factor].value or 0)


def _block(structure: Structure, fan_in: int, layers: int, blocks: int = 0) -> Block:
    """A block of so many layers; a skip connection ends in it where there are `blocks` that have one.

    Structures that differ in nothing that a block knows share it, and with it what was traced for its layers. What
    comes from outside is made anew: its name may stand for something else tomorrow.
    """
    of_block = tuple((name, structure[name]) for name in OF_BLOCK)
    skip = structure["skip"].name
    told = (of_block, fan_in, layers, blocks if skip == "residual_damped" else min(blocks, 1))
    known = all(choice.value is not None or FACTORS[name].level(choice.name) for name, choice in of_block)
    return _shared_block(*told) if known else _shared_block.__wrapped__(*told)


@lru_cache(maxsize=64)
def _shared_block(of_block: tuple[tuple[str, Choice], ...], fan_in: int, layers: int, blocks: int) -> Block:
    structure = dict(of_block)
    width, branch = _number(structure, "width"), _branch(structure["skip"], blocks) if blocks else None
    return Block(
        tuple(
            Layer(_dense(structure, fan_in, width), *_response(structure, branch if index == layers - 1 else None))
            for index in range(layers)
        )
    )


def _dense(structure: Structure, fan_in: int, units: int, *, head: bool = False) -> keras.Model:
    weight_normalized = structure["normalization"].name == "weight_normalization" and not head
    dense = WeightNormalizedDense if weight_normalized else keras.layers.Dense
    inputs = keras.Input((fan_in,))
    return keras.Model(inputs, dense(units)(inputs))


def _response(structure: Structure, branch: Branch | None) -> tuple[keras.Model, keras.layers.Layer]:
    """From z, and the stream where a branch ends, to (s, u, phi, h, what leaves as the stream)."""
    z = keras.Input((_number(structure, "width"),))
    inputs, s = [z], z
    if branch is not None:
        stream = keras.Input(z.shape[1:])
        inputs.append(stream)
        s = keras.layers.Add()([stream, branch(z)])
    activation = make_activation(structure["activation"])
    normalize, position = _normalization(structure["normalization"])
    u = normalize(s) if position == "before" else s
    phi = activation(u)
    h = normalize(phi) if position == "after" else phi
    leaving = u if structure["skip"].name == "residual_post_norm" else s
    return keras.Model(inputs, [s, u, phi, h, leaving]), activation


def _normalization(choice: Choice) -> tuple[Any, str]:
    """The normalization layer and its position; ("", no layer) where there is none."""
    if choice.name in ("none", "weight_normalization"):
        return None, ""
    settings = dict(choice.settings)
    position = str(settings.pop("position", "before"))
    return target_of("normalization", choice)(**settings), position
