"""Losses are Keras's, and a constant answer is judged by the best that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize_scalar

from bench.engine.batches import batches
from bench.engine.fitting import try_dataset
from bench.engine.objective import Objective
from bench.engine.scores import constant_loss
from bench.engine.train import Training
from bench.errors import DataError
from bench.factors import FACTORS, Choice, DataKind, choose
from tests.cohorts import EVERY_STEP, cohorts, of_run

KERAS: list[tuple[object, Any]] = [
    ("mean_squared_error", keras.losses.MeanSquaredError),
    ("mean_absolute_error", keras.losses.MeanAbsoluteError),
    ({"level": "huber", "delta": 0.4}, lambda **more: keras.losses.Huber(0.4, **more)),
]


def loss_of(written: object) -> Choice:
    return choose(FACTORS["loss"], written)


def numbers() -> tuple[np.ndarray, np.ndarray]:
    """Two skewed values of a sample."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    return x, np.stack([np.exp(x[:, 0]), 3.0 * x[:, 1] - 1.0], axis=1)


numbers.kind = "values"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("written", "keras_s"), KERAS)
def test_errors_of_values_are_keras_s_and_a_constant_s_is_the_least(written: object, keras_s: Any) -> None:
    rng = np.random.default_rng(1)
    y, outputs = rng.normal(size=(2, 5, 3)).astype(np.float32), rng.normal(size=(2, 5, 3)).astype(np.float32)
    objective = Objective(DataKind.VALUES, 3, 1.0, loss=loss_of(written))
    own = keras_s(reduction=None)
    np.testing.assert_allclose(objective.losses(tf.constant(y), tf.constant(outputs)), own(y, outputs), 1e-6)
    _, targets = numbers()
    least = [
        minimize_scalar(lambda c, t=t: float(np.mean(own(t[:, None], np.full((len(t), 1), c)))), bounds=(-5, 5)).fun
        for t in targets.T
    ]
    assert constant_loss(targets, loss_of(written)) == pytest.approx(np.mean(least), rel=1e-4)


@pytest.mark.parametrize("written", ["mean_absolute_error", {"level": "huber", "delta": 0.4}])
def test_a_cohort_trains_by_its_loss_as_a_lone_keras_model_does(written: dict[str, Any] | str) -> None:
    level = f'"{written}"' if isinstance(written, str) else '{ level = "huber", delta = 0.4 }'
    (cohort,) = cohorts(
        f"loss = [{level}]", f'dataset = "{__name__}:numbers"\ndepth = 1\nwidth = 5\nsteps = 3\nlearning_rate = 0.1'
    )
    training = Training(cohort)
    x, y = training.data.x.numpy(), training.data.y.numpy()
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(2)])
    model.set_weights([v.numpy()[0, 0] for stack in training.ensemble.stacks for v in stack.trainable])
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    own = keras.losses.MeanAbsoluteError() if isinstance(written, str) else keras.losses.Huber(0.4)
    model.compile(keras.optimizers.SGD(0.1), own)
    losses = [float(model.train_on_batch(x[at[0]], y[at[0]])) for at in batches(cohort.runs, len(y), 64, 3)]
    np.testing.assert_allclose(tables["loss_curves"]["loss"], losses, 1e-4)
    naive = constant_loss(training.data.truth[training.data.train_samples :], cohort.structure["loss"])
    assert tables["runs"]["naive_loss"].tolist() == [naive]


def test_smoothed_labels_are_keras_s_in_training_and_plain_in_evaluations() -> None:
    record = EVERY_STEP.replace('evaluations = "never"', "evaluations = { at = [0] }")
    (cohort,) = cohorts("label_smoothing = [0, 0.1, 1]", "depth = 1\nwidth = 8\nsteps = 3", record=record)
    training = Training(cohort)
    x, y = training.data.x.numpy(), training.data.y.numpy()
    weights = [[v.numpy()[0, k] for stack in training.ensemble.stacks for v in stack.trainable] for k in range(3)]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    rows = list(batches(cohort.runs, len(y), 64, 3))
    for k, (run, start) in enumerate(zip(cohort.runs, weights, strict=True)):
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(10)])
        model.set_weights(start)
        share = float(run.choices["label_smoothing"].column)
        model.compile(keras.optimizers.SGD(0.01), keras.losses.CategoricalCrossentropy(True, label_smoothing=share))
        losses = [float(model.train_on_batch(x[at[k]], np.eye(10)[y[at[k]]])) for at in rows]
        own = of_run(tables, run.run_id)
        np.testing.assert_allclose(own["loss_curves"]["loss"], losses, 1e-4)
    start = tables["evaluations"].query("split == 'train'")["loss"]
    assert start.nunique() == 1  # the same weights, and the labels as they are


def test_at_each_step_labels_are_smoothed_too() -> None:
    rng = np.random.default_rng(0)
    y, logits = rng.integers(0, 3, (4, 5)), rng.normal(size=(4, 5, 3)).astype(np.float32)
    objective = Objective(DataKind.CLASSES_EACH, 15, 1.0, 5)
    found = objective.losses(tf.constant(y), tf.constant(logits.reshape(4, 15)), tf.constant(0.3))
    own = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.3, reduction=None)(np.eye(3)[y], logits)
    np.testing.assert_allclose(found, np.mean(own, axis=1), 1e-5)


def test_losses_that_data_from_outside_has_no_targets_for_are_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "classes.npz", np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), np.arange(40) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    classes, values = choose(FACTORS["dataset"], str(path)), choose(FACTORS["dataset"], f"{__name__}:numbers")
    assert not try_dataset((classes, 2, ("mlp",), ("loss", loss_of("auto"))))
    with pytest.raises(DataError, match="loss huber do not go together: the targets are classes: categorical_crossen"):
        try_dataset((classes, 2, ("mlp",), ("loss", loss_of("huber"))))
    with pytest.raises(DataError, match="the targets are values, which have no classes: mean_squared_error, "):
        try_dataset((values, 2, ("mlp",), ("loss", loss_of("categorical_crossentropy"))))
    smoothing = ("label_smoothing", choose(FACTORS["label_smoothing"], 0.1))
    with pytest.raises(DataError, match=r"and label_smoothing 0\.1 do not go together: the targets are values"):
        try_dataset((values, 2, ("mlp",), smoothing))
