"""Recurrent networks: stacked layers of one of Keras's cells over a sequence, and a dense head.

The head reads the last state, or, where the data ask for a class at each step, every state by the same weights. With
two directions a layer has as many units each way, and what reads it reads both.

Each layer is Keras's own (`SimpleRNN`, `LSTM`, `GRU`) as far as its variables go; `bench.engine.recurrence` takes all
runs through it at once. Its kernel, recurrent kernel and bias are those of Keras, gate by gate in Keras's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from bench.engine.activations import make_activation
from bench.engine.blocks import Block, Layer, Network, Stage
from bench.engine.fitting import answers_each, check_sample
from bench.engine.precision import model_input
from bench.engine.recurrence import CELLS, NormalizedWeights, Phi, RecurrentPass, Sides, both_ways
from bench.factors import Choice, directions_of, moments


def build(structure: Mapping[str, Choice], input_shape: tuple[int, ...], outputs: int) -> Network:
    """As many layers as the depth says, each of as many units as the width.

    Raises:
        DataError: samples that are no sequences, or answers at each step that are not one a step.
    """
    check_sample(structure["dataset"], input_shape, "recurrent")
    depth, width = (int(structure[name].value or 0) for name in ("depth", "width"))
    length = input_shape[0]
    each, units = answers_each(structure["dataset"], length, outputs, "recurrent networks")
    cell, ways = CELLS[structure["cell"].name], len(directions_of(structure))
    activation = make_activation(structure["activation"])
    phi = Phi(activation, structure["activation"].label)
    stages = []
    for index in range(depth):
        normalized = not structure["normalization"].is_none
        sides = [NormalizedWeights(cell, width) if normalized else cell.keras_layer(width) for _ in range(ways)]
        weights = sides[0] if ways == 1 else Sides(sides)
        last, first = index == depth - 1, index == 0
        own_pass: Any = partial(
            RecurrentPass, cell=cell, phi=phi, sequences=each or not last, reads_data=first,
            moments=moments(length, each=each, directions=directions_of(structure), last=last),
        )  # fmt: skip
        if ways == 2:
            own_pass = partial(both_ways, own_pass)
        weights.build((None, length, ways * width if index else input_shape[1]))
        stages.append(Stage(Block((Layer(weights, keras.layers.Identity(), activation),)), 1, own_pass))
    h = model_input((length, ways * width) if each else (ways * width,))
    answers = keras.layers.Dense(units)(h)
    head = keras.Model(h, keras.layers.Reshape((outputs,))(answers) if each else answers)
    return Network(tuple(stages), head, flattens=False, length=length)
