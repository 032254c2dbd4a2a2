"""Further kinds of layers, optimizers and options of `fit` on JAX, each with its loss once more by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np

from tests.recorder import kinds
from tests.recorder.kinds import CLASSES

layers, optimizers = keras.layers, keras.optimizers


@dataclass
class Case:
    """A compiled model, its data, the options of its `fit`, and the loss of a batch without Keras's trainer.

    Attributes:
        lost: of targets and answers; mean cross-entropy of classes if None.
        exact: to what share a recorded gradient's norm is that of `jax.grad`.
    """

    model: keras.Model
    x: Any
    y: Any
    options: dict[str, Any] = field(default_factory=dict)
    lost: Callable[[Any, Any], Any] | None = None
    exact: float = 1e-5


def crossentropy(y: Any, answers: Any, weights: Any = None) -> Any:
    """Mean of -log p of the class, weighted."""
    p = jnp.take_along_axis(jnp.asarray(answers, jnp.float32), jnp.asarray(y)[:, None], axis=-1)[:, 0]
    return jnp.mean(-jnp.log(jnp.clip(p, 1e-7, 1.0)) * (1.0 if weights is None else weights))


def case(
    model: keras.Model,
    data: tuple[Any, Any],
    optimizer: Any = None,
    compiled: dict[str, Any] | None = None,
    **more: Any,
) -> Case:
    model.compile(optimizer or optimizers.SGD(0.05), CLASSES, **(compiled or {}))
    return Case(model, *data, **more)


def stacked(*parts: Any, shape: tuple[int, ...] = (8,), dtype: str | None = None) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts, layers.Dense(3, "softmax")], name="stack")


class Flagged(keras.Model):
    """Subclassed, with the training flag handed on by hand, and layers in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = {"first": layers.Dense(12), "last": layers.Dense(12)}
        self.normal, self.drop, self.head = layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3, "softmax")

    def call(self, x: Any, training: bool = False) -> Any:
        h = keras.activations.gelu(self.normal(self.parts["first"](x), training=training))
        if training:
            h = self.drop(h, training=True)
        return self.head(keras.ops.relu(self.parts["last"](h)))


class Gated(keras.layers.Layer):
    """A layer with weights and an activation of its own."""

    def __init__(self, units: int, **more: Any) -> None:
        super().__init__(**more)
        self.units, self.activation = units, lambda z: z * keras.ops.sigmoid(1.5 * z)

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.gate = self.add_weight(shape=(shape[-1], self.units), name="gate")

    def call(self, x: Any) -> Any:
        return self.activation(x @ self.kernel) * keras.ops.tanh(x @ self.gate)


def training_flag() -> Case:
    return case(Flagged(), kinds._vectors())


def submodels_twice() -> Case:
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(8, "tanh"), layers.Dense(8, "relu")], name="inner")
    outer = keras.Sequential([keras.Input((8,)), inner, layers.Dense(8, "tanh")], name="outer")
    inputs = keras.Input((8,))
    h = outer(inputs) + inner(inputs)
    return case(keras.Model(inputs, layers.Dense(3, "softmax")(outer(h))), kinds._vectors())


def separable() -> Case:
    parts = [
        layers.SeparableConv2D(6, 3, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="tanh"),
        layers.GlobalAveragePooling2D(),
    ]
    return case(stacked(*parts, shape=(8, 8, 1)), kinds._images())


def transposed() -> Case:
    inputs = keras.Input((6, 4))
    h = layers.Conv1DTranspose(5, 3, strides=2, activation="relu")(inputs)
    h = layers.Reshape((13, 5, 1))(layers.Conv1D(5, 3, padding="causal", dilation_rate=2)(h))
    h = layers.Conv2DTranspose(3, 3, strides=2)(h)
    h = layers.GlobalAveragePooling2D()(layers.LeakyReLU()(h))
    return case(keras.Model(inputs, layers.Dense(3, "softmax")(h)), kinds._sequences())


def conv_lstm() -> Case:
    x, y = kinds._vectors(48)
    parts = [layers.ConvLSTM2D(3, 3, return_sequences=False), layers.Flatten()]
    return case(stacked(*parts, shape=(3, 4, 4, 1)), (x.reshape(-1, 3, 4, 4, 1), y))


def attentions() -> Case:
    inputs = keras.Input((6, 4))
    h = layers.Dense(8)(inputs)
    h = h + layers.MultiHeadAttention(2, 4)(h, h, use_causal_mask=True)
    memory = layers.Dense(8, "relu")(inputs)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 4, dropout=0.1)(h, memory))
    h = h + layers.GroupQueryAttention(4, 4, 2)(h, h)
    return case(
        keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(h))), kinds._sequences(),
        optimizers.AdamW(0.01, weight_decay=0.1),
    )  # fmt: skip


def masked_embedding() -> Case:
    parts = [
        layers.Embedding(12, 6, mask_zero=True),
        layers.Bidirectional(layers.GRU(4, return_sequences=True)),
        layers.SimpleRNN(5),
    ]
    return case(stacked(*parts, shape=(6,), dtype="int32"), kinds._tokens(), optimizers.Lion(0.003))


def normalizations() -> Case:
    parts = [
        layers.SpectralNormalization(layers.Conv2D(4, 3)),
        layers.GroupNormalization(2),
        layers.Activation("swish"),
        layers.Conv2D(4, 3),
        layers.LayerNormalization(),
        layers.PReLU(),
        layers.GlobalAveragePooling2D(),
        layers.UnitNormalization(),
    ]
    return case(stacked(*parts, shape=(8, 8, 1)), kinds._images())


def own_activation() -> Case:
    return case(stacked(Gated(10), Gated(9), layers.Dense(8, activation=jnp.sin)), kinds._vectors())


def three_outputs() -> Case:
    inputs = keras.Input((8,))
    h = layers.Dense(12, "relu")(inputs)
    outputs = [layers.Dense(3, "softmax", name="a")(h), layers.Dense(1, name="b")(h), layers.Dense(1, name="c")(h)]
    model = keras.Model(inputs, outputs)
    model.compile(optimizers.Adam(0.01), [CLASSES, "mse", "huber"], loss_weights=[1.0, 0.5, 0.1])
    x, y = kinds._vectors()

    def lost(y: Any, answers: Any) -> Any:
        apart = jnp.abs(y[2] - answers[2])
        huber = jnp.mean(jnp.where(apart <= 1.0, 0.5 * apart**2, apart - 0.5))
        return crossentropy(y[0], answers[0]) + 0.5 * jnp.mean((y[1] - answers[1]) ** 2) + 0.1 * huber

    return Case(model, x, [y, x[:, :1], 2.0 * x[:, 1:2]], lost=lost)


def class_weights() -> Case:
    of_class = np.array([0.5, 1.0, 3.0], "float32")
    return case(
        stacked(*kinds._dense(2)), kinds._vectors(), options={"class_weight": dict(enumerate(of_class.tolist()))},
        lost=lambda y, answers: crossentropy(y, answers, of_class[y]),
    )  # fmt: skip


def sample_weights() -> Case:
    x, y = kinds._vectors()
    weights = np.linspace(0.1, 2.0, len(y)).astype("float32")
    return case(
        stacked(*kinds._dense(2)), (x, y), optimizers.Adafactor(0.01), options={"sample_weight": weights},
        lost=lambda y, answers: crossentropy(y, answers, weights[: len(y)]),
    )  # fmt: skip


def averaged_and_accumulated() -> Case:
    optimizer = optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3, gradient_accumulation_steps=2, clipnorm=0.5
    )
    return case(stacked(*kinds._dense(2)), kinds._vectors(), optimizer)


def muon() -> Case:
    return case(stacked(*kinds._dense(2)), kinds._vectors(), optimizers.Muon(0.01))


def scaled() -> Case:
    optimizer = optimizers.LossScaleOptimizer(optimizers.Adam(0.01), initial_scale=2.0**10, dynamic_growth_steps=2)
    return case(stacked(*kinds._dense(2)), kinds._vectors(), optimizer)


def bfloat16() -> Case:
    parts = [layers.Dense(16, "relu", dtype="mixed_bfloat16") for _ in range(2)]
    return case(stacked(*parts), kinds._vectors(), exact=0.05)


def frozen_layers() -> Case:
    parts = kinds._dense(4, "tanh")
    parts[0].trainable = parts[2].trainable = False
    return case(stacked(*parts, layers.BatchNormalization(trainable=False)), kinds._vectors())


def regularized_and_scheduled() -> Case:
    """Without the penalty: what is recorded is the gradient of the data's loss."""
    rate = optimizers.schedules.CosineDecay(0.1, 20, warmup_target=0.2, warmup_steps=3)
    parts = [layers.Dense(12, "elu", kernel_regularizer="l1l2", kernel_constraint="max_norm") for _ in range(2)]
    return case(stacked(*parts, layers.GaussianNoise(0.1)), kinds._vectors(), optimizers.Nadam(rate, clipvalue=0.1),
                exact=1e-4)  # fmt: skip


def time_distributed() -> Case:
    inputs = keras.Input((6, 4))
    h = layers.TimeDistributed(layers.Dense(6, "relu"))(inputs)
    h = layers.EinsumDense("btd,de->bte", output_shape=(6, 5), activation="tanh", bias_axes="e")(h)
    h = layers.GRU(4, return_sequences=True, dropout=0.2)(h)
    return case(keras.Model(inputs, layers.Dense(3, "softmax")(layers.Flatten()(h))), kinds._sequences())


CASES: dict[str, Callable[[], Case]] = {
    each.__name__: each
    for each in (
        training_flag, submodels_twice, separable, transposed, conv_lstm, attentions, masked_embedding, normalizations,
        own_activation, three_outputs, class_weights, sample_weights, averaged_and_accumulated, muon, scaled, bfloat16,
        frozen_layers, regularized_and_scheduled, time_distributed,
    )
}  # fmt: skip
