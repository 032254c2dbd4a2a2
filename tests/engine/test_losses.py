"""Losses are Keras's, and a constant answer is judged by the best that there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize_scalar
from sklearn.utils.class_weight import compute_class_weight

from bench.engine.batches import batches
from bench.engine.datasets import load
from bench.engine.fitting import try_dataset
from bench.engine.objective import Objective, balanced_weights
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


def lopsided() -> tuple[np.ndarray, np.ndarray]:
    """Two classes, one of them a tenth of the rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6, 4)).astype(np.float32)
    return x, (x[:, 0, 0] > 1.3).astype(np.int64)


def grids() -> tuple[np.ndarray, np.ndarray]:
    """The same as images."""
    x, y = lopsided()
    return x[..., None], y


ROWS = "depth = 1\nsteps = 4\nlearning_rate = 0.1\nbatch_size = 32"
NETWORKS: dict[str, tuple[str, Callable[[], list[Any]]]] = {
    "mlp": (
        f'dataset = "{__name__}:lopsided"\nwidth = 5',
        lambda: [keras.Input((24,)), keras.layers.Dense(5, "relu")],
    ),
    "gru": (
        f'dataset = "{__name__}:lopsided"\nwidth = 5\narchitecture = "recurrent"\ncell = "gru"\nactivation = "tanh"',
        lambda: [keras.Input((6, 4)), keras.layers.GRU(5)],
    ),
    "conv": (
        f'dataset = "{__name__}:grids"\nwidth = 3\narchitecture = "conv"',
        lambda: [
            keras.Input((6, 4, 1)), keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ],
    ),
}  # fmt: skip
LEVELS = [
    pytest.param(network, loss, smoothing, marks=() if network == "mlp" or smoothing else pytest.mark.full)
    for network in NETWORKS
    for loss in ("binary_crossentropy", "categorical_crossentropy")
    for smoothing in (0.0, 0.2)
    if network == "mlp" or loss == "binary_crossentropy"
]


@pytest.mark.parametrize(("network", "loss", "smoothing"), LEVELS)
def test_weighted_classes_and_one_output_train_as_a_lone_keras_model_does(
    network: str, loss: str, smoothing: float
) -> None:
    fixed, layers = NETWORKS[network]
    record = EVERY_STEP.replace('evaluations = "never"', "evaluations = { at = [0] }")
    (cohort,) = cohorts(
        'class_weight = ["none", "balanced"]',
        f'{fixed}\n{ROWS}\nloss = "{loss}"\nlabel_smoothing = {smoothing}', record=record,
    )  # fmt: skip
    training = Training(cohort)
    x, y = training.data.x.numpy(), training.data.y.numpy()
    starts = [[v.numpy()[0, k] for stack in training.ensemble.stacks for v in stack.trainable] for k in range(2)]
    tables = {name: table.to_pandas() for name, table in training.run().items()}
    rows = list(batches(cohort.runs, len(y), 32, 4))
    counts = np.bincount(y)
    for k, (run, start) in enumerate(zip(cohort.runs, starts, strict=True)):
        binary = loss == "binary_crossentropy"
        model = keras.Sequential([*layers(), keras.layers.Dense(1 if binary else 2)])
        model.set_weights(start)
        own = keras.losses.BinaryCrossentropy if binary else keras.losses.CategoricalCrossentropy
        model.compile(keras.optimizers.SGD(0.1), own(from_logits=True, label_smoothing=smoothing))
        weights = {c: len(y) / (2 * counts[c]) if k else 1.0 for c in (0, 1)}
        targets = y[:, None].astype(np.float32) if binary else np.eye(2, dtype=np.float32)[y]
        losses = [float(model.train_on_batch(x[at[k]], targets[at[k]], class_weight=weights)) for at in rows]
        np.testing.assert_allclose(of_run(tables, run.run_id)["loss_curves"]["loss"], losses, 1e-4)
    start_scores = tables["evaluations"].query("split == 'train'")
    assert start_scores["loss"].nunique() == 1  # the same weights, and evaluations weigh all samples alike
    signal = tables["gradient_norms"]["preactivation_grad_pair_correlation"]
    assert signal.notna().all()


def test_balanced_weights_are_scikit_learn_s_and_a_class_without_a_row_has_1() -> None:
    y = np.array([0, 0, 0, 2, 2, 2, 2, 2, 2, 3], np.int32)
    data = SimpleNamespace(y_train=y, classes=5)
    wanted = compute_class_weight("balanced", classes=np.unique(y), y=y)
    assert np.array(balanced_weights(data))[[0, 2, 3]] == pytest.approx(wanted)  # type: ignore[arg-type]
    assert np.array(balanced_weights(data))[[1, 4]].tolist() == [1.0, 1.0]  # type: ignore[arg-type]


def test_at_each_step_classes_are_weighted_as_keras_weighs_samples() -> None:
    rng = np.random.default_rng(0)
    y, logits = rng.integers(0, 3, (4, 5)), rng.normal(size=(4, 5, 3)).astype(np.float32)
    weights = np.array([0.5, 2.0, 1.0], np.float32)
    objective = Objective(DataKind.CLASSES_EACH, 15, 1.0, 5)
    found = objective.losses(tf.constant(y), tf.constant(logits.reshape(4, 15)), weights=tf.constant(weights))
    own = keras.losses.SparseCategoricalCrossentropy(True)(y, logits, sample_weight=weights[y])
    assert float(tf.reduce_mean(found)) == pytest.approx(float(own), rel=1e-5)


def test_one_output_answers_the_second_class_above_0_and_its_z_is_that_of_two_logits() -> None:
    objective = Objective(DataKind.CLASSES, 1, 1.0, loss=loss_of("binary_crossentropy"))
    outputs = tf.constant([[-3.0], [0.0], [0.2]])
    both = tf.concat([tf.zeros_like(outputs), outputs], axis=1)
    assert objective.classes == 2
    assert objective.answers(outputs).numpy().tolist() == tf.argmax(both, axis=1).numpy().tolist() == [0, 0, 1]
    two = Objective(DataKind.CLASSES, 2, 1.0)
    np.testing.assert_allclose(objective.log_z_squares(outputs), two.log_z_squares(both), 1e-6)
    y = tf.constant([0, 1, 1])
    np.testing.assert_allclose(objective.losses(y, outputs), two.losses(y, both), 1e-6)


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
    weight = ("class_weight", choose(FACTORS["class_weight"], "balanced"))
    with pytest.raises(DataError, match="class_weight balanced do not go together: the targets are values: there is n"):
        try_dataset((values, 2, ("mlp",), weight))
    np.savez(path, x_train=x, y_train=np.arange(40) % 3, x_test=x, y_test=np.arange(40) % 3)
    load.cache_clear()
    with pytest.raises(DataError, match="the targets are 3 classes: categorical_crossentropy is for more than two"):
        try_dataset((classes, 2, ("mlp",), ("loss", loss_of("binary_crossentropy"))))
