"""Models of rarer kinds than those of `kinds.py`: their rows are those of their layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from bench import Recorder
from bench.report import dump_report
from bench.results import read_tables

layers = keras.layers


def trained(model: keras.Model, folder: Path, dtype: str = "float32") -> list[str]:
    """The layers that a fit without a graph records, in their order; a page of somebody else's stays as it is."""
    page = folder / "index.html"
    page.write_text("<p>mine</p>")
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(dtype)
    y = (x[:, 0] > 0).astype("int32")
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[Recorder(folder, every=1, live=False)])
    assert page.read_text() == "<p>mine</p>"
    tables = read_tables(folder)
    assert tables["runs"]["status"].tolist() == ["completed"]
    assert len(tables["loss_curves"]) == 2
    return [str(each) for each in tables["gradient_norms"].query("step == 0")["layer_name"]]


def test_a_network_of_float64_is_recorded(tmp_path: Path) -> None:
    parts = [layers.Dense(5, each, dtype="float64", name=each) for each in ("relu", "tanh")]
    head = layers.Dense(2, "softmax", dtype="float64")
    model = keras.Sequential([keras.Input((4,), dtype="float64"), *parts, head], name="wide")
    assert trained(model, tmp_path, "float64") == ["wide/relu", "wide/tanh", "head"]
    seen = read_tables(tmp_path)["activations"].query("step == 0")
    assert seen[["std", "dead_fraction", "pair_correlation"]].notna().all(axis=None)


def test_what_a_wrapper_keeps_of_its_layer_is_no_layer(tmp_path: Path) -> None:
    wrapped = layers.SpectralNormalization(layers.Dense(5, "relu", name="inner"), name="spectral")
    model = keras.Sequential([keras.Input((4,)), wrapped, layers.Dense(2, "softmax")], name="wraps")
    assert trained(model, tmp_path) == ["wraps/spectral/inner", "head"]
    assert read_tables(tmp_path)["runs"]["depth"].tolist() == [1]


def test_where_no_epoch_is_left_nothing_is_made(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, "softmax")], name="done")
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.zeros((8, 4), "float32"), np.zeros(8, "int32")
    model.fit(x, y, initial_epoch=2, epochs=2, verbose=0, callbacks=[Recorder(tmp_path, live=False)])
    assert not model.optimizer.built
    assert not (tmp_path / "index.html").exists()


class Block(layers.Layer):
    """Two layers; `again`: what they make is made once more on the way back."""

    def __init__(self, *, again: bool) -> None:
        super().__init__(name="block")
        self.one, self.two = layers.Dense(5, "relu"), layers.Dense(6, "tanh")
        self.inner = keras.remat(self.both) if again else self.both

    def build(self, shape: tuple[int, ...]) -> None:
        self.one.build(shape)
        self.two.build((None, 5))

    def both(self, x: Any) -> Any:
        return self.two(self.one(x))

    def call(self, x: Any) -> Any:
        return self.inner(x)


def of_block(*, again: bool) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), Block(again=again), layers.Dense(1)], name="again")


def within_scope(*, again: bool) -> keras.Model:
    with keras.RematScope(mode="full" if again else None):
        parts = [layers.Dense(6, "tanh"), layers.Reshape((2, 3)), layers.LSTM(4), layers.Dense(5, "relu")]
        return keras.Sequential([keras.Input((4,)), *parts, layers.Dense(1)], name="again")


@pytest.mark.traced
@pytest.mark.parametrize(("make", "eager"), [(of_block, False), (within_scope, True)])
def test_what_is_computed_anew_on_the_way_back_is_one_row(make: Any, eager: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    found = []
    for again in (False, True):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        model = make(again=again)
        model.compile("sgd", "mse", run_eagerly=eager)
        folder = tmp_path / str(again)
        recorder = Recorder(folder, every=1, live=False, report=False)
        history = model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[recorder])
        found.append((history.history["loss"], read_tables(folder)))
    (plain, rows), (other, twice) = found
    np.testing.assert_allclose(plain, other, rtol=1e-5)
    for name in ("gradient_norms", "activations"):
        columns = [each for each in rows[name] if each != "run_id"]
        pd.testing.assert_frame_equal(rows[name][columns], twice[name][columns], rtol=1e-4)
    assert twice["gradient_norms"]["preactivation_grad_norm"].gt(0.0).sum() >= 4


def test_a_last_batch_of_one_row_is_no_collapse(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu"), layers.Dense(1)], name="odd")
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[Recorder(tmp_path, every=1, live=False, report=False)])
    found = read_tables(tmp_path)["activations"].set_index("step")["pair_correlation"]
    assert found.notna().tolist() == [True, False]
    assert "Activations collapse" not in str(dump_report(tmp_path))
