"""An architecture, its data and its task as somebody outside the project would write them.

Samples are grids [steps, channels] that stay grids; each layer sums two projections, one along either axis, so that it
has two kernels of different roles; what is learned is a value, not a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from bench.engine.blocks import Block, Layer, Network, Stage
from bench.factors import Choice

SHAPE = (6, 4)


class TwoWay(keras.layers.Layer):
    """z = W along channels of h, plus V along steps of it, plus a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.channels))
        self.step_kernel = self.add_weight(name="step_kernel", shape=(shape[-2], shape[-2], shape[-1], self.channels))
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")

    def call(self, h: Any) -> Any:
        across = keras.ops.einsum("btc,tucd->bud", h, self.step_kernel)
        return h @ self.kernel + across + self.bias


def build(structure: Mapping[str, Choice], input_shape: tuple[int, ...], outputs: int) -> Network:
    """As many layers as the depth says, each of as many channels as the width, and a head over the whole grid."""
    depth, width = int(structure["depth"].value or 0), int(structure["width"].value or 0)
    steps, channels = input_shape
    stages = [Stage(Block((_layer(steps, channels, width),)), 1)]
    if depth > 1:
        stages.append(Stage(Block((_layer(steps, width, width),)), depth - 1))
    h = keras.Input((steps, width))
    head = keras.Model(h, keras.layers.Dense(outputs)(keras.layers.Flatten()(h)))
    return Network(tuple(stages), head, flattens=False)


def _layer(steps: int, below: int, width: int) -> Layer:
    h, z = keras.Input((steps, below)), keras.Input((steps, width))
    activation = keras.layers.Activation("tanh")
    phi = activation(z)
    return Layer(keras.Model(h, TwoWay(width)(h)), keras.Model(z, [z, z, phi, phi, z]), activation)


def sums() -> tuple[np.ndarray, np.ndarray]:
    """Grids, and two values of each: weighted sums far from 0, as values are left as they come."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, *SHAPE))
    return x, 5.0 + np.stack([x[:, :2].sum(axis=(1, 2)), x[:, 2:].sum(axis=(1, 2))], axis=1) / 4.0


sums.kind = "values"  # type: ignore[attr-defined]
