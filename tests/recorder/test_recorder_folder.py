"""Whatever happens to a recorder, a folder or a fit is one sentence, and training goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import bench.recorder.dispatch
from bench import Recorder
from bench.recorder.refusals import PRIVATE, TESTED, objection
from bench.results import read_manifest, read_tables
from tests.recorder.kinds import KINDS, Kind

ROOT = Path(__file__).parents[2]


def fit(kind: Kind, *callbacks: keras.callbacks.Callback, epochs: int = 1) -> dict[str, list[float]]:
    found = kind.model.fit(kind.x, kind.y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return dict(found.history)


def recorder(folder: Path, **more: object) -> Recorder:
    return Recorder(folder, report=False, **more)  # type: ignore[arg-type]


@pytest.fixture
def kind() -> Kind:
    keras.utils.set_random_seed(3)
    return KINDS["mlp_relu_adam"]()


def test_importing_bench_does_not_import_tensorflow() -> None:
    code = "import sys, bench; assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_runs_of_the_same_settings_are_replicates(
    kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = recorder(tmp_path, live=False, settings={"dataset": "digits", "learning_rate": 0.5})
    fit(kind, one)
    again = keras.Sequential([keras.Input((8,)), *kind.model.layers], name="stack")
    again.compile("adam", kind.model.loss, metrics=["accuracy"])
    again.fit(kind.x, kind.y, batch_size=32, initial_epoch=3, epochs=4, verbose=0, callbacks=[one])
    runs = read_tables(tmp_path)["runs"]
    assert runs["replicate"].tolist() == [0, 1]
    assert runs["steps"].tolist() == runs["steps_completed"].tolist() == [3, 3]
    assert runs["optimizer"].unique().tolist() == ["adam"]
    assert runs["depth"].tolist() == [3, 3]
    assert runs["dataset"].unique().tolist() == ["digits"]
    assert "settings say learning_rate 0.5, the model says 0.001" in capfd.readouterr().err
    assert read_manifest(tmp_path).suite == "own"


def test_models_of_one_process_are_replicates_unless_they_have_names_of_their_own(tmp_path: Path) -> None:
    x = np.ones((8, 4), "float32")
    for name in (None, None, "mine_1", "mine_2"):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)], name=name)
        model.compile("sgd", "mean_squared_error")
        model.fit(x, x[:, :1], verbose=0, callbacks=[recorder(tmp_path, live=False)])
    runs = read_tables(tmp_path)["runs"]
    assert sorted(zip(runs["cell_key"].str.rpartition("-")[0], runs["replicate"], strict=True)) == [
        ("mine_1", 0), ("mine_2", 0), ("sequential", 0), ("sequential", 1),
    ]  # fmt: skip


def test_a_folder_of_another_suite_is_left_alone(kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert fit(kind, recorder(tmp_path))["loss"]
    said = capfd.readouterr().err
    assert said.startswith("gradtrial: not recording:")
    assert said.endswith("Training goes on without a record.\n")
    assert (tmp_path / "manifest.json").read_text() == "{}"


def test_two_recorders_in_a_fit(kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(kind, recorder(tmp_path / "a", every=1, live=False), recorder(tmp_path / "b", every=1, live=False))
    assert "b: this is recorded into" in capfd.readouterr().err
    assert len(read_tables(tmp_path / "a")["loss_curves"]) == 3
    assert not (tmp_path / "b").exists()


def test_a_fault_of_the_recorder_is_not_the_trainings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(3)
    plain = KINDS["mlp_relu_adam"]()
    expected = fit(plain, epochs=2)
    monkeypatch.setattr(bench.recorder.dispatch.StepTrace, "_finish", lambda self: 1 / 0)
    keras.utils.set_random_seed(3)
    kind = KINDS["mlp_relu_adam"]()
    assert fit(kind, recorder(tmp_path, live=False), epochs=2) == expected
    assert capfd.readouterr().err.count("gradtrial:") == 1
    for a, b in zip(plain.model.get_weights(), kind.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Stops(keras.callbacks.Callback):
    """Ends a fit as Ctrl-C does."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if batch == 1:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_the_rows_and_leaves_no_trace(kind: Kind, tmp_path: Path) -> None:
    twin = KINDS["mlp_relu_adam"]()
    fit(twin)
    one = recorder(tmp_path, every=1, live=False)
    with pytest.raises(KeyboardInterrupt):
        fit(kind, one, Stops())
    for layer, other in zip(kind.model._flatten_layers(), twin.model._flatten_layers(), strict=True):
        assert vars(layer).keys() == vars(other).keys()
    assert kind.model.train_function.__module__.startswith("keras")
    assert vars(kind.model.optimizer).keys() == vars(twin.model.optimizer).keys()
    assert len(fit(kind)["loss"]) == 1
    one.close()
    run = read_tables(tmp_path)["runs"].iloc[0]
    assert (run["status"], run["error"]) == ("failed", "interrupted")
    assert read_tables(tmp_path)["loss_curves"]["step"].tolist() == [0, 1]


def test_what_cannot_be_recorded_is_one_sentence(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not objection(kind.model, [kind.model.optimizer])
    assert "no optimizer" in objection(kind.model, [])
    kind.model.optimizer.build(kind.model.trainable_variables)
    assert not objection(kind.model, [kind.model.optimizer])
    kind.model.layers[0].trainable = False
    assert "compile it again, as Keras asks for" in objection(kind.model, [kind.model.optimizer])
    kind.model.layers[0].trainable = True
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert "tf.distribute" in objection(kind.model, [kind.model.optimizer])
    for owner, names in PRIVATE.items():
        for name in names:
            with monkeypatch.context() as patch:
                patch.setitem(PRIVATE, owner, (f"{name}_of_another_version",))
                said = objection(kind.model, [kind.model.optimizer])
                assert f"Keras {keras.version()} has no {owner}.{name}_of" in said


def test_the_versions_that_are_named_are_those_that_are_tried() -> None:
    oldest, newest = TESTED
    assert f'"keras>={oldest}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"keras=={oldest}.0 " in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"\nkeras=={newest}." in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_a_wrong_word_is_refused_at_once(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"every": 0}, 'every=0 is not allowed: a whole number of steps, at least 1, or "auto"'),
        ({"folder": None}, "folder=None is not allowed: a path"),
        ({"replicate": "x"}, "replicate='x' is not allowed: a whole number from 0"),
        ({"settings": ["a"]}, "settings=.* is not allowed: a dict"),
        ({"settings": {"widht": 3}}, 'there is no "widht". Did you mean "width"'),
    ]
    for given, said in wrong:
        with pytest.raises(ValueError, match=said):
            Recorder(**({"folder": tmp_path} | given))


@pytest.mark.full
def test_a_recorder_that_another_fit_takes_over_keeps_its_rows(
    kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, other = recorder(tmp_path, live=False), KINDS["mlp_clipnorm"]().model
    frozen = KINDS["mlp_clipnorm"]().model
    frozen.trainable = False
    frozen.compile("sgd", frozen.loss)

    class Inner(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            fit(kind._replace(model=other), one)

    fit(kind, one, Inner())
    assert 'the record of "stack" ends: its recorder was given to another.' in capfd.readouterr().err
    runs = read_tables(tmp_path)["runs"]
    assert runs.sort_values("status")["status"].tolist() == ["completed", "failed"]
    assert runs["steps_completed"].tolist() == [3, 3]
    fit(kind._replace(model=frozen), recorder(tmp_path / "frozen", live=False))
    assert "not recording: the model has nothing that trains. Training goes on" in capfd.readouterr().err
    (tmp_path / "file").write_text("x")
    fit(kind._replace(model=other), recorder(tmp_path / "file"))
    assert "cannot be written to (File exists). Give another folder. Training goes on" in capfd.readouterr().err
