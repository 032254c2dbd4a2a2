"""What is recorded is what an ordinary tape gives on the same weights and batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench import Recorder
from bench.results import read_tables
from tests.recorder.kinds import KINDS, Kind

BATCH = 16


def recorded(name: str, folder: Path) -> tuple[Kind, dict[str, pd.DataFrame], list[np.ndarray]]:
    """A kind of model with its weights before its first step, and what was recorded of that step."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    kind = KINDS[name]()
    start = kind.model.get_weights()
    recorder = Recorder(folder, every=1, live=False, report=False)
    kind.model.fit(
        kind.x[:BATCH], kind.y[:BATCH], batch_size=BATCH, verbose=0, shuffle=False, callbacks=[recorder]
    )  # fmt: skip
    return kind, read_tables(folder), start


def by_hand(model: keras.Model, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, float], list[float]]:
    """Gradient norms by variable, and those of the pre-activations of a chain of layers: sqrt(B sum dz^2)."""
    signal = []
    with tf.GradientTape() as tape:
        h: Any = tf.constant(x)
        for layer in model.layers:
            activation = getattr(layer, "activation", None)
            if activation is None or not layer.weights:
                h = layer(h)
                continue
            layer.activation = keras.activations.linear
            z = layer(h)
            layer.activation = activation
            tape.watch(z)
            signal.append(z)
            h = activation(z)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, h))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [*signal, *(v.value for v in variables)])
    norms = [float(np.sqrt(len(x)) * tf.norm(each)) for each in gradients[: len(signal)]]
    dense = [tf.convert_to_tensor(each) for each in gradients[len(signal) :]]
    return {v.path: float(tf.norm(g)) for v, g in zip(variables, dense, strict=True)}, norms


@pytest.mark.parametrize("name", ["mlp_clipnorm", pytest.param("conv_pool", marks=pytest.mark.full), "embedding"])
def test_gradients_are_those_of_a_tape(name: str, tmp_path: Path) -> None:
    kind, tables, start = recorded(name, tmp_path)
    kind.model.set_weights(start)
    weights, signal = by_hand(kind.model, kind.x[:BATCH], kind.y[:BATCH])
    rows = tables["gradient_norms"].query("step == 0").sort_values("layer_index")
    np.testing.assert_allclose(rows["preactivation_grad_norm"], signal, rtol=1e-5)
    kernels = [norm for path, norm in weights.items() if path.endswith("kernel")]
    np.testing.assert_allclose(rows["weight_grad_norm"], kernels, rtol=1e-5)
    groups = tables["parameter_groups"].query("step == 0")
    np.testing.assert_allclose(sorted(groups["grad_norm"]), sorted(weights.values()), rtol=1e-5)
    assert rows["layer_name"].tolist()[-1] == "head"


def test_updates_clipping_and_statistics(tmp_path: Path) -> None:
    kind, tables, start = recorded("mlp_clipnorm", tmp_path)
    moved = [np.linalg.norm(a - b) for a, b in zip(kind.model.get_weights(), start, strict=True)]
    rows = tables["gradient_norms"]
    np.testing.assert_allclose(rows["update_norm"], moved[::2], rtol=1e-3)
    curve = tables["loss_curves"].iloc[0]
    assert curve["clipped"]
    assert curve["clipped_grad_norm"] <= 0.02 * np.sqrt(len(moved)) * (1 + 1e-6) < curve["global_grad_norm"]
    looked = tables["activations"]
    assert looked["layer_index"].tolist() == [0, 1, 2, 3]
    assert looked["std"].between(0.0, 1.0).all()
    assert looked["saturated_fraction"].between(0.0, 1.0).all()


def test_an_update_of_momentum_is_recorded_of_wide_layers_too(tmp_path: Path) -> None:
    """Keras hands over the momentum variable itself, which is no tensor."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(40, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    before = [np.array(each) for each in model.get_weights()]
    x = np.random.default_rng(0).normal(size=(BATCH, 40))
    model.fit(x, x[:, :1], verbose=0, callbacks=[Recorder(tmp_path, every=1, live=False, report=False)])
    moved = [np.linalg.norm(now - then) for now, then in zip(model.get_weights(), before, strict=True)]
    found = read_tables(tmp_path)["parameter_groups"]["update_norm"]
    np.testing.assert_allclose(np.sort(found), np.sort(moved), rtol=1e-5)


def test_a_penalty_is_no_part_of_the_recorded_gradient(tmp_path: Path) -> None:
    kind, tables, start = recorded("mlp_l2", tmp_path)
    kind.model.set_weights(start)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(kind.y[:BATCH], kind.model(kind.x[:BATCH]), from_logits=True)
        )
    kernels = [v.value for v in kind.model.trainable_variables if v.path.endswith("kernel")]
    expected = [float(tf.norm(each)) for each in tape.gradient(loss, kernels)]
    np.testing.assert_allclose(tables["gradient_norms"]["weight_grad_norm"], expected, rtol=1e-4)
    np.testing.assert_allclose(tables["loss_curves"]["loss"], [float(loss)], rtol=1e-5)


def test_a_skipped_step_is_no_divergence(tmp_path: Path) -> None:
    _, tables, _ = recorded("mixed_float16", tmp_path)
    assert tables["divergence_events"]["kind"].tolist() == ["skipped_step"]
    assert tables["runs"]["status"].tolist() == ["completed"]
    assert tables["loss_curves"]["skipped"].tolist() == [1]


def test_the_first_bad_tensor_is_named(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "exponential"), keras.layers.Dense(2)])
    model.layers[0].kernel.assign(np.full((4, 4), 100.0))
    model.compile("sgd", "mse")
    x = np.ones((8, 4), "float32")
    model.fit(x, x[:, :2], verbose=0, callbacks=[Recorder(tmp_path, every=1, live=False, report=False)])
    event = read_tables(tmp_path)["divergence_events"].iloc[0]
    assert (event["step"], event["kind"], event["tensor"], event["layer_index"]) == (0, "infinity", "activation", 0)
    assert read_tables(tmp_path)["runs"]["status"].tolist() == ["diverged"]
