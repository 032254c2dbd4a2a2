"""The reference for convolutional networks: one as a plain Keras model of Keras's own layers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tests.engine.lone import Lone

LAYERS = {
    3: (keras.layers.Conv1D, keras.layers.GlobalAveragePooling1D),
    4: (keras.layers.Conv2D, keras.layers.GlobalAveragePooling2D),
}
POOLS = {
    "max_pool": (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D),
    "average_pool": (keras.layers.AveragePooling1D, keras.layers.AveragePooling2D),
}


class LoneConv(Lone):
    """One run's convolutional network and optimizer."""

    strides = 1
    rank = 0

    def _before(self, index: int, h: Any, stream: Any) -> tuple[Any, Any]:
        self.rank = len(h.shape)
        downsample, every = self.choices["downsample"].name, self._settings("downsample").get("every", 0)
        halves = every and index > 1 and (index - 1) % every == 0
        self.strides = 2 if halves and downsample == "stride" else 1
        if not halves:
            return h, stream
        if downsample == "stride":
            every_second = (slice(None), *[slice(None, None, 2)] * (self.rank - 2))
            return h, None if stream is None else stream[every_second]
        pool = POOLS[downsample][self.rank - 3]
        return pool(2)(h), None if stream is None else pool(2)(stream)

    def _affine(self, units: int) -> Any:
        size, circular = int(self._number("kernel_size")), self.choices["padding"].name == "circular"
        layer = LAYERS[self.rank][0](
            units, size, self.strides, "valid" if circular else "same", **self._rules(self.rank), **self._bias()
        )
        self.denses.append(layer)
        return lambda h: layer(_around(h, size) if circular else h)

    def _pooled(self, h: Any) -> Any:
        flat = self.choices["head_pool"].name == "flatten"
        return keras.layers.Flatten()(h) if flat else LAYERS[self.rank][1]()(h)


@keras.saving.register_keras_serializable("tests")
class Around(keras.layers.Layer):
    """Positions as they would stand if the image went on for ever."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def call(self, h: Any) -> Any:
        before = (self.size - 1) // 2
        for axis in range(1, len(h.shape) - 1):
            places = [place % h.shape[axis] for place in range(-before, h.shape[axis] + self.size - 1 - before)]
            h = tf.gather(h, places, axis=axis)
        return h


def _around(h: Any, size: int) -> Any:
    return Around(size)(h)
