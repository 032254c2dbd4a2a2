"""Dropout is Keras's layer behind each hidden layer, with masks that are a run's own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.dropout import Dropout
from bench.engine.train import Training
from bench.plan import Cohort
from tests.cohorts import PROBED, cohorts, of_run

STEPS = 3
PLAIN = "depth = 3\nwidth = 12\nbatch_size = 16\nlearning_rate = 0.05\nsteps = 3"
RECURRENT = (
    'architecture = "recurrent"\ndataset = "digits_rows"\ncell = "gru"\ndepth = 2\nwidth = 6\nbatch_size = 16\n'
    "learning_rate = 0.05\nsteps = 3"
)
RECORD = PROBED.replace('evaluations = "never"', 'evaluations = { at = ["last"] }')


class Masked(keras.layers.Layer):
    """Keras's Dropout in training with a given mask."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.kept: Any = None

    def call(self, h: Any, training: bool = False) -> Any:
        return tf.where(self.kept, h / (1.0 - self.rate), 0.0) if training else h


def cohort_of(rates: str, fixed: str, replicates: int = 1) -> Cohort:
    (cohort,) = cohorts(f"dropout = {rates}", fixed, replicates, RECORD)
    return cohort


def lone(training: Training, index: int) -> tuple[keras.Sequential, list[Masked]]:
    """A run's network, and the layers that mask its hidden layers."""
    depth, width = (int(training.cohort.structure[name].value or 0) for name in ("depth", "width"))
    masks = [Masked(float(training.cohort.runs[index].choices["dropout"].value or 0)) for _ in range(depth)]
    x = training.data.x
    layers: list[Any] = [keras.Input(x.shape[1:])]
    for k, mask in enumerate(masks):
        recurrent = keras.layers.GRU(width, return_sequences=k < depth - 1)
        layers += [keras.layers.Dense(width, "relu") if len(x.shape) == 2 else recurrent, mask]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    stacks = [
        [variable.numpy()[block, index] for variable in stack.trainable]
        for stage, stacks in zip(training.ensemble.network.stages, training.ensemble.stages, strict=True)
        for block in range(stage.count)
        for stack in stacks
    ]
    model.set_weights(
        [v for values in stacks for v in values] + [v.numpy()[0, index] for v in training.ensemble.head.affine]
    )
    return model, masks


DEEP = PLAIN.replace("depth = 3", "depth = 18")


@pytest.mark.parametrize("fixed", [PLAIN, RECURRENT, pytest.param(DEEP, marks=pytest.mark.full)])
def test_a_cohort_with_dropout_trains_as_lone_keras_models_with_the_same_masks(fixed: str) -> None:
    training = Training(cohort_of("[0, 0.3]", fixed))
    dropout = training.ensemble.dropout
    assert dropout is not None
    lones = [lone(training, index) for index in range(2)]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    x, y = training.data.x.numpy(), training.data.y.numpy()
    rows = list(batches(training.cohort.runs, len(y), 16, STEPS + 1))
    for index, (model, masks) in enumerate(lones):
        own, optimizer = of_run(tables, training.cohort.runs[index].run_id), keras.optimizers.SGD(0.05)
        norms = own["gradient_norms"]["weight_grad_norm"].to_numpy().reshape(STEPS, -1)
        for step, at in enumerate(rows):
            dropout.step.assign(step)
            h = tf.constant(x[at[index]])
            for k, mask in enumerate(masks):
                mask.kept = dropout.kept(model.layers[2 * k].compute_output_shape(h.shape), k)[index]
                h = tf.zeros(mask.kept.shape)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(y[at[index]], model(x[at[index]], training=True))
                )
            gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            if step < STEPS:
                np.testing.assert_allclose(own["loss_curves"]["loss"].iloc[step], loss, 1e-4)
                each = 2 if len(x.shape) == 2 else 3
                parts = [gradients[k : k + each - 1] for k in range(0, len(gradients) - 2, each)]
                kernels = [tf.linalg.global_norm(part) for part in (*parts, gradients[-2:-1])]
                np.testing.assert_allclose(norms[step], kernels, 1e-4, 1e-7)
        after = training.ensemble.predict(training.data.judged_x[:50]).numpy()[index]
        np.testing.assert_allclose(after, model(training.data.judged_x[:50], training=False), 1e-3, 1e-4)


def test_a_run_has_the_same_masks_alone_and_beside_others_and_none_where_it_drops_nothing() -> None:
    together = Training(cohort_of("[0, 0.2, 0.5]", PLAIN, replicates=2))
    alone = Training(cohort_of("[0.5]", PLAIN, replicates=2))
    first, second = together.ensemble.dropout, alone.ensemble.dropout
    assert first is not None and second is not None
    masks = first.kept((16, 12), 1).numpy()
    np.testing.assert_array_equal(masks[4:], second.kept((16, 12), 1).numpy())
    assert masks[:2].all() and (masks[2:4] >= masks[4:]).all()  # what a small rate drops a larger one does too
    assert (masks[4] != masks[5]).any() and (masks[4] != first.kept((16, 12), 2).numpy()[4]).any()
    first.step.assign(1)
    assert (masks[4] != first.kept((16, 12), 1).numpy()[4]).any()


@pytest.mark.full
def test_a_run_trains_alike_again_and_alone() -> None:
    together, alone = cohort_of("[0, 0.2, 0.5]", PLAIN, replicates=2), cohort_of("[0.5]", PLAIN, replicates=2)
    tables, again, own = (Training(cohort).run() for cohort in (together, together, alone))
    assert all(tables[name].equals(again[name]) for name in tables if name != "timings")
    losses = tables["loss_curves"].to_pandas().groupby("run_id", sort=False)["loss"].apply(np.array)
    for run_id, loss in own["loss_curves"].to_pandas().groupby("run_id", sort=False)["loss"].apply(np.array).items():
        np.testing.assert_allclose(losses[run_id], loss, 1e-5)


def test_a_share_is_dropped_and_the_others_are_scaled_up() -> None:
    dropout = Dropout(tf.constant([0.0, 0.25]), [3, 3])
    h = tf.ones((2, 400, 100))
    left = dropout(h, 0).numpy()
    assert (left[0] == 1.0).all() and set(np.unique(left[1])) == {0.0, np.float32(1 / 0.75)}
    assert abs(left[1].mean() - 1.0) < 5 * np.sqrt(0.25 / 0.75 / 40_000)


def test_without_dropout_there_is_none_in_the_graph() -> None:
    assert Training(cohort_of("[0]", PLAIN)).ensemble.dropout is None
