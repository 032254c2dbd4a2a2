"""Public problems whose cause lies in what layers, loss, optimizer or rows were told, as people write them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from tests.recorder.problems.parts import SPARSE, SPLIT, Problem, dense, digits, layers, stack, standard

LONGER: dict[str, Any] = {"validation_split": 0.2, "epochs": 8}


def _classes(*parts: Any, optimizer: Any = "adam", shape: tuple[int, ...] = (64,), loss: Any = SPARSE) -> Problem:
    """Digits, by a stack."""
    x, y = digits(800)
    model = stack(shape, *parts)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return Problem(model, x.reshape(-1, *shape), y, LONGER)


def _values(*parts: Any, loss: Any = "mse") -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *parts)
    model.compile("adam", loss)
    return Problem(model, standard(x), standard(y[:, None]), SPLIT)


def one_unit_sparse() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16), layers.Dense(1, "sigmoid"))
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, standard(x), y, SPLIT)


def one_sigmoid_categorical() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    model = stack((30,), *dense(16), layers.Dense(1, "sigmoid"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return Problem(model, standard(x), y.reshape(-1, 1).astype("float32"), SPLIT)


def softmax_twice() -> Problem:
    return _classes(*dense(64), layers.Dense(10, "softmax"), layers.Softmax(), optimizer=keras.optimizers.SGD(0.01))


def softmax_over_time() -> Problem:
    parts = (layers.Dense(10), layers.Softmax(axis=1), layers.GlobalAveragePooling1D())
    return _classes(layers.LSTM(16, return_sequences=True), *parts, shape=(8, 8))


def strong_weight_decay() -> Problem:
    return _classes(*dense(64, 64), layers.Dense(10, "softmax"), optimizer=keras.optimizers.AdamW(0.01, 30.0))


def strong_activity_penalty() -> Problem:
    x, _ = digits(800)
    penalty = keras.regularizers.L1(1.0)
    model = stack((64,), layers.Dense(32, "relu", activity_regularizer=penalty), layers.Dense(64, "sigmoid"))
    model.compile("adam", "mse")
    return Problem(model, x, x, LONGER)


def narrow_constraint() -> Problem:
    narrow = keras.constraints.MaxNorm(1e-3)
    return _classes(*dense(64, 64, kernel_constraint=narrow), layers.Dense(10, "softmax", kernel_constraint=narrow))


def rescaled_twice() -> Problem:
    parts = (layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(10, "softmax"))
    return _classes(layers.Rescaling(1 / 255), *parts, shape=(8, 8, 1), optimizer=keras.optimizers.SGD(0.01))


def normalization_without_adapt() -> Problem:
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    model = stack((13,), layers.Normalization(), *dense(32, 32), layers.Dense(3, "softmax"))
    model.compile(keras.optimizers.SGD(0.01), SPARSE, metrics=["accuracy"])
    return Problem(model, x[order].astype("float32"), y[order], SPLIT)


def logarithm_of_counts() -> Problem:
    x = np.random.default_rng(0).poisson(1.0, size=(500, 6)).astype("float32")
    given = keras.Input((6,))
    model = keras.Model(given, layers.Dense(1)(layers.Dense(16, "relu")(keras.ops.log(given))), name="model")
    model.compile("adam", "mse")
    return Problem(model, x, x[:, :1] + x[:, 1:2], SPLIT)


def weights_in_float16() -> Problem:
    keras.config.set_dtype_policy("float16")
    try:
        return _classes(*dense(64, 64), layers.Dense(10, "softmax"))
    finally:
        keras.config.set_dtype_policy("float32")


def sample_weights_of_zero() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"))
    return problem._replace(more=SPLIT | {"sample_weight": np.zeros(800, "float32")})


def huge_class_weights() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"), optimizer=keras.optimizers.SGD(0.01))
    return problem._replace(more={"epochs": 5, "class_weight": dict.fromkeys(range(10), 1e4)})


def inputs_of_zero() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"))
    return problem._replace(x=np.zeros((800, 64), "float32"))


def poisson_without_bounds() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    model = stack((10,), *dense(32), layers.Dense(1))
    model.compile("adam", "poisson")
    return Problem(model, standard(x), np.round(y / 30).astype("float32"), SPLIT)


def divergence_of_logits() -> Problem:
    problem = _classes(*dense(32), layers.Dense(10), loss="kl_divergence")
    return problem._replace(y=keras.utils.to_categorical(problem.y))


def stopped_gradient() -> Problem:
    x, y = digits(800)
    given = keras.Input((64,))
    hidden = keras.ops.stop_gradient(layers.Dense(4, "relu")(given))
    model = keras.Model(given, layers.Dense(10, "softmax")(hidden), name="model")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return Problem(model, x, y, SPLIT)


def layer_normalization_of_one() -> Problem:
    return _values(*dense(32), layers.Dense(1), layers.LayerNormalization(), layers.Dense(1))


def few_updates() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"))
    return problem._replace(more={"validation_split": 0.2, "epochs": 5, "batch_size": 800})


def rate_lowered_at_once() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"), optimizer=keras.optimizers.SGD(0.01))
    falls = keras.callbacks.ReduceLROnPlateau(factor=0.01, patience=1, min_delta=10.0)
    return problem._replace(more=LONGER | {"callbacks": [falls]})


def adadelta() -> Problem:
    return _classes(*dense(64), layers.Dense(10, "softmax"), optimizer="adadelta")


def deep_plain_convolution() -> Problem:
    parts = [layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(20)]
    ends = (layers.Flatten(), layers.Dense(10, "softmax"))
    return _classes(*parts, *ends, shape=(8, 8, 1), optimizer=keras.optimizers.SGD(0.01))


def dropout_of_each_layer() -> Problem:
    parts = [part for _ in range(3) for part in (*dense(64), layers.Dropout(0.8))]
    return _classes(*parts, layers.Dense(10, "softmax"))


def labels_smoothed_away() -> Problem:
    smooth = keras.losses.CategoricalCrossentropy(label_smoothing=1.0)
    problem = _classes(*dense(64), layers.Dense(10, "softmax"), loss=smooth)
    return problem._replace(y=keras.utils.to_categorical(problem.y))


def rate_by_inverse_time() -> Problem:
    rate = keras.optimizers.schedules.InverseTimeDecay(0.05, 1, 5.0)
    return _classes(*dense(64), layers.Dense(10, "softmax"), optimizer=keras.optimizers.SGD(rate))


def rate_by_epoch() -> Problem:
    problem = _classes(*dense(64), layers.Dense(10, "softmax"), optimizer="sgd")
    falls = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 * 10.0 ** (-3 * epoch))
    return problem._replace(more=LONGER | {"callbacks": [falls]})


def biases_far_below_zero() -> Problem:
    start = keras.initializers.Constant(-10.0)
    return _classes(*dense(64, bias_initializer=start), layers.Dense(10, "softmax"))


def classes_by_binary_crossentropy() -> Problem:
    return _classes(*dense(64), layers.Dense(1, "sigmoid"), loss="binary_crossentropy")


def large_inputs_in_half() -> Problem:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        problem = _classes(*dense(64, 64), layers.Dense(10), layers.Activation("softmax", dtype="float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    return problem._replace(x=problem.x * np.float32(5e5))
