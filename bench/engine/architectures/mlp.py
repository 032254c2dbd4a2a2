"""The multilayer perceptron: dense layers, with normalization and skip connections.

Layer l computes z_l = W_l h + b_l, s_l = z_l (plus the stream, where a skip connection ends), u_l = norm(s_l)
and h_l = phi(u_l); with the normalization after the activation u_l = s_l and h_l = norm(phi(s_l)). The skip
connection thus runs over pre-activations: the identity path is clean, as in He et al. 2016b
(arXiv:1603.05027), and one block changes the stream by F = W phi(norm(s)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from bench.engine.activations import make_activation
from bench.engine.blocks import Block, Layer, Stage
from bench.engine.layers import BranchScale, WeightNormalizedDense
from bench.engine.targets import target_of
from bench.factors import Choice

Structure = Mapping[str, Choice]


def build(structure: Structure, input_shape: tuple[int, ...], classes: int) -> tuple[tuple[Stage, ...], keras.Model]:
    """A stem, blocks of equal layers, perhaps a shorter last block, and a linear head."""
    depth, width = _number(structure, "depth"), _number(structure, "width")
    stages = [Stage(_block(structure, math.prod(input_shape), width, layers=1, skip=False), 1)]
    skip = structure["skip"]
    layers = 1 if skip.is_none else int(skip.setting("layers"))
    whole, rest = divmod(depth - 1, layers)
    if whole:
        stages.append(Stage(_block(structure, width, width, layers, skip=not skip.is_none), whole))
    if rest:
        stages.append(Stage(_block(structure, width, width, rest, skip=not skip.is_none), 1))
    return tuple(stages), _dense(structure, width, classes, head=True)


def _number(structure: Structure, factor: str) -> int:
    return int(structure[factor].value or 0)


def _block(structure: Structure, fan_in: int, width: int, layers: int, *, skip: bool) -> Block:
    return Block(
        tuple(
            Layer(_dense(structure, fan_in, width), *_response(structure, width, skip=skip and index == layers - 1))
            for index in range(layers)
        )
    )


def _dense(structure: Structure, fan_in: int, units: int, *, head: bool = False) -> keras.Model:
    weight_normalized = structure["normalization"].name == "weight_normalization" and not head
    dense = WeightNormalizedDense if weight_normalized else keras.layers.Dense
    inputs = keras.Input((fan_in,))
    return keras.Model(inputs, dense(units)(inputs))


def _response(structure: Structure, width: int, *, skip: bool) -> tuple[keras.Model, keras.layers.Layer]:
    z = keras.Input((width,))
    inputs, s = [z], z
    if skip:
        stream = keras.Input((width,))
        inputs.append(stream)
        branch = BranchScale()(z) if structure["skip"].name == "residual_scaled" else z
        s = keras.layers.Add()([stream, branch])
    activation = make_activation(structure["activation"])
    normalize, position = _normalization(structure["normalization"])
    u = normalize(s) if position == "before" else s
    phi = activation(u)
    h = normalize(phi) if position == "after" else phi
    return keras.Model(inputs, [s, u, phi, h]), activation


def _normalization(choice: Choice) -> tuple[Any, str]:
    """The normalization layer and its position; ("", no layer) where there is none."""
    if choice.name in ("none", "weight_normalization"):
        return None, ""
    settings = dict(choice.settings)
    position = str(settings.pop("position", "before"))
    return target_of("normalization", choice)(**settings), position
