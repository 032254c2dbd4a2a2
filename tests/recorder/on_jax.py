"""What `test_jax.py` asks of the recorder on JAX, in a process of its own: Keras has one backend in a process.

Run as `python -m tests.recorder.on_jax QUESTION FOLDER [WORD ...]`; an assertion that fails ends it with a traceback.
"""
# ruff: noqa: E402 (what stands before Keras is imported)

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
sys.modules["tensorflow"] = None  # type: ignore[assignment]  # as where it is not installed: nothing here needs it

import jax
import jax.numpy as jnp
import keras
import numpy as np

from bench import Recorder
from bench.recorder import jax_trace
from bench.recorder.replay import replay
from bench.recorder.stopped import NonFinite
from bench.results import read_tables
from tests.recorder.jax_kinds import ON_JAX
from tests.recorder.jax_layers import CASES, Case, crossentropy
from tests.recorder.kinds import Kind

BATCH = 16


def states_of(model: keras.Model) -> list[np.ndarray]:
    """All numbers of a model and of its optimizer."""
    return [np.asarray(each) for each in [*model.variables, *model.optimizer.variables]]


def made(name: str) -> Kind:
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    return ON_JAX[name]()


def attributes_of(model: keras.Model) -> list[set[str]]:
    """The names that are on a model, its layers and its optimizers."""
    owners = [*model._flatten_layers(), model.optimizer, getattr(model.optimizer, "inner_optimizer", model.optimizer)]
    return [{*vars(each)} for each in owners]


def same_training(folder: Path, epochs: str, *names: str) -> None:
    """Weights, optimizer and history are the same with the recorder as without, and nothing of it stays."""
    for name in names:
        found = []
        for callbacks in ([], [Recorder(folder / name, every=1, live=False, report=False)]):
            kind = made(name)
            history = kind.model.fit(
                kind.x, kind.y, batch_size=BATCH, epochs=int(epochs), verbose=0, callbacks=callbacks
            )  # fmt: skip
            found.append((states_of(kind.model), history.history, attributes_of(kind.model)))
        (plain, plain_history, plain_names), (states, history, names_now) = found
        for a, b in zip(plain, states, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
        assert history == plain_history, name
        assert names_now == plain_names, name
        tables = read_tables(folder / name)
        assert len(tables["loss_curves"]) == 6 * int(epochs), name
        assert tables["runs"]["error"].isna().all(), name


def by_hand(kind: Kind, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, float], list[float], float]:
    """Gradient norms by variable, of a chain's pre-activations (sqrt(B sum dz^2)), and the loss."""
    model, activations = kind.model, [getattr(layer, "activation", None) for layer in kind.model.layers]

    def lost(values: list[Any], added: list[Any]) -> Any:
        h, shapes = jnp.asarray(x), []
        with keras.StatelessScope(list(zip(model.trainable_variables, values, strict=True))):
            for layer, activation in zip(model.layers, activations, strict=True):
                if activation is None or not layer.weights:
                    h = layer(h)
                    continue
                layer.activation = keras.activations.linear
                z = layer(h)
                layer.activation = activation
                shapes.append(z.shape)
                h = activation(z + added[len(shapes) - 1] if added else z)
        return jnp.mean(keras.losses.sparse_categorical_crossentropy(y, h)), shapes

    values = [v.value for v in model.trainable_variables]
    loss, shapes = lost(values, [])
    gradients, signal = jax.grad(lambda *given: lost(*given)[0], (0, 1))(values, [jnp.zeros(each) for each in shapes])
    norms = {v.path: float(jnp.linalg.norm(g)) for v, g in zip(model.trainable_variables, gradients, strict=True)}
    return norms, [float(np.sqrt(len(x)) * jnp.linalg.norm(each)) for each in signal], float(loss)


def gradients(folder: Path, *names: str) -> None:
    """What is recorded of a first step is what `jax.grad` gives on the same weights and batch."""
    for name in names:
        kind = made(name)
        x, y = kind.x[:BATCH], kind.y[:BATCH]
        weights, signal, loss = by_hand(kind, x, y)
        start = kind.model.get_weights()
        recorder = Recorder(folder / name, every=1, live=False, report=False)
        kind.model.fit(x, y, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[recorder])
        tables = read_tables(folder / name)
        rows = tables["gradient_norms"].sort_values("layer_index")
        np.testing.assert_allclose(rows["preactivation_grad_norm"], signal, rtol=1e-6)
        kernels = [norm for path, norm in weights.items() if path.endswith("kernel")]
        np.testing.assert_allclose(rows["weight_grad_norm"], kernels, rtol=1e-6)
        groups = tables["parameter_groups"]
        np.testing.assert_allclose(sorted(groups["grad_norm"]), sorted(weights.values()), rtol=1e-6)
        np.testing.assert_allclose(tables["loss_curves"]["loss"], [loss], rtol=1e-6)
        moved = [np.linalg.norm(a - b) for a, b in zip(kind.model.get_weights(), start, strict=True)]
        np.testing.assert_allclose(sorted(groups["update_norm"]), sorted(moved), rtol=1e-3)
        assert rows["layer_name"].tolist()[-1] == "head"
        assert tables["activations"]["std"].gt(0.0).all()


def first_gradients(case: Case) -> list[float]:
    """Norms of the gradients of a case's first batch, without Keras's trainer and without the recorder."""
    model, (x, y) = case.model, keras.tree.map_structure(lambda each: each[:BATCH], (case.x, case.y))
    if not model.built:
        model(x)
    others = [v.value for v in model.non_trainable_variables]

    def lost(values: list[Any]) -> Any:
        answers, _ = model.stateless_call(values, others, x, training=True)
        return (case.lost or crossentropy)(y, answers)

    found = jax.jit(jax.grad(lost))([v.value for v in model.trainable_variables])
    return [float(np.linalg.norm(np.asarray(each, np.float64))) for each in found]


def layers_of_all_kinds(folder: Path, *names: str) -> None:
    """Training is the same to the bit, the first step's gradients are those of `jax.grad`, and nothing stays."""
    wrong = []
    for name in names:
        found = []
        for recorder in (None, Recorder(folder / name, every=1, live=False, report=False)):
            keras.utils.clear_session()
            keras.utils.set_random_seed(11)
            case = CASES[name]()
            expected = first_gradients(case)
            history = case.model.fit(
                case.x, case.y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[recorder] if recorder else [],
                **case.options,
            )  # fmt: skip
            found.append((states_of(case.model), history.history, attributes_of(case.model)))
        (plain, *more), (states, *more_now) = found
        if not all(np.array_equal(a, b) for a, b in zip(plain, states, strict=True)) or more != more_now:
            wrong.append(f"{name}: another training")
        tables = read_tables(folder / name)
        norms = tables["parameter_groups"].query("step == 0")["grad_norm"]
        if len(tables["loss_curves"]) != 6 or not tables["runs"]["error"].isna().all():
            wrong.append(f"{name}: not recorded: {tables['runs']['error'].tolist()}")
        elif len(norms) != len(expected) or not np.allclose(sorted(norms), sorted(expected), case.exact, 1e-6):
            wrong.append(f"{name}: other gradients: {sorted(norms)} and {sorted(expected)}")
    assert not wrong, "\n".join(wrong)


STEPS, HIDDEN = 10, 4
NAMES = [*(f"hidden_{k}" for k in range(HIDDEN)), "answer"]
MODES: dict[str, dict[str, Any]] = {
    "jit": {}, "eight": {"steps_per_execution": 8}, "not_compiled": {"jit_compile": False},
    "eager": {"run_eagerly": True},
}  # fmt: skip
PLANTED: list[Any] = []  # what `ill_model` makes now, for a replay that asks for a model without arguments


def nan_if(now: Any, like: Any) -> Any:
    """A tensor whose first number is NaN if it is time."""
    return jnp.where(now, like.at[(0,) * like.ndim].set(jnp.nan), like)


@jax.custom_vjp
def ill_behind(z: Any, now: Any) -> Any:
    return jnp.tanh(z)


ill_behind.defvjp(
    lambda z, now: (jnp.tanh(z), (z, now)),
    lambda kept, gradient: (nan_if(kept[1], gradient * (1.0 - jnp.tanh(kept[0]) ** 2)), None),
)


class Ill(keras.layers.Dense):
    """A layer in which something becomes NaN at the step that it is told."""

    def __init__(self, tensor: str, step: int, units: int, **more: Any) -> None:
        super().__init__(units, **more)
        self.tensor, self.step = tensor, step
        activations = {"activation": self.ill, "gradient": lambda z: ill_behind(z, self.now())}
        self.activation = activations.get(tensor, jnp.tanh)
        if tensor == "loss":
            self.activity_regularizer = lambda h: jnp.where(self.now(), jnp.nan, 1e-3 * jnp.sum(h**2))

    def build(self, shape: Any) -> None:
        super().build(shape)
        self.calls = self.add_weight(name="calls", shape=(), dtype="int32", trainable=False, initializer="zeros")

    def now(self) -> Any:
        return self.calls.value == self.step + 1

    def ill(self, z: Any) -> Any:
        return nan_if(self.now(), jnp.tanh(z))

    def call(self, inputs: Any, training: bool = False) -> Any:
        self.calls.assign_add(1)
        return super().call(inputs)


class IllUpdate(keras.optimizers.SGD):
    """An optimizer that makes NaN of one layer's kernel at a step."""

    layer, step = "", -1

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if variable.path.endswith(f"{self.layer}/kernel"):
            gradient = nan_if(self._iterations.value == self.step, gradient)
        super().update_step(gradient, variable, learning_rate)


def ill_model(tensor: str, layer: int, step: int, mode: str) -> keras.Model:
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    layers = [
        Ill(tensor if number == layer else "", step, 6 if number < HIDDEN else 1, name=name)
        for number, name in enumerate(NAMES)
    ]
    model = keras.Sequential([keras.Input((4,)), *layers], name="stack")
    optimizer = IllUpdate(0.05, momentum=0.9)
    if tensor == "weight":
        optimizer.layer, optimizer.step = NAMES[layer], step
    model.compile(optimizer, "mse", **MODES[mode])
    return model


def fit(model: keras.Model, steps: int, *callbacks: Any) -> None:
    x = np.random.default_rng(1).normal(size=(8 * STEPS, 4)).astype("float32")[: 8 * steps]
    y = np.tanh(x.sum(axis=1, keepdims=True))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))


def last(path: str) -> str:
    """A layer's name at the end of its path."""
    return path.rpartition("/")[2]


def again() -> keras.Model:
    """The model that was stopped."""
    return ill_model(*PLANTED)


def planted(folder: Path, *cases: str) -> None:
    """A NaN is found where it was planted, and held back if that is asked for: TENSOR-LAYER-STEP-MODE-WHAT each."""
    for case in cases:
        tensor, layer, step, mode, on_nonfinite = case.split("-")
        number, at = int(layer), int(step)
        PLANTED[:] = tensor, number, at, mode
        model = again()
        every = 1 if on_nonfinite == "record" else 100
        recorder = Recorder(folder / case, every=every, on_nonfinite=on_nonfinite, live=False, report=False)
        where = "" if tensor == "loss" else NAMES[number]
        try:
            fit(model, STEPS, recorder)
            assert on_nonfinite != "raise", f"{case}: nothing was raised"
        except NonFinite as error:
            assert on_nonfinite == "raise", case
            assert (error.step, error.tensor, last(error.layer)) == (at, tensor, where), (case, error)
        (event,) = read_tables(folder / case)["divergence_events"].to_dict("records")
        place = "" if np.isnan(event["layer_index"]) else NAMES[int(event["layer_index"])]
        seen = at + 1 if (tensor, on_nonfinite) == ("weight", "record") else at
        assert (event["step"], event["kind"], event["tensor"], place) == (seen, "nan", tensor, where), (case, event)
        if on_nonfinite == "record":
            continue
        before = again()
        before.optimizer.build(before.trainable_variables)
        if at:
            fit(before, at)
        for a, b in zip(states_of(before), states_of(model), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=case)
        stop, links = replay(folder / case, model="__main__:again")
        assert (stop.step, stop.tensor, last(stop.layer)) == (at, tensor, where), (case, stop)
        bad = [(link.tensor, last(link.layer)) for link in links if not link.finite]
        assert bad[:1] == ([] if tensor == "weight" else [(tensor, where)]), (case, bad)


class Raising(keras.callbacks.Callback):
    """Raises what it is given at the end of a step."""

    def __init__(self, error: BaseException, step: int) -> None:
        super().__init__()
        self.error, self.step, self.steps = error, step, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.step:
            raise self.error


class Noting(keras.callbacks.Callback):
    """Notes after each step how often the function that records was traced."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder, self.traces = recorder, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert self.recorder.recording is not None
        self.traces = self.recorder.recording.dispatch.traces


def one_shape(folder: Path) -> None:
    """An epoch's last batch has fewer rows: `auto` leaves it out, and records the step before the last."""
    recorder = Recorder(folder / "auto", live=False, report=False)
    noting = Noting(recorder)
    found = []
    for callbacks in ([], [recorder, noting]):
        kind = made("mlp_relu_adam")
        kind.model.fit(kind.x[:-5], kind.y[:-5], batch_size=BATCH, epochs=3, verbose=0, callbacks=callbacks)
        found.append(states_of(kind.model))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert noting.traces == 1
    assert read_tables(folder / "auto")["loss_curves"]["step"].tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 16]


def kept(folder: Path) -> None:
    """Two fits are two runs; an interrupt and another callback's exception keep the rows so far."""
    kind = made("mlp_relu_adam")
    recorder = Recorder(folder / "two", every=1, live=False, report=False)
    for _ in range(2):
        kind.model.fit(kind.x, kind.y, batch_size=BATCH, verbose=0, callbacks=[recorder])
    runs = read_tables(folder / "two")["runs"]
    assert runs["status"].tolist() == ["completed"] * 2
    for error in (KeyboardInterrupt(), ValueError("of another callback")):
        kind = made("mlp_relu_adam")
        names = attributes_of(kind.model)
        place = folder / type(error).__name__
        recorder = Recorder(place, every=1, live=False, report=False)
        try:
            kind.model.fit(
                kind.x, kind.y, batch_size=BATCH, verbose=0, callbacks=[recorder, Raising(error, 4)]
            )  # fmt: skip
        except BaseException as raised:
            assert raised is error
        else:
            raise AssertionError("it was not raised")
        recorder.close()
        tables = read_tables(place)
        assert tables["runs"]["status"].tolist() == ["failed"]
        assert tables["loss_curves"]["step"].tolist()[:4] == [0, 1, 2, 3]
        plain = made("mlp_relu_adam")
        assert [names] == [attributes_of(plain.model)]
        assert all(np.isfinite(each).all() for each in states_of(kind.model) if each.dtype.kind == "f")


def refused(folder: Path) -> None:
    """What cannot be recorded is one sentence, and training is as without; a fault of the recorder's own too."""
    plain = made("custom_step")
    plain.model.fit(plain.x, plain.y, batch_size=BATCH, verbose=0)
    differentiate = jax.value_and_grad

    class Hidden(type(plain.model)):  # type: ignore[misc]
        """A step that takes its gradients by a name of its own."""

        def train_step(self, state: Any, data: Any) -> Any:
            looked, jax.value_and_grad = jax.value_and_grad, differentiate
            try:
                return super().train_step(state, data)
            finally:
                jax.value_and_grad = looked

    def broken(*_: Any) -> None:
        raise OSError("of the recorder's own")

    for place in ("hidden", "fault", "read"):
        kind = made("custom_step")
        if place == "hidden":
            kind.model.__class__ = Hidden
        recorder = Recorder(folder / place, every=1, live=False, report=False)
        callbacks: list[Any] = [recorder]
        if place != "hidden":
            broken_at = "take" if place == "fault" else "_layout"
            whole = getattr(jax_trace.JaxStepTrace, broken_at)
            setattr(jax_trace.JaxStepTrace, broken_at, broken)
        try:
            kind.model.fit(kind.x, kind.y, batch_size=BATCH, verbose=0, callbacks=callbacks)
        finally:
            if place != "hidden":
                setattr(jax_trace.JaxStepTrace, broken_at, whole)
        for a, b in zip(states_of(plain.model), states_of(kind.model), strict=True):
            np.testing.assert_array_equal(a, b)
        assert jax.value_and_grad is differentiate
    with Recorder(folder / "loop", live=False, report=False).watch(
        lambda x: x, model=plain.model, optimizer=plain.model.optimizer
    ) as step:
        assert step(3) == 3


QUESTIONS = {
    each.__name__: each for each in (same_training, gradients, layers_of_all_kinds, planted, one_shape, kept, refused)
}

if __name__ == "__main__":
    QUESTIONS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
