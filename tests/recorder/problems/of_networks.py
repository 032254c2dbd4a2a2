"""Public problems whose cause lies in the network, its loss or its optimizer: small, as people write them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_breast_cancer, load_diabetes, make_circles

from tests.recorder.problems.parts import SPARSE, SPLIT, Problem, dense, digits, layers, stack, standard


def deep_sigmoid() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(*[64] * 10, activation="sigmoid"), layers.Dense(10, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def deep_tanh_small_weights() -> Problem:
    x, y = digits(800)
    parts = dense(*[64] * 10, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=0.01))
    model = stack((64,), *parts, layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(0.1), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def dying_relu() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64, 64, 64), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.Adam(0.3), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def zero_weights() -> Problem:
    x, y = digits(800)
    model = stack(
        (64,), *dense(64, 64, kernel_initializer="zeros"), layers.Dense(10, "softmax", kernel_initializer="zeros")
    )
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def ones_weights() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(32, 32, activation="tanh", kernel_initializer="ones"), layers.Dense(10, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def high_rate_sgd() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(64, 64), layers.Dense(1))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    return Problem(model, standard(x), standard(y[:, None]), SPLIT)


def high_rate_adam() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64, 64, activation="tanh"), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.Adam(1.0), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def low_rate() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(1e-6), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def low_rate_schedule() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64), layers.Dense(10, "softmax"))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.001, decay_steps=1, decay_rate=0.5)
    model.compile(keras.optimizers.Adam(schedule), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def clipped_away() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(0.1, clipvalue=1e-6), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def strong_l2() -> Problem:
    x, y = digits(800)
    model = stack(
        (64,),
        *dense(64, 64, kernel_regularizer=keras.regularizers.L2(1.0)),
        layers.Dense(10, "softmax", kernel_regularizer=keras.regularizers.L2(1.0)),
    )
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, {"validation_split": 0.2, "epochs": 20})


def heavy_dropout() -> Problem:
    x, y = digits(800)
    model = stack(
        (64,), *dense(64), layers.Dropout(0.97), *dense(64), layers.Dropout(0.97), layers.Dense(10, "softmax")
    )
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, {"validation_split": 0.2, "epochs": 10})


def no_activation() -> Problem:
    x, y = make_circles(800, noise=0.05, factor=0.4, random_state=0)
    model = stack((2,), *dense(32, 32, activation=None), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x.astype("float32"), y, {"validation_split": 0.2, "epochs": 15})


def wide_start() -> Problem:
    x, y = digits(800)
    start = keras.initializers.RandomNormal(stddev=1.0)
    model = stack(
        (64,), *dense(128, 128, 128, kernel_initializer=start), layers.Dense(10, "softmax", kernel_initializer=start)
    )
    model.compile(keras.optimizers.SGD(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def wide_start_tanh() -> Problem:
    x, y = digits(800)
    start = keras.initializers.RandomNormal(stddev=1.0)
    model = stack((64,), *dense(*[128] * 4, activation="tanh", kernel_initializer=start), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def recurrent_relu() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 200, 4)).astype("float32")
    model = stack(
        (200, 4),
        layers.SimpleRNN(
            32,
            activation="relu",
            kernel_initializer="he_normal",
            recurrent_initializer=keras.initializers.RandomNormal(stddev=0.35),
        ),
        layers.Dense(1),
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return Problem(model, x, x[:, :, 0].mean(axis=1, keepdims=True) * 14, {"epochs": 2, "validation_split": 0.2})


def lstm_relu() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 150, 4)).astype("float32") * 3
    model = stack((150, 4), layers.LSTM(32, activation="relu"), layers.Dense(1))
    model.compile(keras.optimizers.RMSprop(0.05), "mse")
    return Problem(model, x, x[:, -1, :1], {"epochs": 4, "validation_split": 0.2})


def long_lag() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 100, 2)).astype("float32")
    y = (x[:, 0, 0] > 0).astype("int32")
    model = stack((100, 2), layers.LSTM(16), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, {"epochs": 4, "validation_split": 0.2})


def simple_rnn_long_lag() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 100, 2)).astype("float32")
    y = (x[:, 0, 0] > 0).astype("int32")
    model = stack((100, 2), layers.SimpleRNN(16), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, {"epochs": 4, "validation_split": 0.2})


def root_at_zero() -> Problem:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 8)).astype("float32")
    b = rng.normal(size=(300, 8)).astype("float32")
    b[::10] = a[::10]
    base = stack((8,), *dense(16), layers.Dense(4))
    one, two = keras.Input((8,)), keras.Input((8,))
    distance = keras.ops.sqrt(keras.ops.sum(keras.ops.square(base(one) - base(two)), axis=1, keepdims=True))
    model = keras.Model([one, two], distance, name="model")

    def contrastive(y: Any, d: Any) -> Any:
        return keras.ops.mean(y * d + (1 - y) * keras.ops.maximum(1 - d, 0))

    model.compile("adam", contrastive)
    y = (np.arange(300) % 10 == 0).astype("float32")[:, None]
    return Problem(model, [a, b], y, {"epochs": 2})


def rmse_loss() -> Problem:
    x = np.zeros((128, 4), "float32")
    model = stack((4,), layers.Dense(1, use_bias=False))

    def rmse(y: Any, p: Any) -> Any:
        return keras.ops.sqrt(keras.ops.mean(keras.ops.square(y - p)))

    model.compile("sgd", rmse)
    return Problem(model, x, np.zeros((128, 1), "float32"), {"epochs": 2})


def logarithm_of_zero() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(32), layers.Dense(1, "sigmoid"))

    def crossentropy(y: Any, p: Any) -> Any:
        return -keras.ops.mean(y * keras.ops.log(p) + (1 - y) * keras.ops.log(1 - p))

    model.compile(keras.optimizers.Adam(0.01), crossentropy)
    return Problem(
        model, (x / 10).astype("float32"), y.astype("float32")[:, None], {"epochs": 6, "validation_split": 0.2}
    )


def percentage_error_of_zero() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    y = standard(y[:, None])
    y[::50] = 0

    def mape(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.abs((y - p) / y))

    model = stack((10,), *dense(32), layers.Dense(1))
    model.compile("adam", mape)
    return Problem(model, standard(x), y, SPLIT)


class Sampling(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        mean, log_var = inputs
        self.add_loss(-0.5 * keras.ops.mean(1 + log_var - keras.ops.square(mean) - keras.ops.exp(log_var)))
        return mean + keras.ops.exp(0.5 * log_var) * 0.1


def variational() -> Problem:
    x, _ = digits(600)
    inputs = keras.Input((64,))
    h = layers.Dense(64, "relu")(inputs)
    z = Sampling()([layers.Dense(4, name="z_mean")(h), layers.Dense(4, name="z_log_var")(h)])
    model = keras.Model(inputs, layers.Dense(64)(layers.Dense(64, "relu")(z)), name="model")
    model.compile(keras.optimizers.RMSprop(0.3), "mse")
    return Problem(model, x, x, {"epochs": 3})


def lagging_batch_normalization() -> Problem:
    x, y = digits(800)
    parts = [
        p for _ in range(3) for p in (layers.Dense(64, use_bias=False), layers.BatchNormalization(), layers.ReLU())
    ]
    model = stack((64,), *parts, layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.Adam(0.003), SPARSE, metrics=["accuracy"])
    return Problem(model, x + 3.0, y, {"validation_split": 0.2, "epochs": 5, "batch_size": 64})


def batch_of_one() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), layers.Dense(16), layers.BatchNormalization(), layers.ReLU(), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x)[:300], y[:300], {"batch_size": 1, "epochs": 2, "validation_split": 0.2})


def frozen_base() -> Problem:
    x, y = digits(800)
    base = stack(
        (64,), *dense(*[32] * 8, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=0.05))
    )
    base.trainable = False
    model = stack((64,), base, layers.Dense(10, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def all_frozen() -> Problem:
    x, y = digits(300)
    model = stack((64,), *dense(32), layers.Dense(10, "softmax"))
    model.trainable = False
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def post_norm() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 12, size=(300, 8))
    inputs = keras.Input((8,), dtype="int32")
    h = layers.Embedding(12, 32)(inputs)
    for _ in range(6):
        h = layers.LayerNormalization()(h + layers.MultiHeadAttention(4, 8)(h, h))
        h = layers.LayerNormalization()(h + layers.Dense(32)(layers.Dense(64, "relu")(h)))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(layers.GlobalAveragePooling1D()(h)), name="model")
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, (x[:, 0] > 5).astype("int32"), {"epochs": 3, "validation_split": 0.2})


def epsilon_in_half() -> Problem:
    x, y = digits(800)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((64,))
        h = layers.Dense(64, "relu")(inputs)
        h = h / (keras.ops.sum(h * 0, axis=-1, keepdims=True) + 1e-8)
        model = keras.Model(inputs, layers.Dense(10, "softmax", dtype="float32")(h), name="model")
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def shapes_that_broadcast() -> Problem:
    x, y = load_diabetes(return_X_y=True)

    class Own(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(y - self(x, training=True)))
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return {"own": loss}

    inputs = keras.Input((10,))
    model = Own(inputs, layers.Dense(1)(layers.Dense(32, "relu")(inputs)), name="model")
    model.compile("adam", "mse")
    dataset = tf.data.Dataset.from_tensor_slices((standard(x), standard(y[:, None])[:, 0])).batch(32)
    return Problem(model, dataset, None, {"epochs": 10})


def sigmoid_and_squared_error() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16), layers.Dense(1, "sigmoid"))
    model.compile("sgd", "mse", metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)
