"""The network of somebody's own that the drills train: a function as a suite names it by `module:function`."""

from __future__ import annotations

from typing import Any

import keras


def build(structure: Any, input_shape: tuple[int, ...], outputs: int) -> keras.Model:
    """Dense layers with dropout between them, so that a step also moves variables that no optimizer knows."""
    inputs = keras.Input(input_shape)
    h = keras.layers.Flatten()(inputs)
    for index in range(structure.depth):
        h = keras.layers.Dense(structure.width, activation=structure.activation, name=f"dense_{index}")(h)
        h = keras.layers.Dropout(0.1, seed=index)(h)
    return keras.Model(inputs, keras.layers.Dense(outputs, name="logits")(h))


build.reads = ("depth", "width", "activation", "initializer")  # type: ignore[attr-defined]
