"""The gradient at each time step is held to Keras's own cells, one of each time step, with a tape on their states."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.engine.recurrence import TIME_COLUMNS
from bench.engine.train import Training
from bench.factors import kept_distances, moments
from tests.cohorts import EVALUATED, cohorts

UNITS, BATCH, STEPS = 5, 12, 3
FIXED = f'architecture = "recurrent"\nwidth = {UNITS}\nsteps = {STEPS}\nbatch_size = {BATCH}\n'
RECALL = '{ level = "recall", length = 11, symbols = 3, rows = 100 }'
COPY = '{ level = "copy_memory", delay = 3, items = 2, symbols = 2, rows = 100 }'
CASES = [
    f'cell = ["simple"]\ndepth = [2]\ndataset = [{RECALL}]\n'
    'recurrent_initializer = [{ level = "identity", gain = 2.0 }]',
    f'cell = ["lstm"]\ndepth = [2]\ndataset = [{RECALL}]\n'
    'gate_bias = ["unit_forget", { level = "remember", value = 4.0 }]',
    f'cell = ["gru"]\ndepth = [2]\ndataset = [{RECALL}]\ndirection = ["bidirectional"]',
    f'cell = ["gru"]\ndepth = [1]\ndataset = [{COPY}]\nbias_initializer = [{{ level = "normal", stddev = 2.0 }}]',
    pytest.param(f'cell = ["simple"]\ndepth = [1]\ndataset = [{COPY}]\nactivation = ["softplus"]',
                 marks=pytest.mark.full, id="softplus"),
]  # fmt: skip
CELLS = {
    "simple": (keras.layers.SimpleRNNCell, 1, None), "lstm": (keras.layers.LSTMCell, 4, 1),
    "gru": (keras.layers.GRUCell, 3, 0),
}  # fmt: skip
ASKED = EVALUATED + 'time_gradients = { at = [0, "last"] }\n'


class Unrolled:
    """One run with a cell of its own at each time step, fed W x_t + b by a kernel that is the identity.

    So a tape knows the gradient for each, and each step's own share of the recurrent kernel's.
    """

    def __init__(self, training: Training, index: int) -> None:
        choices = training.cohort.runs[index].choices
        self.kind, self.blocks, self.gate = CELLS[choices["cell"].name]
        self.activation = choices["activation"].name
        *layers, head = training.ensemble.stacks
        self.weights = [[v.numpy()[0, index] for v in stack.trainable] for stack in layers]
        self.head = [v.numpy()[0, index] for v in head.trainable]

    def columns(self, x: np.ndarray, y: np.ndarray) -> dict[tuple[int, str], np.ndarray]:
        """`TIME_COLUMNS` of each layer and direction, [T, columns]."""
        with tf.GradientTape() as tape:
            h: list[Any] = [tf.constant(x[:, t]) for t in range(x.shape[1])]
            tape.watch(h)
            below = h
            layers: dict[tuple[int, str], Any] = {}
            for index, weights in enumerate(self.weights):
                ahead = layers[index, "forward"] = self._layer(h, *weights[:3])
                h = last = [state[0] for state in ahead["states"]]
                if len(weights) > 3:
                    layers[index, "backward"] = {
                        name: values[::-1] for name, values in self._layer(below[::-1], *weights[3:]).items()
                    }
                    back = [state[0] for state in layers[index, "backward"]["states"]]
                    h = [tf.concat(pair, -1) for pair in zip(h, back, strict=True)]
                    last = [tf.concat([last[-1], back[0]], -1)]
                below = h
            logits = (tf.stack(h, 1) if y.ndim == 2 else last[-1]) @ self.head[0] + self.head[1]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        asked = {place: [each["inputs"], each["states"], each["kernels"]] for place, each in layers.items()}
        found = tape.gradient(loss, list(asked.values()))
        return {place: self._told(layers[place], *each) for place, each in zip(asked, found, strict=True)}

    def _layer(self, x: list[Any], kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> dict[str, Any]:
        outer, inner = (bias[0], np.stack([0 * bias[0], bias[1]])) if bias.ndim == 2 else (bias, 0 * bias)
        state = [tf.zeros((len(x[0]), UNITS))] * (2 if self.kind is keras.layers.LSTMCell else 1)
        told: dict[str, Any] = {"inputs": [], "before": [], "states": [], "kernels": [], "gates": []}
        for each in x:
            cell = self.kind(UNITS, activation=self.activation)
            cell.build((None, self.blocks * UNITS))
            cell.set_weights([np.eye(self.blocks * UNITS), recurrent, inner])
            told["inputs"].append(each @ kernel + outer)
            told["before"].append(state[0])
            told["kernels"].append(cell.recurrent_kernel.value)
            if self.gate is not None:
                part = slice(self.gate * UNITS, (self.gate + 1) * UNITS)
                own = inner[1, part] if inner.ndim == 2 else 0.0
                told["gates"].append(tf.sigmoid(told["inputs"][-1][:, part] + state[0] @ recurrent[:, part] + own))
            _, state = cell(told["inputs"][-1], state)
            told["states"].append(list(state))
        return told

    def _told(self, layer: dict[str, Any], inputs: Any, states: Any, kernels: Any) -> np.ndarray:
        rows = []
        for t, state in enumerate(states):
            gate = layer["gates"][t].numpy() if layer["gates"] else np.full((1, 1), np.nan)
            outside = ((gate < 0.05) | (gate > 0.95)).mean() if layer["gates"] else np.nan
            norms = [len(g) ** 0.5 * np.linalg.norm(g) for g in (*state, inputs[t])]
            cell = norms[1] if len(state) == 2 else np.nan
            h = layer["states"][t][0].numpy()
            rows.append([norms[0], cell, norms[-1], np.linalg.norm(kernels[t]), (h**2).mean(), gate.mean(), outside])
        return np.array(rows)


def cohort_of(factors: str, record: str = ASKED) -> Any:
    (cohort,) = cohorts(factors, FIXED, record=record)
    return cohort


@pytest.mark.parametrize("factors", CASES)
def test_every_column_is_that_of_keras_cells_under_a_tape(factors: str) -> None:
    training = Training(cohort_of(factors))
    x, y = training.data.x[:BATCH], training.data.y[:BATCH]
    runs = len(training.cohort.runs)
    given = (tf.tile(each[None], [runs] + [1] * len(each.shape)) for each in (x, y))
    found = training.ensemble.gradients(
        *given, tf.constant(value=False), {"time_gradients": tf.constant(value=True)}
    ).over_time.numpy()
    told = training.ensemble.moments
    for index in range(runs):
        expected = Unrolled(training, index).columns(x.numpy(), y.numpy())
        for row, each in zip(found[:, :, index], told, strict=True):
            where = f"{each} {TIME_COLUMNS}"
            np.testing.assert_allclose(
                row, expected[each.layer, each.moment.direction][each.moment.time], 1e-4, 1e-9, err_msg=where
            )
    if "LSTM" in str(Unrolled(training, 0).kind):
        assert 0.0 < found[:, -1].mean() < 1.0  # some gates are open, some are not
    assert (found[:, 0] > 0).all()


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """A cohort's tables, and those of the same cohort where nobody asks."""
    factors = CASES[0].replace("gain = 2.0", "gain = 0.5")
    both = {name: Training(cohort_of(factors, record)) for name, record in (("asked", ASKED), ("not", EVALUATED))}
    assert both["asked"].cohort.key != both["not"].cohort.key
    return {name: {n: t.to_pandas() for n, t in each.run().items()} for name, each in both.items()}


def test_rows_stand_at_the_kept_time_steps_of_each_layer_and_measured_step(trained: dict[str, Any]) -> None:
    rows = trained["asked"]["time_gradients"]
    kept = [0, 1, 2, 3, 4, 6, 8, 10]
    assert kept_distances(11) == tuple(kept)
    assert rows["step"].tolist() == [0] * 16 + [STEPS - 1] * 16
    assert rows["layer_index"].tolist() == ([0] * 8 + [1] * 8) * 2
    assert rows["lag"].tolist() == kept * 4 and rows["time"].tolist() == [10 - lag for lag in kept] * 4
    assert set(rows["direction"]) == {"forward"}
    assert rows[["cell_grad_norm", "gate_mean", "gate_saturated_fraction"]].isna().all(axis=None)
    told = rows.drop(columns=["cell_grad_norm", "gate_mean", "gate_saturated_fraction"])
    assert told.notna().all(axis=None) and (told["state_grad_norm"] > 0).all()
    first = rows[(rows["step"] == 0) & (rows["layer_index"] == 1)].set_index("lag")["state_grad_norm"]
    assert first[10] / first[0] < 0.51**10  # the kernel is half of the identity, and tanh takes its share


def test_what_is_measured_over_time_changes_nothing_else(trained: dict[str, Any]) -> None:
    assert "time_gradients" not in trained["not"]
    for name in ("gradient_norms", "loss_curves", "evaluations", "activations"):
        pd.testing.assert_frame_equal(trained["asked"][name], trained["not"][name], rtol=1e-5)


def test_the_steps_that_are_kept_grow_by_half_and_are_few() -> None:
    for length in (1, 2, 3, 50, 1000):
        kept = kept_distances(length)
        assert kept[0] == 0 and kept[-1] == length - 1 and len(kept) <= 32
        assert list(kept) == sorted(set(kept))
        assert all(b <= max(a + 1, 1.5 * a) for a, b in pairwise(kept))


def test_lags_count_to_the_first_loss_that_sees_a_state() -> None:
    both = ("forward", "backward")
    cases: list[tuple[dict[str, Any], list[tuple[str, int, int]]]] = [
        ({"each": False}, [("forward", 3, 0), ("forward", 2, 1), ("forward", 1, 2), ("forward", 0, 3)]),
        ({"each": True}, [("forward", t, 0) for t in (3, 2, 1, 0)]),
        (
            {"each": False, "directions": both},
            [*(("forward", t, 3 - t) for t in (3, 2, 1, 0)), *(("backward", t, t) for t in range(4))],
        ),
        (
            {"each": False, "directions": both, "last": False},
            [
                *(("forward", t, min(t, 3 - t)) for t in (3, 2, 1, 0)),
                *(("backward", t, min(t, 3 - t)) for t in range(4)),
            ],
        ),
    ]
    for given, expected in cases:
        assert [(each.direction, each.time, each.lag) for each in moments(4, **given)] == expected
