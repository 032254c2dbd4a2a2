"""A step that is not finite is held back, kept, and made again; training without one is the same."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from kinds import KINDS

from bench import Recorder
from bench.commands.replay import show_replay
from bench.errors import ResultsError
from bench.recorder.replay import replay
from bench.recorder.stopped import NonFinite
from bench.results import read_tables

STEPS, BAD = 6, 4  # batches, and the one that is not finite


def model_of(**more: object) -> keras.Model:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    dense = [keras.layers.Dense(6, "tanh", name=f"hidden_{k}") for k in range(3)]
    parts = [*dense, keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1, name="answer")]
    model = keras.Sequential([keras.Input((4,)), *parts], name="stack")
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", **more)  # type: ignore[arg-type]
    return model


def data(bad: bool = True) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(1).normal(size=(8 * STEPS, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    if bad:
        y[8 * BAD + 2] = np.nan
    return x, y


def states(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(v) for v in [*model.variables, *model.optimizer.variables]]


def fit(model: keras.Model, steps: int, *callbacks: object, bad: bool = True) -> None:
    x, y = data(bad)
    model.fit(x[: 8 * steps], y[: 8 * steps], batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("every", [100, pytest.param(1, marks=pytest.mark.full)])
def test_a_stop_keeps_everything_as_before_the_step_and_the_step_is_made_again(
    every: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = model_of()
    fit(expected, BAD)
    stopped = model_of()
    fit(stopped, STEPS, Recorder(tmp_path / "own", every=every, on_nonfinite="stop", live=False, report=False))
    for a, b in zip(states(expected), states(stopped), strict=True):
        np.testing.assert_array_equal(a, b)
    said = capsys.readouterr().err
    assert f"step {BAD}: NaN in the target; stopped before the update" in said
    (run,) = read_tables(tmp_path / "own")["runs"].to_dict("records")
    assert (run["status"], run["steps_completed"]) == ("diverged", BAD)
    stop, links = replay(tmp_path / "own")
    assert (stop.step, stop.tensor) == (BAD, "target")
    bad = [link for link in links if not link.finite]
    assert [bad[0].tensor, bad[1].tensor] == ["target", "loss"]
    assert {link.layer for link in bad if link.tensor == "gradient"} >= {"hidden_0", "answer"}
    assert {link.layer for link in bad if link.tensor == "weights' gradient"} >= {"hidden_0/kernel", "answer/bias"}
    assert not [link for link in bad if link.tensor in ("activation", "weight")]
    show_replay(tmp_path / "own", "", "", "", as_json=False)
    assert "the first that is not finite is the target" in capsys.readouterr().out


def test_raise_raises_and_leaves_nothing_on_the_model(tmp_path: Path) -> None:
    model = model_of()
    with pytest.raises(NonFinite, match="stopped before the update") as caught:
        fit(model, STEPS, Recorder(tmp_path / "own", on_nonfinite="raise", live=False, report=False))
    assert (caught.value.step, caught.value.tensor) == (BAD, "target")
    assert "compute_loss" not in vars(model)
    fit(model, BAD, bad=False)  # it trains on
    assert np.isfinite(np.concatenate([each.ravel() for each in states(model)])).all()


def test_weights_that_an_update_would_make_infinite_are_held_back(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="answer")], name="stack")
    model.compile(keras.optimizers.SGD(3e38), "mse")
    before = [np.asarray(v) for v in model.weights]
    x, y = data(bad=False)
    record = Recorder(tmp_path / "own", on_nonfinite="stop", live=False, report=False)
    model.fit(x, 100.0 * y, batch_size=8, shuffle=False, verbose=0, callbacks=[record])
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))
    stop, links = replay(tmp_path / "own")
    assert (stop.step, stop.kind, stop.tensor) == (0, "infinity", "weight")
    assert all(link.finite for link in links)


@pytest.mark.full
@pytest.mark.parametrize("name", ["mlp_relu_adam", "conv_batch_normalization"])
def test_a_guard_changes_nothing(name: str, tmp_path: Path) -> None:
    found = []
    for callbacks in ([], [Recorder(tmp_path / "own", every=4, on_nonfinite="stop", live=False, report=False)]):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(7)
        kind = KINDS[name]()
        kind.model.fit(kind.x, kind.y, batch_size=16, verbose=0, callbacks=callbacks)
        found.append(states(kind.model))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_replayed_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no training was stopped here"):
        replay(tmp_path)
    with pytest.raises(ValueError, match=r"on_nonfinite='stopp' is not allowed.*stop"):
        Recorder(tmp_path, on_nonfinite="stopp")
    model = model_of()
    fit(model, STEPS, Recorder(tmp_path / "own", on_nonfinite="stop", live=False, report=False))
    for given, said in (("nowhere", "write module:function"), ("nowhere:build", "ModuleNotFoundError")):
        with pytest.raises(ResultsError, match=said):
            replay(tmp_path / "own", model=given)
    with pytest.raises(ResultsError, match="no stopped run"):
        replay(tmp_path / "own", run="other")
