"""A loop of one's own: its step trains the same when it is watched, and is recorded as `fit` is."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench import Recorder
from bench.analysis import judge
from bench.commands.replay import show_replay
from bench.errors import ResultsError
from bench.recorder.replay import replay
from bench.recorder.stepping import loss_within
from bench.recorder.stopped import NonFinite
from bench.results import read_tables

STEPS, BAD = 12, 7
X = np.random.default_rng(0).normal(size=(STEPS, 16, 4)).astype("float32")
Y = (X[..., 0] > 0).astype("int32")
MAKERS: dict[str, Callable[..., Any]] = {
    "plain": lambda step: step,
    "graph": tf.function,
    "jit": lambda step: tf.function(step, jit_compile=True, reduce_retracing=True),
    "signature": lambda step: tf.function(
        step, input_signature=[tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None], tf.int32)]
    ),
}


class Loop:
    """A model, its optimizer and the step that a loop makes, with a branch that AutoGraph writes."""

    def __init__(self) -> None:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(3)
        hidden = [keras.layers.Dense(6, "tanh", name=f"hidden_{k}") for k in range(2)]
        parts = [*hidden, keras.layers.Dropout(0.2), keras.layers.Dense(2, name="answer")]
        self.model = keras.Sequential([keras.Input((4,)), *parts], name="stack")
        self.optimizer = keras.optimizers.Adam(0.01, clipnorm=0.5)
        self.loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.loss_of(y, self.model(x, training=True))
            if tf.reduce_max(x) > 1e9:
                loss = 2.0 * loss
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss

    def states(self) -> list[np.ndarray]:
        return [v.numpy() for v in [*self.model.variables, *self.optimizer.variables]]

    def train(self, step: Callable[..., tf.Tensor], x: np.ndarray = X) -> list[float]:
        return [float(step(tf.constant(a), y=tf.constant(b))) for a, b in zip(x, Y, strict=True)]


def watched(made: str, recorder: Recorder, x: np.ndarray = X) -> tuple[Loop, list[float]]:
    loop = Loop()
    with recorder.watch(MAKERS[made](loop.step), model=loop.model, optimizer=loop.optimizer) as step:
        losses = loop.train(step, x)
        step.scores({"loss": losses[-1], "val_accuracy": 0.5, "val_loss": 0.7})
    return loop, losses


def again(made: str) -> tuple[Any, keras.Model, Any]:
    """What `watch` was given, anew."""
    loop = Loop()
    return MAKERS[made](loop.step), loop.model, loop.optimizer


@pytest.mark.parametrize(
    "made", ["plain", "graph", *(pytest.param(each, marks=pytest.mark.full) for each in ("jit", "signature"))]
)
def test_a_watched_loop_trains_the_same(made: str, tmp_path: Path) -> None:
    plain = Loop()
    expected = plain.train(MAKERS[made](plain.step))
    loop, losses = watched(made, Recorder(tmp_path, every=5, live=False, report=False))
    assert losses == expected
    for a, b in zip(plain.states(), loop.states(), strict=True):
        np.testing.assert_array_equal(a, b)
    for owner, other in ((loop.model, plain.model), (loop.optimizer, plain.optimizer)):
        assert vars(owner).keys() == vars(other).keys()
    for layer, other in zip(loop.model.layers, plain.model.layers, strict=True):
        assert vars(layer).keys() == vars(other).keys()
    tables = read_tables(tmp_path)
    np.testing.assert_allclose(tables["loss_curves"]["loss"], expected[::5], rtol=1e-6)
    assert tables["gradient_norms"]["layer_name"].tolist()[:3] == ["stack/hidden_0", "stack/hidden_1", "head"]
    (run,) = tables["runs"].to_dict("records")
    assert (run["status"], run["steps_completed"], run["optimizer"]) == ("completed", STEPS, "adam")
    asked = np.bincount(Y[::5].ravel()) / Y[::5].size  # of the targets of the steps that were recorded
    assert (run["loss"], run["targets"]) == ("categorical_crossentropy", "classes")
    assert run["naive_accuracy"] == pytest.approx(asked.max())
    assert judge(tables)["outcome"].tolist() == ["not_learned"]  # half are right
    assert tables["evaluations"]["split"].tolist() == ["train", "validation"]


@pytest.mark.parametrize("made", ["graph", pytest.param("plain", marks=pytest.mark.full)])
def test_a_watched_step_is_held_back_and_made_again(
    made: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = X.copy()
    x[BAD, 3, 1] = np.nan
    expected = Loop()
    for a, b in zip(X[:BAD], Y[:BAD], strict=True):
        expected.step(tf.constant(a), tf.constant(b))
    loop, losses = watched(made, Recorder(tmp_path, every=100, on_nonfinite="stop", live=False, report=False), x)
    assert np.isfinite(losses[:BAD]).all()
    assert np.isnan(losses[BAD:]).all()
    assert f"step {BAD}: NaN in the input; stopped before the update" in capfd.readouterr().err
    for a, b in zip(expected.states(), loop.states(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0 if made == "plain" else 1e-4, atol=0 if made == "plain" else 1e-6)
    stop, links = replay(tmp_path)
    assert (stop.step, [link.tensor for link in links if not link.finite][:2]) == (BAD, ["input", "pre-activation"])
    show_replay(tmp_path, "", "", "", as_json=False)
    said = " ".join(capfd.readouterr().out.split())
    assert "is not made again without its lines" in said
    assert "As it was recorded: the first that is not finite is the input" in said
    monkeypatch.setattr(sys.modules[__name__], "made_again", lambda: again(made), raising=False)
    _, remade = replay(tmp_path, step=f"{__name__}:made_again")
    assert [(link.tensor, link.layer, link.finite) for link in remade] == [
        (link.tensor, link.layer, link.finite) for link in links
    ]
    np.testing.assert_allclose([link.norm for link in remade], [link.norm for link in links], rtol=1e-5)
    with pytest.raises(ResultsError, match="a loop of your own made this step"):
        replay(tmp_path, model="mine:build")
    assert read_tables(tmp_path)["runs"]["status"].tolist() == ["diverged"]


@pytest.mark.parametrize("made", ["plain", pytest.param("graph", marks=pytest.mark.full)])
def test_a_watched_step_raises_where_it_is_told_to(made: str, tmp_path: Path) -> None:
    x = X.copy()
    x[BAD, 3, 1] = np.nan
    loop = Loop()
    recorder = Recorder(tmp_path, on_nonfinite="raise", live=False, report=False)
    with (
        pytest.raises(NonFinite) as caught,
        recorder.watch(MAKERS[made](loop.step), model=loop.model, optimizer=loop.optimizer) as step,
    ):
        loop.train(step, x)
    assert (caught.value.step, caught.value.tensor) == (BAD, "input")
    assert read_tables(tmp_path)["runs"]["status"].tolist() == ["diverged"]


def test_two_models_and_two_optimizers(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    judge = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(1)], name="judge")
    maker = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(4)], name="maker")
    for_judge, for_maker = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01)

    @tf.function
    def step(real: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape(persistent=True) as tape:
            made = maker(tf.ones((16, 2)))
            fooled = -tf.reduce_mean(judge(made))
            loss = tf.reduce_mean(judge(made)) - tf.reduce_mean(judge(real))
        for_judge.apply(tape.gradient(loss, judge.trainable_variables), judge.trainable_variables)
        for_maker.apply(tape.gradient(fooled, maker.trainable_variables), maker.trainable_variables)
        return {"loss": loss, "fooled": fooled}

    recorder = Recorder(tmp_path, every=1, live=False, report=False)
    with recorder.watch(step, model=[maker, judge], optimizer=[for_judge, for_maker]) as step_of:
        for x in X[:3]:
            step_of(tf.constant(x))
    groups = read_tables(tmp_path)["parameter_groups"]
    assert groups["step"].unique().tolist() == [0, 1, 2]
    assert groups.query("step == 0")["update_norm"].notna().sum() == 8
    assert read_tables(tmp_path)["runs"]["optimizer"].tolist() == ["mixed"]


class Late(keras.Model):
    """Makes its variables when it is called; one of its layers only when that is called itself."""

    def __init__(self, *, later: bool) -> None:
        super().__init__()
        self.hidden, self.answer, self.later = keras.layers.Dense(5, "tanh"), keras.layers.Dense(2), later
        self.spare = keras.layers.Dense(5)

    def build(self, shape: Any) -> None:
        self.hidden.build(shape)
        if not self.later:
            self.answer.build((None, 5))
        self.built = True

    def call(self, x: Any) -> Any:
        return self.answer(self.hidden(x))


@pytest.mark.parametrize("later", [False, True])
def test_a_plain_step_that_makes_the_variables_is_recorded_if_all_layers_have_them(later: bool, tmp_path: Path) -> None:
    found = []
    for recorder in (None, Recorder(tmp_path, every=1, live=False, report=False)):
        loop = Loop()
        loop.model = Late(later=later)
        step: Any = loop.step
        if recorder is not None:
            step = recorder.watch(step, model=loop.model, optimizer=loop.optimizer)
        found.append((loop.train(step), loop.states()))
    step.__exit__(None, None, None)
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_tables(tmp_path)["loss_curves"]["step"].tolist() == list(range(int(later), STEPS))
    names = read_tables(tmp_path)["gradient_norms"]["layer_name"].tolist()
    assert [each.rpartition("/")[2] for each in names[:2]] == [loop.model.hidden.name, "head"]


def test_which_loss_a_step_compares_with_is_what_its_lines_name() -> None:
    loop, mse = Loop(), keras.losses.MeanSquaredError()
    assert loss_within(loop.step) is loop.loss_of
    assert loss_within(lambda x, y: mse(y, x)) is mse
    assert loss_within(lambda x, y: keras.losses.huber(y, x)) is keras.losses.huber
    assert loss_within(lambda x, y: keras.losses.Huber()(y, x)) is keras.losses.Huber
    assert loss_within(lambda x, y: mse(y, x) + keras.losses.huber(y, x)) is None
    assert loss_within(lambda x, y: x - y) is None


@pytest.mark.full
def test_what_an_inner_function_does_is_named_as_unseen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = Loop()
    expected = plain.train(tf.function(plain.step))
    loop = Loop()
    inner = tf.function(loop.step)
    recorder = Recorder(tmp_path, every=1, live=False, report=False)
    with recorder.watch(lambda x, y: inner(x, y), model=loop.model, optimizer=loop.optimizer) as step:
        assert loop.train(step) == expected
    assert "no layer with weights was seen in the step" in capfd.readouterr().err
    for a, b in zip(plain.states(), loop.states(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("made", ["plain", pytest.param("graph", marks=pytest.mark.full)])
def test_a_fault_in_a_look_does_not_stop_a_loop(
    made: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Loop()
    expected = plain.train(MAKERS[made](plain.step))
    for name in ("_row", "_gradient", "_look_at_data"):
        monkeypatch.setattr(f"bench.recorder.trace.StepTrace.{name}", lambda *_: 1 / 0)
    loop, losses = watched(made, Recorder(tmp_path, every=1, live=False, report=False))
    assert losses == expected
    assert capfd.readouterr().err.count("gradtrial: recording ended by a fault of its own (ZeroDivisionError") == 1
    for a, b in zip(plain.states(), loop.states(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_step_is_refused(tmp_path: Path) -> None:
    loop = Loop()
    recorder = Recorder(tmp_path)
    concrete = tf.function(loop.step).get_concrete_function(tf.constant(X[0]), tf.constant(Y[0]))
    watch = recorder.watch(loop.step, model=loop.model, optimizer=loop.optimizer)
    watch.__exit__(None, None, None)
    for step, model, optimizer, said in (
        (3, loop.model, loop.optimizer, "the step is of int"),
        (loop.model, loop.model, loop.optimizer, "It takes the function that makes one training step"),
        (concrete, loop.model, loop.optimizer, "Give the tf.function that it was made of"),
        (watch, loop.model, loop.optimizer, "watched already"),
        (loop.step, None, loop.optimizer, "model is None; it takes a Keras model"),
        (loop.step, [], loop.optimizer, "model is of list"),
        (loop.step, loop.model, tf.Module(), "optimizer is of tensorflow"),
    ):
        with pytest.raises(TypeError, match=re.escape(said)):
            recorder.watch(step, model=model, optimizer=optimizer)


@pytest.mark.full
def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(# loop\.py.*?)```", page, re.DOTALL)
    (tmp_path / "loop.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("loop.py")
    assert read_tables(tmp_path / "reports" / "mine")["loss_curves"]["step"].tolist()[:10] == list(range(10))
    assert (tmp_path / "reports" / "mine" / "index.html").exists()
