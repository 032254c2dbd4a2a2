"""Models of rarer kinds than those of `kinds.py`: their rows are those of their layers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from bench import Recorder
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
