"""A NaN planted in a training is found where it was planted: the step, the tensor and the layer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench import Recorder
from bench.results import read_tables

BATCH, STEPS = 8, 10
HIDDEN = 4
NAMES = [*(f"hidden_{k}" for k in range(HIDDEN)), "answer"]
PLACES = {"first": 0, "middle": 2, "last": HIDDEN}
MODES: dict[str, dict[str, Any]] = {"graph": {}, "XLA": {"jit_compile": True}, "eight": {"steps_per_execution": 8}}
TENSORS = ("weight", "activation", "loss", "gradient")
Now = Callable[[], tf.Tensor]


def nan_if(now: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """A tensor whose first number is NaN if it is time."""
    flat = tf.reshape(like, [-1])
    planted = tf.concat([tf.fill([1], np.float32(np.nan)), flat[1:]], axis=0)
    return tf.reshape(tf.where(now, planted, flat), tf.shape(like))


class Rotten(keras.layers.Dense):
    """A layer, one of whose weights becomes NaN as it is called."""

    now: Now

    def call(self, inputs: Any) -> Any:
        self.kernel.assign(nan_if(self.now(), self.kernel.value))
        return super().call(inputs)


def planted(tensor: str, layer: int, step: int, **compiled: Any) -> keras.Model:
    """A model in whose layer something becomes NaN at a step, wherever its function is run."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)

    def now() -> tf.Tensor:
        return tf.equal(tf.cast(optimizer.iterations.value, tf.int32), step)

    def ill(z: tf.Tensor) -> tf.Tensor:
        return nan_if(now(), tf.tanh(z))

    @tf.custom_gradient
    def ill_behind(z: tf.Tensor) -> Any:
        h = tf.tanh(z)
        return h, lambda gradient: nan_if(now(), gradient * (1.0 - h**2))

    def penalty(h: tf.Tensor) -> tf.Tensor:
        return tf.where(now(), np.float32(np.nan), 1e-3 * tf.reduce_sum(h**2))

    layers = []
    for number, name in enumerate(NAMES):
        here = number == layer
        activation = {"activation": ill, "gradient": ill_behind}.get(tensor, "tanh") if here else "tanh"
        kind = Rotten if here and tensor == "weight" else keras.layers.Dense
        more = {"activity_regularizer": penalty} if here and tensor == "loss" else {}
        layers.append(kind(6 if number < HIDDEN else 1, activation, name=name, **more))
        layers[-1].now = now
    model = keras.Sequential([keras.Input((4,)), *layers], name="stack")
    model.compile(optimizer, "mse", **compiled)
    return model


def fit(model: keras.Model, steps: int, *callbacks: Any) -> None:
    x = np.random.default_rng(1).normal(size=(BATCH * STEPS, 4)).astype("float32")[: BATCH * steps]
    y = np.tanh(x.sum(axis=1, keepdims=True))
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=list(callbacks))


def states(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(v) for v in [*model.variables, *model.optimizer.variables]]


GRID = list(product(TENSORS, PLACES, (0, 7), MODES, ("record", "stop")))
FEW = [
    ("weight", "first", 0, "graph", "record"), ("weight", "middle", 7, "eight", "stop"),
    ("activation", "middle", 0, "XLA", "record"), ("loss", "last", 0, "eight", "record"),
    ("gradient", "middle", 7, "graph", "stop"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [pytest.param(each, id="-".join(map(str, each)), marks=[] if each in FEW else pytest.mark.full) for each in GRID],
)
def test_a_planted_nan_is_found(case: tuple[str, str, int, str, str], tmp_path: Path) -> None:
    tensor, place, step, mode, on_nonfinite = case
    every = 1 if on_nonfinite == "record" else 100
    layer = PLACES[place]
    model = planted(tensor, layer, step, **MODES[mode])
    fit(model, STEPS, Recorder(tmp_path, every=every, on_nonfinite=on_nonfinite, live=False, report=False))
    (event,) = read_tables(tmp_path)["divergence_events"].to_dict("records")
    place = "" if np.isnan(event["layer_index"]) else NAMES[int(event["layer_index"])]
    assert (event["step"], event["kind"], event["tensor"], place) == (
        step, "nan", tensor, "" if tensor == "loss" else NAMES[layer],
    )  # fmt: skip
    if on_nonfinite == "record":
        return
    expected = planted(tensor, layer, step, **MODES[mode])
    if step:
        fit(expected, step)
    else:
        expected.optimizer.build(expected.trainable_variables)
    for a, b in zip(states(expected), states(model), strict=True):
        np.testing.assert_array_equal(a, b)
