"""What comes from outside the project as `module:name`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from bench.commands.check import try_levels
from bench.engine.optimizers import decay_of, make_optimizer
from bench.engine.train import Training
from bench.errors import BenchError, DataError, SuiteError
from bench.factors import FACTORS, choose
from tests.cohorts import PROBED, cohorts, train
from tests.inline import InlineExecutor

MODULE = """
import keras
import numpy as np
from keras import ops

def tanh_twice_in_a_loop(x):
    import tensorflow as tf
    return tf.while_loop(lambda k, y: k < 2, lambda k, y: (k + 1, tf.tanh(y)), (tf.constant(0), x))[1]

def row_by_row(x):
    import tensorflow as tf
    return tf.map_fn(tf.tanh, x)

def through_numpy(x):
    import tensorflow as tf
    return tf.numpy_function(np.tanh, [x], tf.float32)

def flat(x):
    return ops.sum(x, axis=-1, keepdims=True)

def broken(x):
    raise ValueError("planted")

class Shifted(keras.layers.Layer):
    def __init__(self, shift=0.5):
        super().__init__()
        self.shift = shift
    def call(self, x):
        return ops.tanh(x - self.shift)

class Tiny(keras.initializers.Initializer):
    def __init__(self, scale=1e-3, seed=None):
        self.scale, self.seed = scale, seed
    def __call__(self, shape, dtype=None):
        return self.scale * keras.random.normal(shape, seed=self.seed)

def ones(shape, dtype=None):
    return ops.ones(shape, dtype)

class Halve(keras.layers.Layer):
    def call(self, x):
        return x / 2

def blobs(rows=64):
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 2
    x = rng.normal(size=(rows, 5)) + 4 * y[:, None]
    return x, y, x[:16], y[:16]

def nothing():
    return None

def onebased():
    return np.eye(90, 5), np.arange(90) % 3 + 1

def flat_draw(shape, dtype=None):
    return ops.ones(shape[:1])

class Wider(keras.layers.Layer):
    def call(self, x):
        return ops.concatenate([x, x], axis=-1)

class Raising(keras.layers.Layer):
    def call(self, x):
        raise RuntimeError("planted")

not_an_optimizer = dict
"""
FIXED = "depth = 3\nwidth = 8\nsteps = 4\nlearning_rate = 0.01"


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "outside.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    monkeypatch.undo()


@pytest.mark.full
def test_plugins_train() -> None:
    (cohort,) = cohorts(
        """activation = ["outside:tanh_twice_in_a_loop"]
        initializer = ["outside:Tiny"]
        normalization = ["keras.layers:LayerNormalization"]
        dataset = [{ level = "outside:blobs", rows = 80 }]""",
        FIXED,
    )
    tables = train(cohort)
    assert set(tables["runs"]["status"]) == {"completed"}
    assert np.isfinite(tables["loss_curves"]["loss"]).all()


def test_plugins_train_with_their_settings_and_are_measured() -> None:
    """An activation that is a function trains in test_engine_runs."""
    (cohort,) = cohorts(
        """activation = [{ level = "outside:Shifted", shift = 0.3 }]
        initializer = ["outside:Tiny", { level = "outside:Tiny", scale = 0.1 }, "outside:ones"]
        normalization = ["outside:Halve"]
        optimizer = ["keras.optimizers:Lion"]
        dataset = [{ level = "outside:blobs", rows = 80 }]""",
        FIXED,
        record=PROBED,
    )
    training = Training(cohort)
    z = training.data.probe_x.numpy() @ training.ensemble.stacks[0].kernel.numpy()[0]  # [runs, samples, units]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    assert np.isfinite(tables["loss_curves"]["loss"]).all()
    first = {name: tables[name].query("step == 0 and layer_index == 0") for name in ("gradient_norms", "activations")}
    assert len(z[0]) == 80
    small, large, _ = first["gradient_norms"]["weight_norm"]
    assert large / small == pytest.approx(100, rel=1e-3)
    np.testing.assert_allclose(first["activations"]["preactivation_mean_square"], (z**2).mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first["activations"]["mean"], np.tanh(z / 2 - 0.3).mean(axis=(1, 2)), rtol=1e-4)


# Optimizers update as they do in Keras, or are refused in a sentence.
ELEMENTWISE = ("SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion", "Nadam")
UNHEARD = ("clipnorm = 0.1", "global_clipnorm = 0.1", "clipvalue = 0.1", "use_ema = true", "learning_rate = 0.1")


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_elementwise_optimizer_updates_as_it_does_in_keras_or_is_refused(name: str) -> None:
    try:
        optimizer = make_optimizer(choose(FACTORS["optimizer"], f"keras.optimizers:{name}"))
    except SuiteError as refusal:
        assert name == "Nadam", refusal  # its update needs more than `update_step`
        return
    own = type(optimizer)(learning_rate=0.05)
    start = np.linspace(-1, 1, 12, dtype="float32").reshape(1, 2, 6)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    optimizer.build([ours])
    rng = np.random.default_rng(0)
    rate = keras.ops.convert_to_tensor(np.full((1, 2, 1), 0.05, "float32"))
    for _ in range(6):
        gradient = keras.ops.convert_to_tensor(rng.normal(size=start.shape).astype("float32"))
        ours.assign(ours.value - ours.value * decay_of(optimizer) * 0.05)
        optimizer.update_step(gradient, ours, rate)
        optimizer.iterations.assign_add(1)
        own.apply([gradient], [theirs])
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


@pytest.mark.parametrize("setting", UNHEARD)
def test_a_setting_that_the_engine_would_not_heed_is_refused(setting: str) -> None:
    name, value = setting.split(" = ")
    written = {"level": "keras.optimizers:SGD", name: True if value == "true" else float(value)}
    with pytest.raises(SuiteError, match=name):
        make_optimizer(choose(FACTORS["optimizer"], written))


@pytest.mark.parametrize("name", ["Muon", "Lamb"])
def test_an_optimizer_that_mixes_runs_is_refused(name: str) -> None:
    (cohort,) = cohorts(f'optimizer = ["keras.optimizers:{name}"]', FIXED)
    with pytest.raises(SuiteError, match="would mix the runs"):
        train(cohort)


@pytest.mark.parametrize(
    ("factor", "kind", "said"),
    [
        ('optimizer = ["outside:not_an_optimizer"]', SuiteError, "not a Keras optimizer"),
        ('activation = ["outside:row_by_row"]', SuiteError, "cannot be computed for many runs at once"),
        ('activation = ["outside:through_numpy"]', SuiteError, "has no gradient"),
        ('activation = ["keras.layers:PReLU"]', SuiteError, r"has weights of its own \(alpha\)"),
        ('activation = ["keras.layers:Softmax"]', SuiteError, "a value depends on its neighbours"),
        ('activation = ["outside:flat"]', SuiteError, r"makes \(3, 1\) of \(3, 2\)"),
        ('activation = ["outside:broken"]', SuiteError, "ValueError.*planted"),
        ('activation = ["outside:missing"]', SuiteError, "no attribute missing"),
        ('activation = ["nowhere_at_all:f"]', SuiteError, "cannot import nowhere_at_all"),
        ('dataset = ["outside:nothing"]', DataError, "must return"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_sentence(factor: str, kind: type[BenchError], said: str) -> None:
    (cohort,) = cohorts(factor, FIXED)
    with pytest.raises(kind, match=said):
        train(cohort)


def test_everything_that_is_refused_is_named_before_anything_trains() -> None:
    planned = cohorts(
        'activation = ["relu", "keras.layers:PReLU", "keras.layers:LeakyReLU"]\n'
        'optimizer = ["sgd", "keras.optimizers:Lamb"]\ninitializer = ["glorot_uniform", "outside:flat_draw"]\n'
        'normalization = ["none", "outside:Wider", "outside:Raising"]\ndataset = ["digits", "outside:nothing"]',
        FIXED,
    )
    with pytest.raises(SuiteError) as refused:
        try_levels(InlineExecutor(), planned)
    said = str(refused.value).splitlines()
    for name in ("outside:nothing", "PReLU", "flat_draw", "Wider", "Lamb"):
        assert sum(name in line for line in said) == 1
    assert len(said) == 5
    with pytest.raises(
        SuiteError, match=r"\nRuntimeError: Exception .*Raising.call.*planted\n"
    ):  # what would fail its own runs: a check names it too
        try_levels(InlineExecutor(), planned, failing=True)
    fine = cohorts('activation = ["keras.layers:LeakyReLU"]\ndataset = ["outside:onebased"]', FIXED)
    assert try_levels(InlineExecutor(), fine) == [
        'dataset "outside:onebased": its labels 1 to 3 are taken as the classes 0 to 2'
    ]
