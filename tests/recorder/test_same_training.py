"""Training is the same with the recorder as without, number for number, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bench import Recorder
from bench.results import read_tables
from tests.recorder.kinds import KINDS, Kind

BATCH = 16
FEW = ("mlp_clipnorm", "conv_batch_normalization", "mixed_float16", "eight_at_once")
# Where reading a tensor changes how TensorFlow computes it: by how much, and why (docs/design.md).
EXCEPTIONS: dict[str, float] = {}


def states_of(model: keras.Model) -> list[np.ndarray]:
    """All numbers of a model and of its optimizers."""
    found = [np.asarray(each) for each in model.variables]
    for name in ("optimizer", "of_maker", "of_judge"):
        optimizer = getattr(model, name, None)
        found += [np.asarray(each) for each in optimizer.variables] if optimizer is not None else []
    return found


def trained(name: str, epochs: int, callbacks: list[Any]) -> tuple[Kind, dict[str, Any]]:
    """A kind of model after so many epochs of 6 steps."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    kind = KINDS[name]()
    history = kind.model.fit(kind.x, kind.y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    return kind, history.history


def difference(name: str, epochs: int, folder: Path) -> tuple[float, bool]:
    """The largest difference that the recorder makes to a model or its optimizer, and whether histories are equal."""
    plain, plain_history = trained(name, epochs, [])
    found, history = trained(name, epochs, [Recorder(folder, every=1, live=False, report=False)])
    pairs = list(zip(states_of(plain.model), states_of(found.model), strict=True))
    largest = max(float(np.max(np.abs(a.astype(np.float64) - b), initial=0.0)) for a, b in pairs if a.dtype.kind == "f")
    assert all(np.array_equal(a, b) for a, b in pairs if a.dtype.kind != "f")
    assert not [name for layer in found.model._flatten_layers() for name in vars(layer) if name == "call"]
    return largest, history == plain_history


CASES = [*((name, 1) for name in FEW), *((name, 5) for name in KINDS)]  # epochs of 6 steps


@pytest.mark.parametrize(
    ("name", "epochs"), [pytest.param(*case, marks=[] if case[1] == 1 else pytest.mark.full) for case in CASES]
)
def test_training_is_the_same(name: str, epochs: int, tmp_path: Path) -> None:
    largest, same = difference(name, epochs, tmp_path / "own")
    assert largest <= EXCEPTIONS.get(name, 0.0)
    assert same or name in EXCEPTIONS
    assert len(read_tables(tmp_path / "own")["loss_curves"]) == epochs * 6


def of_open_length() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches whose tokens differ in number, none of them a power of two: so dividing by it is not exact."""
    rng = np.random.default_rng(0)
    for length in (5, 7, 9, 5):
        yield rng.integers(0, 20, size=(20, length)), rng.integers(0, 3, size=20)


@pytest.mark.full
@pytest.mark.traced
def test_training_is_the_same_whatever_length_sequences_have(tmp_path: Path) -> None:
    layers, found = keras.layers, []
    for callbacks in ([], [Recorder(tmp_path / "own", every=1, live=False, report=False)]):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(3)
        parts = [layers.Embedding(20, 6), layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]
        model = keras.Sequential([keras.Input((None,), dtype="int32"), *parts])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(of_open_length(), verbose=0, callbacks=callbacks)
        found.append(states_of(model))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(read_tables(tmp_path / "own")["loss_curves"]) == 4


class FromSecondEpoch(keras.callbacks.Callback):
    """Changes what only a trace reads: without a recorder the steps are those that were traced at first."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.layers[0].trainable = False
            self.model.layers[2].rate = 0.8


def changed_on_the_way(folder: Path | None, batch: int, **asked: Any) -> list[np.ndarray]:
    """All numbers after four epochs."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    layers = keras.layers
    parts = [layers.Dense(12, "tanh"), layers.Dense(12), layers.Dropout(0.1), layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((8,)), *parts])
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(96, 8)).astype("float32")
    recorder = [] if folder is None else [Recorder(folder, live=False, report=False, **asked)]
    y = (x[:, 0] > 0).astype("int32")
    model.fit(x, y, batch_size=batch, epochs=4, verbose=0, callbacks=[FromSecondEpoch(), *recorder])
    return states_of(model)


@pytest.mark.traced
@pytest.mark.parametrize(
    ("batch", "asked"),
    [(16, {}), *(pytest.param(*each, marks=pytest.mark.full)
                 for each in ((7, {}), (7, {"every": 25}), (20, {"on_nonfinite": "stop"})))],
)  # fmt: skip
def test_what_a_callback_changes_that_only_a_trace_reads(batch: int, asked: dict[str, Any], tmp_path: Path) -> None:
    plain = changed_on_the_way(None, batch)
    for one, other in zip(plain, changed_on_the_way(tmp_path / "own", batch, **asked), strict=True):
        np.testing.assert_array_equal(one, other)
