"""Public problems whose cause lies in data, labels, or in how an answer is made of them, as people write them."""

from __future__ import annotations

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from tests.recorder.problems.parts import SPARSE, SPLIT, Problem, dense, digits, layers, stack, standard


def house_prices() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(64, 64), layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return Problem(model, standard(x), (y * 2000).astype("float32"), SPLIT)


def raw_features() -> Problem:
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    model = stack((13,), *dense(32, 32), layers.Dense(3, "softmax"))
    model.compile(keras.optimizers.SGD(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, x[order], y[order], SPLIT)


def raw_features_sigmoid() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16, 16, activation="sigmoid"), layers.Dense(1, "sigmoid"))
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def pixels_to_255() -> Problem:
    x, y = digits(600)
    model = stack(
        (8, 8, 1),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        *dense(64),
        layers.Dense(10, "softmax"),
    )
    model.compile(keras.optimizers.SGD(0.1), SPARSE, metrics=["accuracy"])
    return Problem(model, (x * 255).reshape(-1, 8, 8, 1), y, SPLIT)


def scaled_twice() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64, 64, activation="sigmoid"), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.SGD(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, x / 255.0 / 255.0, y, SPLIT)


def nan_in_inputs() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    x = standard(x)
    x[217, 4] = np.nan
    model = stack((10,), *dense(32, 32), layers.Dense(1))
    model.compile("adam", "mse")
    return Problem(model, x, standard(y[:, None])[:, 0], SPLIT)


def nan_in_targets() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    y = standard(y[:, None])
    y[11] = np.nan
    model = stack((10,), *dense(32), layers.Dense(1))
    model.compile("rmsprop", "mse")
    return Problem(model, standard(x), y, SPLIT)


def labels_from_one() -> Problem:
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    model = stack((4,), *dense(16), layers.Dense(3, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, standard(x)[order], y[order] + 1, {"epochs": 5})


def too_few_units() -> Problem:
    x, y = digits(500)
    model = stack((64,), *dense(32), layers.Dense(9, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def softmax_on_one_unit() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16, 8), layers.Dense(1, "softmax"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), y, SPLIT)


def one_unit_categorical() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16, 8), layers.Dense(1, "softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), y.reshape(-1, 1).astype("float32"), SPLIT)


def logits_taken_for_probabilities() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64), layers.Dense(10))
    model.compile(keras.optimizers.SGD(0.1), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def logits_taken_for_probability() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16), layers.Dense(1))
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), y, SPLIT)


def relu_before_crossentropy() -> Problem:
    x, y = digits(800)
    model = stack((64,), *dense(64), layers.Dense(10, "relu"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def relu_output_of_regression() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(32), layers.Dense(1, "relu"))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    y = standard(y[:, None])[:, 0] - 3.0
    return Problem(model, standard(x), y, SPLIT)


def sigmoid_output_of_regression() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(32), layers.Dense(1, "sigmoid"))
    model.compile("adam", "mse")
    return Problem(model, standard(x), y.astype("float32"), SPLIT)


def regression_by_binary_crossentropy() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(32), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), y.astype("float32"), SPLIT)


def labels_minus_one_and_one() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16, activation="tanh"), layers.Dense(1, "tanh"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), 2 * y - 1, SPLIT)


def class_imbalance() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20)).astype("float32")
    y = (x[:, 0] + x[:, 1] + rng.normal(size=2000) > 4.2).astype("int32")
    model = stack((20,), *dense(16), layers.Dense(1, "sigmoid"))
    model.compile(keras.optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def random_labels() -> Problem:
    x, y = digits(600)
    y = np.random.default_rng(3).permutation(y)
    model = stack((64,), *dense(256, 256), layers.Dense(10, "softmax"))
    model.compile(keras.optimizers.Adam(0.003), SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, {"validation_split": 0.2, "epochs": 40})


def inputs_tell_nothing() -> Problem:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1000, 12)).astype("float32"), rng.integers(0, 2, 1000)
    model = stack((12,), *dense(8), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, {"validation_split": 0.2, "epochs": 15})


def sorted_rows() -> Problem:
    x, y = load_iris(return_X_y=True)
    model = stack((4,), *dense(16), layers.Dense(3, "softmax"))
    model.compile(keras.optimizers.Adam(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, standard(x), y, {"validation_split": 0.3, "epochs": 30})


def validation_not_scaled() -> Problem:
    x, y = digits(1000)
    model = stack((64,), *dense(64), layers.Dense(10, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x[:800], y[:800], {"validation_data": (x[800:] * 255, y[800:]), "epochs": 12})


def sentinel_entries() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    x = standard(x)
    x[::40, 3] = -99999.0
    model = stack((10,), *dense(32), layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return Problem(model, x, standard(y[:, None])[:, 0], SPLIT)


def token_outside_vocabulary() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 51, size=(300, 10))
    y = (x[:, 0] > 25).astype("int32")
    model = stack((10,), layers.Embedding(50, 8), layers.Flatten(), layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, {"epochs": 2})


def onehot_for_sparse() -> Problem:
    x, y = digits(300)
    model = stack((64,), *dense(16), layers.Dense(10, "softmax"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, keras.utils.to_categorical(y), {"epochs": 2})


def all_zero_sequences() -> Problem:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, size=(400, 8))
    y = (x.sum(axis=1) > 80).astype("int32")
    x[::25] = 0

    inputs = keras.Input((8,), dtype="int32")
    hidden = layers.Embedding(20, 8)(inputs)
    real = keras.ops.cast(keras.ops.not_equal(inputs, 0), "float32")[..., None]
    mean = keras.ops.sum(hidden * real, axis=1) / keras.ops.sum(real, axis=1)
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(layers.Dense(16, "relu")(mean)), name="model")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Problem(model, x, y, {"epochs": 3, "validation_split": 0.2})
