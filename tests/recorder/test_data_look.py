"""A look at what is trained on: whole arrays by their own row numbers, batches without drawing one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from bench import Recorder
from bench.recorder.data import DataLook
from bench.results import read_facts, read_tables

ROWS = 9000


def model(loss: str = "mse", *first: Any) -> keras.Model:
    keras.utils.set_random_seed(2)
    made = keras.Sequential([keras.Input((3,)), *first, keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    made.compile("sgd", loss)
    return made


def arrays() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")
    return x, x.sum(axis=1) + np.random.default_rng(1).normal(size=ROWS).astype("float32")


def fitted(
    folder: Path, *data: Any, made: keras.Model | None = None, **more: Any
) -> tuple[dict[str, Any], list[float]]:
    """What is kept of the look, and the losses."""
    made = made or model()
    history = made.fit(*data, verbose=0, callbacks=[Recorder(folder, report=False)], **more)
    (run,) = read_tables(folder)["runs"]["run_id"]
    return read_facts(folder, run)["data"], history.history["loss"]


def test_arrays_are_looked_at_before_they_are_trained_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    x, y = arrays()
    x[:, 1] *= 1e3
    x[8643, 2] = np.nan
    facts, _ = fitted(tmp_path, x, y, batch_size=ROWS // 2)
    said = capfd.readouterr().err.splitlines()
    assert said[1].startswith("gradtrial: data: 1 of the inputs is NaN or infinite, all in feature ")
    assert "in 1 row, the first in row 8643 " in said[1]
    assert (facts["rows"], facts["of"], [each["kind"] for each in facts["findings"]]) == (4096, ROWS, ["nonfinite"])


def test_a_generator_loses_no_batch(tmp_path: Path) -> None:
    x, y = arrays()

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for k in range(12):
            drawn.append(k)
            yield 50.0 * x[20 * k : 20 * k + 20], y[20 * k : 20 * k + 20]

    found = []
    for record in (False, True):
        drawn: list[int] = []
        made = model()
        if record:
            facts, losses = fitted(tmp_path, batches(), made=made)
        else:
            losses = made.fit(batches(), verbose=0).history["loss"]
        found.append((drawn, losses, [np.asarray(each).tolist() for each in made.optimizer.variables]))
    assert found[0] == found[1]  # the end of the data, which Keras's own graph counts as a step, too
    assert (facts["rows"], facts["of"], facts["findings"][0]["kind"]) == (200, None, "input_scale")


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda x, y: (x, y), []),
        (lambda x, y: (pd.DataFrame(x, columns=["a", "b", "c"]), pd.Series(1e4 * y)), ["target_scale"]),
        (lambda x, y: ({"only": np.where(x == x[:1], 1e6, x)}, y), ["outliers"]),
        (lambda x, y: ([x, x], y), []),
        (lambda x, y: ("nothing", None), []),
    ],
)
def test_what_is_odd_is_named(change: Any, kinds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = change(*arrays())
    monkeypatch.setattr("bench.recorder.data._given_to_fit", lambda _: {"x": x, "y": y})
    found = DataLook(model())
    found.at_arrays()
    said = {str(each.kind) for each in found.findings}
    assert set(kinds) <= said
    assert bool(kinds) == bool(said)


def test_scaling_layers_and_classes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = arrays()
    given = {"x": 100.0 * x, "y": (y > 3.5).astype("int32") + 1}
    monkeypatch.setattr("bench.recorder.data._given_to_fit", lambda _: given)
    found = DataLook(model("binary_crossentropy", keras.layers.Rescaling(0.01)))
    found.at_arrays()
    assert [str(each.kind) for each in found.findings] == ["not_probabilities", "logits"]
    found = DataLook(model("binary_crossentropy", keras.layers.Rescaling(0.01)))
    given["y"] -= 1
    found.at_arrays()
    assert [str(each.kind) for each in found.findings] == ["logits", "class_shares"]
