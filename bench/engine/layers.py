"""Keras layers that Keras does not ship: the learned branch scale and weight normalization."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

EPSILON = 1e-3  # of Keras's LayerNormalization, which is written out where all runs are normalized at once


@keras.saving.register_keras_serializable("gradtrial")
class BranchScale(keras.layers.Layer):
    """Multiplies a residual branch by one learned number, which starts at 0 unless something else is given.

    Source: SkipInit, De & Smith 2020 (arXiv:2002.10444); ReZero, Bachlechner et al. 2021 (arXiv:2003.04887); from 1
    Fixup, Zhang, Dauphin & Ma 2019 (arXiv:1901.09321).
    """

    def __init__(self, start: float = 0.0, **settings: Any) -> None:
        """With a number that starts there."""
        super().__init__(**settings)
        self.start = start

    def build(self, input_shape: Any) -> None:
        """Create the scale."""
        self.scale = self.add_weight(name="scale", shape=(), initializer=keras.initializers.Constant(self.start))

    def call(self, inputs: Any) -> Any:
        """The inputs times the scale, same shape."""
        return inputs * self.scale


@keras.saving.register_keras_serializable("gradtrial")
class Shift(keras.layers.Layer):
    """Adds one learned number that starts at 0, as Fixup has in place of biases.

    Source: Zhang, Dauphin & Ma 2019 (arXiv:1901.09321), section 3, rule 3.
    """

    def build(self, input_shape: Any) -> None:
        """Create the number."""
        self.shift = self.add_weight(name="shift", shape=(), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """The inputs plus the number, same shape."""
        return inputs + self.shift


@keras.saving.register_keras_serializable("gradtrial")
class WeightNormalizedDense(keras.layers.Dense):
    """A dense layer whose kernel is length times direction: column j is g_j v_j / |v_j|.

    `kernel` holds v; at the start g = 1, so the initializer sets directions only.
    Source: Salimans & Kingma 2016 (arXiv:1602.07868), without the data-dependent start.
    """

    def build(self, input_shape: Any) -> None:
        """Create v, the bias and the lengths g, one for each unit."""
        super().build(input_shape)
        self.length = self.add_weight(name="length", shape=(self.units,), initializer="ones")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Map [batch, fan_in] to [batch, units]."""
        norm = ops.sqrt(ops.sum(ops.square(self.kernel), axis=0) + keras.config.epsilon())
        return ops.matmul(inputs, self.kernel * (self.length / norm)) + self.bias


@keras.saving.register_keras_serializable("gradtrial")
class CircularPadding(keras.layers.Layer):
    """Puts what stands at the opposite edge around positions, so that a convolution without padding keeps their number.

    As Keras's `same` does with zeros: kernel - 1 positions an axis, the odd one of an even kernel's behind the others.
    """

    def __init__(self, kernel_size: int, **settings: Any) -> None:
        """For kernels of so many positions along each axis."""
        super().__init__(**settings)
        self.kernel_size = kernel_size

    def call(self, inputs: Any) -> Any:
        """Map [batch, positions..., channels] to the same with kernel_size - 1 more positions along each axis."""
        before = (self.kernel_size - 1) // 2
        behind = self.kernel_size - 1 - before
        for axis in range(1, len(inputs.shape) - 1):
            index = [slice(None)] * len(inputs.shape)
            first, last = list(index), list(index)
            first[axis], last[axis] = slice(behind), slice(inputs.shape[axis] - before, None)
            inputs = ops.concatenate([inputs[tuple(last)], inputs, inputs[tuple(first)]], axis=axis)
        return inputs


TIED = "tied_embedding"  # the name of what a head shares with the embedding of tokens


def is_shared(variable: keras.Variable) -> bool:
    """Whether a variable of a head is another layer's, which holds and trains it."""
    return bool(variable.name == TIED)


@keras.saving.register_keras_serializable("gradtrial")
class TiedDense(keras.layers.Layer):
    """Logits h E' + b, E [tokens, width] the embedding of tokens itself and not a copy of it.

    Source: Press & Wolf 2017 (arXiv:1608.05859); Keras's `ReversibleEmbedding(tie_weights=True)`, with a bias.
    """

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units

    def build(self, input_shape: Any) -> None:
        """Create what stands for the embedding, and the bias."""
        self.embedding = self.add_weight(name=TIED, shape=(self.units, input_shape[-1]))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Map [..., width] to [..., tokens]."""
        return ops.matmul(inputs, ops.transpose(self.embedding)) + self.bias
