"""Training is the same with the recorder as without, number for number, and nothing of it stays."""

from __future__ import annotations

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
    keras.utils.clear_session()
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
