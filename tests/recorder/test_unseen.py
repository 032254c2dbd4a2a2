"""What a recorded step cannot see is named, with its reason, in the manifest, on the page and by `bench show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench import Recorder
from bench.commands.show import show_run
from bench.recorder.unseen import (
    CELL,
    FROZEN,
    HIDDEN,
    INSIDE,
    NO_TENSOR,
    NOT_CALLED,
    OPERATIONS,
    OWN_WEIGHTS,
    left_out,
)
from bench.report import dump_report
from bench.results import read_manifest

layers = keras.layers


class Pair(layers.Layer):
    """Gives back a dict, so that no one tensor is its output."""

    def build(self, shape: Any) -> None:
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")

    def call(self, x: Any) -> dict[str, Any]:
        return {"made": x @ self.matrix, "given": x}


class Hides(keras.Model):
    """Of each kind of what cannot be seen one, and a head that can."""

    def __init__(self) -> None:
        super().__init__(name="hides")
        self.inner = layers.Dense(4, name="inner")
        self.pair = Pair(name="pair")
        self.direct = layers.Dense(4, use_bias=False, name="direct")
        self.spare = layers.Dense(4, name="spare")
        self.lstm = layers.LSTM(4, name="lstm")
        self.mix = self.add_weight(shape=(4, 4), name="mix")
        self.head = layers.Dense(1, name="answer")
        for each in (self.inner, self.direct, self.spare):
            each.build((None, None, 4))

    def call(self, x: Any) -> Any:
        h = self.pair(tf.function(self.inner)(x))["made"]
        return self.head(self.lstm(h @ self.direct.kernel) @ self.mix)


def test_each_is_named_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Hides()
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((4, 3, 4), "float32")
    model.fit(x, x[:, 0, :1], verbose=0, epochs=2, callbacks=[Recorder(tmp_path, every=1, live=False, report=False)])
    ((run, unseen),) = read_manifest(tmp_path).unseen.items()
    assert {name.rpartition("/")[2]: why for name, why in unseen.items()} == {
        "inner": INSIDE, "pair": NO_TENSOR, "direct": HIDDEN, "spare": NOT_CALLED, "lstm": CELL,
        "mix": OWN_WEIGHTS,
    }  # fmt: skip
    (section,) = [each for each in dump_report(tmp_path)["sections"] if each["id"] == "unseen"]
    assert all(why in str(section) for why in unseen.values())
    capsys.readouterr()
    show_run(tmp_path, run)
    said = capsys.readouterr().out
    assert all(f"not seen: {name}: {why}" in said for name, why in unseen.items())
    assert "bench script" not in said  # of a suite's runs alone


def test_operations_between_layers_are_counted() -> None:
    inputs = keras.Input((4,))
    hidden = keras.ops.tanh(layers.Dense(4)(inputs)) * 2.0
    model = keras.Model(inputs, layers.Dense(1)(hidden * 3.0))
    first, last = (each for each in model.layers if each.weights)
    seen = {id(first): False, id(last): True}
    found = left_out(model, (), (), seen, lambda each: True, {})
    assert found == {first.path: FROZEN, "Tanh, 2 Multiply": OPERATIONS}
