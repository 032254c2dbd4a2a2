"""Recurrent cohorts are held to lone Keras models made of Keras's own layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.engine import train
from bench.engine.batches import batches
from bench.engine.divergence import Event, dated
from bench.engine.fitting import try_dataset
from bench.engine.passes import StageGradients
from bench.engine.probes import STATISTICS
from bench.engine.recurrence.start import gate_biases
from bench.engine.train import Training
from bench.errors import DataError
from bench.factors import FACTORS, choose, costs_of
from bench.plan import Cohort
from bench.schema import EventKind, Tensor
from tests.cohorts import EVALUATED, cohorts, of_run
from tests.engine.lone_recurrent import UNITS, Lone

STEPS, LENGTH, FEATURES = 3, 8, 3


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """Noise of two means, told by the first step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, LENGTH, FEATURES)), rng.integers(0, 3, 200)
    x[np.arange(200), 0, y] += 2.0
    return x, y


FIXED = f"""
architecture = "recurrent"
dataset = "{__name__}:sequences"
width = {UNITS}
steps = {STEPS}
batch_size = 16
learning_rate = 0.05
"""
STARTS = '[{ level = "orthogonal", gain = 1.2 }, { level = "identity", gain = 0.9 }, "glorot_uniform"]'
CASES = [
    f'cell = ["simple"]\ndepth = [2]\noptimizer = ["adam"]\nrecurrent_initializer = {STARTS}',
    pytest.param('cell = ["lstm"]\ndepth = [1]\ngate_bias = [{ level = "chrono", t_max = 6 }]\n'
                 'optimizer = ["momentum"]\ntruncate = ["none", { level = "bptt", steps = 3 }]',
                 marks=pytest.mark.traced),
    'cell = ["simple"]\ndepth = [1]\nactivation = ["softplus"]\nrecurrent_initializer = ["he_normal"]\n'
    'dataset = [{ level = "text", length = 5, rows = 200 }]',
    'cell = ["gru"]\ndepth = [1]\nnormalization = ["layer_normalization"]\noptimizer = ["adam"]\n'
    'bias_initializer = [{ level = "normal", stddev = 0.3 }]',
    'cell = ["gru"]\ndepth = [1]\ndirection = ["bidirectional"]\ntruncate = [{ level = "bptt", steps = 4 }]\n'
    'dataset = [{ level = "copy_memory", delay = 3, items = 1, symbols = 2, rows = 200 }]',
    *(
        pytest.param(each, marks=pytest.mark.full)
        for each in (
            'cell = ["gru"]\ndepth = [1]\nbias_initializer = ["zeros", { level = "normal", stddev = 0.3 }]\n'
            'gate_bias = [{ level = "remember", value = 2.0 }]\n'
            'clipping = ["none", { level = "global_norm", threshold = 0.1 }]',
            'cell = ["simple"]\ndepth = [1]\n'
            'dataset = [{ level = "copy_memory", delay = 3, items = 1, symbols = 2, rows = 200 }]\n'
            'truncate = [{ level = "bptt", steps = 2 }, { level = "bptt", steps = 5 }]',
            'cell = ["simple"]\ndepth = [2]\ndirection = ["bidirectional"]',
            'cell = ["lstm"]\ndepth = [2]\nnormalization = ["layer_normalization"]\ndirection = ["bidirectional"]',
            'cell = ["simple"]\ndepth = [1]\nnormalization = ["layer_normalization"]\ngate_bias = ["zeros"]',
            'cell = ["lstm"]\ndepth = [3]\nactivation = ["relu"]\noptimizer = ["rmsprop"]',
            'cell = ["gru"]\ndepth = [4]\nactivation = ["elu"]\n'
            'regularization = ["none", { level = "l2", strength = 0.01 }]',
        )
    ),
]  # fmt: skip


def cohort_of(factors: str) -> Cohort:
    fixed = "".join(line for line in FIXED.splitlines(keepends=True) if line.partition(" =")[0] + " = [" not in factors)
    (cohort,) = cohorts(factors, fixed, record=EVALUATED)
    return cohort


@pytest.mark.parametrize("factors", CASES)
def test_a_recurrent_cohort_trains_as_lone_keras_models_do(factors: str) -> None:
    training = Training(cohort_of(factors))
    x, y = training.data.as_taken(training.data.x).numpy(), training.data.y.numpy()  # tokens one-hot
    judged = training.data.as_taken(training.data.judged_x)
    lones = [Lone(training, index) for index in range(len(training.cohort.runs))]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    assert set(tables["runs"]["status"]) == {"completed"}
    rows = list(batches(training.cohort.runs, len(y), training.batch, STEPS + 1))  # one more, as the cohort takes
    for index, lone in enumerate(lones):
        own = of_run(tables, training.cohort.runs[index].run_id)
        before = lone.model(judged).numpy()
        found = [lone.step(x[at[index]], y[at[index]]) for at in rows]
        for name in ("loss", "global_grad_norm"):
            np.testing.assert_allclose(
                own["loss_curves"][name], [each[name] for each in found[:-1]], 1e-4, err_msg=name
            )
        norms = own["gradient_norms"]["weight_grad_norm"].to_numpy().reshape(STEPS, -1)
        np.testing.assert_allclose(norms, [each["kernels"] for each in found[:-1]], 1e-4, 1e-7)
        weights = [variable.numpy()[0, index] for stack in training.ensemble.stacks for variable in stack.trainable]
        for mine, expected in zip(weights, lone.model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, expected, 1e-4, 1e-5)
        after = training.ensemble.predict(judged).numpy()[index].reshape(before.shape)
        np.testing.assert_allclose(after, lone.model(judged), 1e-4, 1e-4)
        assert np.abs(after - before).max() > 1e-3
        assert own["runs"]["parameter_count"].tolist() == [lone.model.count_params()]


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_signal_is_the_total_derivative_for_every_state(direction: str) -> None:
    training = Training(cohort_of(f'cell = ["gru"]\ndepth = [1]\ndirection = ["{direction}"]'))
    (layer,), head = (lone := Lone(training, 0)).layers, lone.head
    x, y = training.data.x[:16], training.data.y[:16]
    zero, states, last = tf.zeros((16, UNITS)), [], []
    ways = [(layer.cell, x)] if direction == "forward" else [
        (layer.forward_layer.cell, x), (layer.backward_layer.cell, x[:, ::-1]),
    ]  # fmt: skip
    with tf.GradientTape() as tape:
        tape.watch(zero)
        for cell, given in ways:
            state = [zero]
            for t in range(LENGTH):
                out, state = cell(given[:, t], state)
                states.append(out)
            last.append(out)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, head(tf.concat(last, axis=-1))))
    total = np.stack([each.numpy() for each in tape.gradient(loss, states)])
    found = training.ensemble.gradients(x[None], y[None], tf.constant(value=True)).signal
    np.testing.assert_allclose(found.activation[0], np.sqrt(16 * np.square(total).sum()), 1e-5)
    assert np.isfinite(found.preactivation).all() and (np.abs(found.correlation) <= 1.0).all()


def test_statistics_are_those_of_the_states_and_evaluations_may_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = cohort_of('cell = ["lstm"]\ndepth = [2]')
    training = Training(cohort)
    monkeypatch.setattr(train, "AT_ONCE", 1)
    parts = Training(cohort)
    assert len(training.data.judged) == 1 and len(parts.data.judged) == 7
    for name, values in training._evaluate().items():
        np.testing.assert_allclose(parts._evaluate()[name], values, 1e-5, 1e-6)
    lone = Lone(training, 0)
    states = keras.layers.LSTM(UNITS, return_sequences=True)
    states.build((None, LENGTH, UNITS))
    states.set_weights(lone.layers[1].get_weights())
    below = lone.layers[0](training.data.probe_x)
    found = dict(zip(STATISTICS, training.probe(training.data.probe_x).numpy()[:, :, 0].T, strict=True))
    for k, h in enumerate((below.numpy(), states(below).numpy())):
        for name, value in (("mean", h.mean()), ("std", h.std()), ("nonpositive_fraction", (h <= 0).mean())):
            assert found[name][k] == pytest.approx(value, rel=1e-4, abs=1e-6)
        assert 0.0 <= found["saturated_fraction"][k] <= 1.0 and found["dead_fraction"][k] == 0.0


def test_statistics_take_the_sums_before_a_normalization_and_the_activation_s_input_after_it() -> None:
    ensemble = Training(cohort_of('cell = ["simple"]\ndepth = [1]\nnormalization = ["layer_normalization"]')).ensemble
    (layer,) = ensemble.passes
    _, saved = layer.forward((None, tf.random.stateless_normal((1, 4, LENGTH, FEATURES), (0, 1))))
    z, u, h = (each.numpy() for each in layer.taps(saved))
    np.testing.assert_allclose(np.tanh(u), h, 1e-5, 1e-6)
    hat = (z - z.mean(axis=-1, keepdims=True)) / np.sqrt(z.var(axis=-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(u, hat, 1e-4, 1e-5)  # gain 1, bias 0


def test_a_run_that_overflows_in_time_is_located_before_what_it_spoils() -> None:
    factors = 'activation = ["relu"]\nrecurrent_initializer = [{ level = "identity", gain = 1e20 }, "orthogonal"]'
    tables = train.train_cohort(cohort_of(f"{factors}\ndepth = [2]"))
    lost, sound = tables["runs"].to_pandas().itertuples()
    assert (lost.status, sound.status) == ("diverged", "completed")
    events = tables["divergence_events"].to_pandas()
    assert events[["run_id", "step", "kind", "tensor", "layer_index", "time"]].to_numpy().tolist() == [
        [lost.run_id, 0, "infinity", "pre-activation", 0, 2]
    ]


def test_a_bad_gradient_is_dated_by_the_step_that_it_comes_from() -> None:
    ensemble = Training(cohort_of('cell = ["lstm"]\ndepth = [1]\nlearning_rate = [0.1, 0.2]')).ensemble
    sound, bad = np.zeros((LENGTH, 2, 4, UNITS), np.float32), np.zeros((LENGTH, 2, 4, UNITS), np.float32)
    bad[1:6, 1, 2] = np.nan
    (layer,) = ensemble.passes
    _, saved = layer.forward((None, tf.zeros((2, 4, LENGTH, FEATURES))))
    times = layer.bad_times(saved, StageGradients([], [], lambda: (sound, bad))).numpy()
    assert times.tolist() == [[[-1, -1]], [[-1, 5]]]
    (both,) = Training(cohort_of('cell = ["lstm"]\ndepth = [1]\ndirection = ["bidirectional"]')).ensemble.passes
    _, kept = both.forward((None, tf.zeros((1, 4, LENGTH, FEATURES))))
    of_run = [each[:, 1:] for each in (sound, sound, sound, bad)]  # the direction back reads step 5 as its third
    assert both.bad_times(kept, StageGradients([], [], lambda: of_run)).numpy().tolist() == [[[-1]], [[LENGTH - 1 - 5]]]
    for tensor, layer_index, run, time in (
        (Tensor.GRADIENT, 0, 1, 5), (Tensor.GRADIENT, 0, 0, None), (Tensor.GRADIENT, 1, 1, None),
        (Tensor.PREACTIVATION, 0, 1, None), (Tensor.WEIGHT, 0, 1, None), (Tensor.LOSS, None, 1, None),
    ):  # fmt: skip
        assert dated(Event(run, 3, EventKind.NAN, tensor, layer_index, None, None), times).time == time


def test_two_directions_start_with_draws_of_their_own_and_cost_what_they_have() -> None:
    levels = 'direction = ["bidirectional"]\nnormalization = ["layer_normalization"]\ngate_bias = ["chrono"]'
    training = Training(cohort_of(f'cell = ["lstm"]\ndepth = [2]\n{levels}'))
    weights = {role: v.numpy()[0, 0] for role, v in training.ensemble.stacks[1].weights.items()}
    for role in ("kernel", "recurrent_kernel", "bias"):
        one, other = weights[role], weights[f"{role}_2"]
        assert one.shape == other.shape and (one != other).mean() > 0.4
        if role == "recurrent_kernel":
            np.testing.assert_allclose(other @ other.T, np.eye(UNITS), atol=1e-5)
    assert (weights["gain"] == 1.0).all() and (weights["bias_2"].reshape(4, UNITS)[1] > 0.0).all()
    costs = costs_of(training.cohort.structure, (LENGTH, FEATURES), 3)
    assert costs.weights == sum(int(np.prod(kernel.shape[2:])) for kernel in training.ensemble.kernels)
    assert (costs.layers, costs.length) == (2, 2 * LENGTH)


def test_kernels_start_as_keras_draws_them_and_costs_count_them() -> None:
    training = Training(cohort_of('cell = ["lstm"]\ndepth = [2]\ninitializer = ["glorot_uniform"]'))
    fresh = keras.layers.LSTM(UNITS)
    fresh.build((None, LENGTH, FEATURES))
    weights = {role: variable.numpy()[0, 0] for role, variable in training.ensemble.stacks[0].weights.items()}
    assert {role: value.shape for role, value in weights.items()} == {v.name: tuple(v.shape) for v in fresh.weights}
    np.testing.assert_allclose(weights["recurrent_kernel"] @ weights["recurrent_kernel"].T, np.eye(UNITS), atol=1e-5)
    np.testing.assert_array_equal(weights["bias"], fresh.weights[2].numpy())
    limit = np.sqrt(6.0 / (FEATURES + 4 * UNITS))  # Keras's fans are those of all gates together
    assert 0.8 * limit < np.abs(weights["kernel"]).max() <= limit
    costs = costs_of(training.cohort.structure, (LENGTH, FEATURES), 3)
    assert costs.weights == sum(int(np.prod(kernel.shape[2:])) for kernel in training.ensemble.kernels)


GATES = [
    ("lstm", "zeros", lambda b: not b.any()),
    ("simple", "unit_forget", lambda b: not b.any()),
    ("gru", "unit_forget", lambda b: not b.any()),
    ("lstm", {"level": "remember", "value": 3.0}, lambda b: (b == [[0], [3], [0], [0]]).all()),
    ("gru", {"level": "remember", "value": 3.0}, lambda b: (b == [[3], [0], [0]]).all()),
    ("gru", {"level": "chrono", "t_max": 50}, lambda b: (b[0] > 0).all() and b.max() < np.log(49) and not b[1:].any()),
    ("lstm", "chrono", lambda b: (b[0] == -b[1]).all() and (np.exp(b[1]) < LENGTH - 1).all() and not b[2:].any()),
]


@pytest.mark.parametrize(("cell", "written", "holds"), GATES)
def test_gates_start_where_their_level_says(cell: str, written: object, holds: Callable[[np.ndarray], bool]) -> None:
    shape = (2, 3 * UNITS) if cell == "gru" else ({"lstm": 4, "simple": 1}[cell] * UNITS,)
    choices = choose(FACTORS["cell"], cell), choose(FACTORS["gate_bias"], written)
    biases = gate_biases(*choices, 7, shape, LENGTH)
    row = biases if biases.ndim == 1 else biases[0]
    assert biases.ndim == 1 or not biases[1].any()
    assert holds(row.reshape(-1, UNITS))


def test_samples_that_are_no_sequences_are_refused_before_anything_trains(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "flat.npz"
    x, y = rng.normal(size=(40, 6)), np.arange(40) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    flat = choose(FACTORS["dataset"], str(path))
    assert not try_dataset((flat, 2, ("mlp",)))
    short, path = x.reshape(40, 2, 3), tmp_path / "short.npz"
    np.savez(path, x_train=short, y_train=y, x_test=short, y_test=y)
    asked = choose(FACTORS["dataset"], str(path)), 2, ("recurrent",)
    fit = ("truncate", choose(FACTORS["truncate"], {"level": "bptt", "steps": 2}))
    assert not try_dataset((*asked, fit))
    with pytest.raises(DataError, match=r"and gate_bias chrono do not go together: its sequences have 2 time steps"):
        try_dataset((*asked, fit, ("gate_bias", choose(FACTORS["gate_bias"], "chrono"))))
    with pytest.raises(DataError, match=r"shape \(6,\); .* takes a sequence, .* save x\[\.\.\., None\]"):
        try_dataset((flat, 2, ("mlp", "recurrent")))
