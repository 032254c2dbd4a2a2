"""Kinds of networks and of training that people write in Keras, small: each a compiled model with its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

layers = keras.layers
CLASSES = "sparse_categorical_crossentropy"


class Kind(NamedTuple):
    model: keras.Model
    x: Any
    y: Any


def _vectors(features: int = 8, rows: int = 96) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(rows, features)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0).astype("int32")


def _images() -> tuple[np.ndarray, np.ndarray]:
    x, y = _vectors(64)
    return x.reshape(-1, 8, 8, 1), y


def _sequences() -> tuple[np.ndarray, np.ndarray]:
    x, y = _vectors(24)
    return x.reshape(-1, 6, 4), y


def _tokens() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 12, size=(96, 6))
    x[:, 4:] *= rng.integers(0, 2, size=(96, 2))  # some are padded
    return x, (x[:, 0] % 3).astype("int32")


def _stack(*parts: Any, shape: tuple[int, ...] = (8,), dtype: str | None = None) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts], name="stack")


def _dense(depth: int = 3, activation: str = "relu", **more: Any) -> list[Any]:
    return [layers.Dense(12, activation, **more) for _ in range(depth)]


def _head() -> Any:
    return layers.Dense(3, "softmax")


def mlp_clipnorm() -> Kind:
    model = _stack(*_dense(4, "tanh"), _head())
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.02), CLASSES, metrics=["accuracy"])
    return Kind(model, *_vectors())


def mlp_relu_adam() -> Kind:
    model = _stack(*_dense(3), layers.Dropout(0.2), _head())
    model.compile("adam", CLASSES, metrics=["accuracy"])
    return Kind(model, *_vectors())


def mlp_l2() -> Kind:
    model = _stack(*_dense(2, kernel_regularizer="l2"), layers.Dense(3))
    model.compile("rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Kind(model, *_vectors())


def conv_batch_normalization() -> Kind:
    parts: list[Any] = []
    for _ in range(2):
        parts += [layers.Conv2D(4, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    model = _stack(*parts, layers.GlobalAveragePooling2D(), _head(), shape=(8, 8, 1))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), CLASSES, metrics=["accuracy"])
    return Kind(model, *_images())


def conv_pool() -> Kind:
    model = _stack(
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        *_dense(1),
        _head(),
        shape=(8, 8, 1),
    )
    model.compile("adam", CLASSES)
    return Kind(model, *_images())


def shared() -> Kind:
    one = layers.Dense(8, "tanh", name="shared")
    inputs = keras.Input((8,))
    model = keras.Model(inputs, _head()(one(one(inputs))))
    model.compile(keras.optimizers.SGD(0.1), CLASSES)
    return Kind(model, *_vectors())


def nested_frozen() -> Kind:
    base = keras.Sequential([keras.Input((8,)), *_dense(2)], name="base")
    base.trainable = False
    inner = keras.Sequential([keras.Input((12,)), *_dense(2, "tanh")], name="inner")
    model = _stack(base, inner, _head())
    model.compile(keras.optimizers.SGD(0.1), CLASSES)
    return Kind(model, *_vectors())


def lstm() -> Kind:
    model = _stack(layers.LSTM(6, return_sequences=True), layers.LSTM(5), _head(), shape=(6, 4))
    model.compile(keras.optimizers.Adam(0.01, clipvalue=0.05), CLASSES)
    return Kind(model, *_sequences())


def bidirectional_gru_masked() -> Kind:
    model = _stack(
        layers.Embedding(12, 5, mask_zero=True), layers.Bidirectional(layers.GRU(4)), _head(), shape=(6,), dtype="int32"
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), CLASSES)
    return Kind(model, *_tokens())


def time_distributed() -> Kind:
    inner = keras.Sequential([layers.Dense(5, "tanh")])
    each = [layers.TimeDistributed(layers.Dense(8, "relu")), layers.TimeDistributed(inner)]
    model = _stack(*each, layers.Flatten(), _head(), shape=(6, 4))
    model.compile("adam", CLASSES)
    return Kind(model, *_sequences())


def transformer() -> Kind:
    inputs = keras.Input((6,), dtype="int32")
    h = layers.Embedding(12, 8)(inputs)
    for _ in range(2):
        normal = layers.LayerNormalization()(h)
        h = h + layers.MultiHeadAttention(2, 4)(normal, normal)
        normal = layers.LayerNormalization()(h)
        h = h + layers.Dense(8)(layers.Dense(16, "gelu")(normal))
    model = keras.Model(inputs, _head()(layers.GlobalAveragePooling1D()(h)))
    model.compile(keras.optimizers.AdamW(0.01, global_clipnorm=0.5), CLASSES)
    return Kind(model, *_tokens())


def embedding() -> Kind:
    model = _stack(layers.Embedding(12, 4), layers.Flatten(), *_dense(1), _head(), shape=(6,), dtype="int32")
    model.compile(keras.optimizers.SGD(0.1), CLASSES)
    return Kind(model, *_tokens())


def two_outputs() -> Kind:
    inputs = keras.Input((8,))
    h = layers.Dense(12, "relu")(layers.Dense(12, "relu")(inputs))
    model = keras.Model(inputs, {"a": layers.Dense(3, "softmax", name="a")(h), "b": layers.Dense(1, name="b")(h)})
    model.compile("adam", {"a": CLASSES, "b": "mse"}, loss_weights={"a": 1.0, "b": 0.5})
    x, y = _vectors()
    return Kind(model, x, {"a": y, "b": x[:, :1]})


class Stepping(keras.Model):
    """A model with a training step of its own, as Keras's guide writes it."""

    def train_step(self, data: Any) -> Any:
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            answers = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=answers)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            metric.update_state(loss) if metric.name == "loss" else metric.update_state(y, answers)
        return {metric.name: metric.result() for metric in self.metrics}


def custom_step() -> Kind:
    inputs = keras.Input((8,))
    h = inputs
    for each in _dense(3):
        h = each(h)
    model = Stepping(inputs, _head()(h))
    model.compile(keras.optimizers.SGD(0.1), CLASSES, metrics=["accuracy"])
    return Kind(model, *_vectors())


class Subclass(keras.Model):
    """A model that is built by its first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = _dense(3)
        self.head = layers.Dense(3)

    def call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return self.head(x)


def subclass() -> Kind:
    model = Subclass()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Kind(model, *_vectors())


class Gan(keras.Model):
    """Two networks with an optimizer each."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = keras.Sequential([keras.Input((4,)), *_dense(2), layers.Dense(8)], name="maker")
        self.judge = keras.Sequential([keras.Input((8,)), *_dense(2), layers.Dense(1)], name="judge")
        self.seed = keras.random.SeedGenerator(3)
        self.loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

    def compile(self, maker: Any, judge: Any) -> None:
        super().compile()
        self.of_maker, self.of_judge = maker, judge

    def train_step(self, data: Any) -> Any:
        import tensorflow as tf

        real = data[0] if isinstance(data, tuple) else data
        rows = tf.shape(real)[0]
        noise = keras.random.normal((rows, 4), seed=self.seed)
        both = tf.concat([self.maker(noise), real], axis=0)
        labels = tf.concat([tf.ones((rows, 1)), tf.zeros((rows, 1))], axis=0)
        with tf.GradientTape() as tape:
            lost = self.loss_of(labels, self.judge(both))
        gradients = tape.gradient(lost, self.judge.trainable_weights)
        self.of_judge.apply(gradients, self.judge.trainable_weights)
        with tf.GradientTape() as tape:
            fooled = self.loss_of(tf.zeros((rows, 1)), self.judge(self.maker(noise)))
        self.of_maker.apply(tape.gradient(fooled, self.maker.trainable_weights), self.maker.trainable_weights)
        return {"judge": lost, "maker": fooled}


def gan() -> Kind:
    model = Gan()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01))
    return Kind(model, _vectors()[0], None)


def mixed_float16() -> Kind:
    model = _stack(
        *_dense(3, dtype="mixed_float16"),
        layers.Dense(3, dtype="mixed_float16"),
        layers.Activation("softmax", dtype="float32"),
    )
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, clipnorm=0.5), initial_scale=2.0**40)
    model.compile(optimizer, CLASSES)
    return Kind(model, *_vectors())


def accumulation() -> Kind:
    model = _stack(*_dense(3), _head())
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.1, gradient_accumulation_steps=3), CLASSES)
    return Kind(model, *_vectors())


def accumulation_unclipped() -> Kind:
    model = _stack(*_dense(3), _head())
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3), CLASSES)
    return Kind(model, *_vectors())


def accumulation_global_norm() -> Kind:
    model = _stack(*_dense(3), _head())
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3, global_clipnorm=0.05)
    model.compile(optimizer, CLASSES)
    return Kind(model, *_vectors())


def moving_average() -> Kind:
    model = _stack(*_dense(3), _head())
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=4), CLASSES)
    return Kind(model, *_vectors())


def eight_at_once() -> Kind:
    model = _stack(*_dense(3), _head())
    model.compile(keras.optimizers.SGD(0.1), CLASSES, steps_per_execution=8, metrics=["accuracy"])
    return Kind(model, *_vectors())


def compiled() -> Kind:
    model = _stack(*_dense(3, "tanh"), _head())
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.1), CLASSES, jit_compile=True)
    return Kind(model, *_vectors())


def eager() -> Kind:
    model = _stack(*_dense(3), _head())
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.1), CLASSES, run_eagerly=True)
    return Kind(model, *_vectors())


KINDS: dict[str, Callable[[], Kind]] = {
    each.__name__: each
    for each in (
        mlp_clipnorm, mlp_relu_adam, mlp_l2, conv_batch_normalization, conv_pool, shared, nested_frozen, lstm,
        bidirectional_gru_masked, time_distributed, transformer, embedding, two_outputs, custom_step, subclass, gan,
        mixed_float16, accumulation, accumulation_unclipped, accumulation_global_norm, moving_average, eight_at_once,
        compiled, eager,
    )
}  # fmt: skip
