"""Ordinary models of Keras's own layers with all their defaults, which a shipped suite trains by Keras's own step.

The engine draws kernels side by side and has loops of its own. What Keras changes in a whole layer, such as with which
fans attention draws its kernels, only a model like these can show.
"""

from __future__ import annotations

from typing import Any

import keras


def convolutional(structure: Any, input_shape: tuple[int, ...], outputs: int) -> keras.Model:
    """Convolutions with batch normalization, each of `width` filters, and a head on the average over positions."""
    inputs = keras.Input(input_shape)
    h = inputs
    for _ in range(structure.depth):
        h = keras.layers.Conv2D(structure.width, 3, padding="same")(h)
        h = keras.layers.ReLU()(keras.layers.BatchNormalization()(h))
    h = keras.layers.GlobalAveragePooling2D()(h)
    return keras.Model(inputs, keras.layers.Dense(outputs)(h))


def recurrent(structure: Any, input_shape: tuple[int, ...], outputs: int) -> keras.Model:
    """LSTM layers, a GRU above them, and a head on its last state."""
    inputs = keras.Input(input_shape)
    h = inputs
    for _ in range(structure.depth - 1):
        h = keras.layers.LSTM(structure.width, return_sequences=True)(h)
    return keras.Model(inputs, keras.layers.Dense(outputs)(keras.layers.GRU(structure.width)(h)))


def attending(structure: Any, input_shape: tuple[int, ...], outputs: int) -> keras.Model:
    """Pre-norm blocks of attention and feed-forward layers over a sequence, and a head on the average of its steps."""
    inputs = keras.Input(input_shape)
    places = keras.ops.cumsum(keras.ops.ones_like(inputs[:, :, 0], dtype="int32"), axis=1) - 1
    h = keras.layers.Dense(structure.width)(inputs)
    h = h + keras.layers.Embedding(input_shape[0], structure.width)(places)
    for _ in range(structure.depth):
        normalized = keras.layers.LayerNormalization()(h)
        attention = keras.layers.MultiHeadAttention(structure.heads, structure.width // structure.heads)
        h = h + attention(normalized, normalized)
        normalized = keras.layers.LayerNormalization()(h)
        inner = keras.layers.Dense(4 * structure.width, activation="gelu")(normalized)
        h = h + keras.layers.Dense(structure.width)(inner)
    h = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization()(h))
    return keras.Model(inputs, keras.layers.Dense(outputs)(h))


for _build in (convolutional, recurrent):
    _build.reads = ("depth", "width")  # type: ignore[attr-defined]
attending.reads = ("depth", "width", "heads")  # type: ignore[attr-defined]
