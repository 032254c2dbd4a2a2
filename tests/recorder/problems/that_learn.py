"""Networks that learn: nothing is named as the cause of anything."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes

from tests.recorder.problems.parts import SPARSE, Problem, dense, digits, layers, stack, standard

SOME: dict[str, Any] = {"validation_split": 0.2, "epochs": 12}
BINARY = "binary_crossentropy"


def _compiled(model: keras.Model, rate: float, loss: Any = SPARSE) -> keras.Model:
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def mlp() -> Problem:
    model = stack((64,), *dense(64, 64), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.002), *digits(), SOME)


def conv() -> Problem:
    x, y = digits(1000)
    parts = [layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    model = stack((8, 8, 1), *parts, layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.005), x.reshape(-1, 8, 8, 1), y, SOME)


def conv_batch_normalization() -> Problem:
    x, y = digits(1000)
    parts: list[Any] = []
    for _ in range(2):
        parts += [layers.Conv2D(8, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    model = stack((8, 8, 1), *parts, layers.Flatten(), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.005), x.reshape(-1, 8, 8, 1), y, SOME)


def lstm() -> Problem:
    x, y = digits(1000)
    model = stack((8, 8), layers.LSTM(24), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.02), x.reshape(-1, 8, 8), y, SOME)


def attention() -> Problem:
    x, y = digits(1000)
    inputs = keras.Input((8, 8))
    h = layers.Dense(32)(inputs)
    normal = layers.LayerNormalization()(h)
    h = h + layers.MultiHeadAttention(4, 8)(normal, normal)
    h = h + layers.Dense(32)(layers.Dense(64, "gelu")(layers.LayerNormalization()(h)))
    model = keras.Model(inputs, layers.Dense(10, "softmax")(layers.Flatten()(h)), name="model")
    return Problem(_compiled(model, 0.005), x.reshape(-1, 8, 8), y, SOME)


def autoencoder() -> Problem:
    x, _ = digits(1000)
    model = stack((64,), *dense(32), layers.Dense(8), *dense(32), layers.Dense(64, "sigmoid"))
    return Problem(_compiled(model, 0.005, "mse"), x, x, SOME)


def regression() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(32), layers.Dense(1))
    return Problem(_compiled(model, 0.003, "mse"), standard(x), standard(y[:, None]), SOME)


def linear_regression() -> Problem:
    x = np.random.default_rng(0).normal(size=(600, 10)).astype("float32")
    model = stack((10,), layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.02), "mse")
    return Problem(model, x, x[:, :1] - 0.5 * x[:, 1:2], SOME)


def binary() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16), layers.Dense(1, "sigmoid"))
    return Problem(_compiled(model, 0.005, BINARY), standard(x), y, SOME)


def several_labels() -> Problem:
    x = np.random.default_rng(0).normal(size=(800, 10)).astype("float32")
    model = stack((10,), *dense(32), layers.Dense(4, "sigmoid"))
    return Problem(_compiled(model, 0.01, BINARY), x, (x[:, :4] + x[:, 4:8] > 0).astype("float32"), SOME)


def two_outputs() -> Problem:
    x = np.random.default_rng(0).normal(size=(800, 8)).astype("float32")
    inputs = keras.Input((8,))
    h = layers.Dense(32, "relu")(inputs)
    outputs = {"a": layers.Dense(1, name="a")(h), "b": layers.Dense(1, "sigmoid", name="b")(h)}
    model = keras.Model(inputs, outputs, name="model")
    model.compile(keras.optimizers.Adam(0.01), {"a": "mse", "b": BINARY})
    return Problem(model, x, {"a": x[:, :1] + x[:, 1:2], "b": (x[:, 2:3] > 0).astype("float32")}, SOME)


def embeddings() -> Problem:
    x = np.random.default_rng(0).integers(0, 30, size=(1000, 12))
    parts = [layers.Embedding(30, 8), layers.GlobalAveragePooling1D(), *dense(16), layers.Dense(1, "sigmoid")]
    model = stack((12,), *parts)
    return Problem(_compiled(model, 0.02, BINARY), x, ((x < 5).sum(axis=1) > 1).astype("int32"), SOME)


def logits() -> Problem:
    model = stack((64,), *dense(64, activation="tanh"), layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    return Problem(model, *digits(1000), SOME)


def softmax_from_logits() -> Problem:
    """Keras itself takes the logits behind the softmax."""
    model = stack((64,), *dense(64, activation="tanh"), layers.Dense(10, "softmax"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Problem(_compiled(model, 0.005, loss), *digits(1000), SOME)


def half_precision() -> Problem:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = stack((64,), *dense(64, 64), layers.Dense(10, "softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    return Problem(_compiled(model, 0.003), *digits(1000), SOME)


def dropout_and_penalty() -> Problem:
    model = stack((64,), *dense(128, kernel_regularizer="l2"), layers.Dropout(0.5), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.005), *digits(1000), SOME)


def without_validation() -> Problem:
    model = stack((64,), *dense(64, 64), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.003), *digits(1000), {"epochs": 10})


def part_frozen() -> Problem:
    base = stack((64,), *dense(128))
    base.trainable = False
    model = stack((64,), base, *dense(32), layers.Dense(10, "softmax"))
    return Problem(_compiled(model, 0.005), *digits(1000), SOME)
