"""Columns that the comparison of losses leaves out, against networks written out by hand and lone Keras models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.cohorts import EVALUATED, cohorts, of_run

STEPS = 12
SHAPE = 'depth = 3\nwidth = 16\nbatch_size = 32\noptimizer = "sgd"'
RULES = {"value": 0.004, "norm": 0.05, "global_norm": 0.1, "adaptive": 0.01}


def first_gradients(training: Any, index: int, *, layer_norm: bool) -> dict[str, Any]:
    """Gradients of a run's first batch: a tanh network in three lines of TensorFlow."""
    import tensorflow as tf

    from bench.engine.batches import batches

    ensemble = training.ensemble
    variables = [
        [tf.constant(v.numpy()[block, index]) for v in stack.affine]
        for stack in ensemble.stacks
        for block in range(stack.kernel.shape[0])
    ]
    rows = next(iter(batches(training.cohort.runs, len(training.data.y), training.batch, 1)))[index]
    h, y = tf.constant(training.data.x.numpy()[rows]), tf.constant(training.data.y.numpy()[rows])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(variables)
        phis = []
        for kernel, bias in variables[:-1]:
            phis.append(tf.tanh(h @ kernel + bias))
            h = phis[-1]
            if layer_norm:
                mean, variance = tf.nn.moments(h, [1], keepdims=True)
                h = (h - mean) / tf.sqrt(variance + 1e-3)
        logits = h @ variables[-1][0] + variables[-1][1]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    return {
        "variables": [v.numpy() for pair in variables for v in pair],
        "weights": [g.numpy() for pair in tape.gradient(loss, variables) for g in pair],
        "signal": [float(np.sqrt(len(rows)) * np.linalg.norm(g)) for g in tape.gradient(loss, phis)],
    }


@dataclass(frozen=True)
class Tried:
    """A trained cohort: each run's gradients of its first batch, lone models that are not yet trained, the tables."""

    training: Any
    first: list[dict[str, Any]]
    lones: list[Any]
    tables: dict[str, Any]


def tried(factors: str) -> Tried:
    from bench.engine.train import Training
    from tests.engine.lone import Lone
    from tests.engine.test_engine_parity import _lone

    (cohort,) = cohorts(factors, f'{SHAPE}\nsteps = {STEPS}\nactivation = "tanh"', record=EVALUATED)
    training, runs = Training(cohort), range(len(cohort.runs))
    first = [first_gradients(training, index, layer_norm="layer" in factors) for index in runs]
    lones = [_lone(Lone, training, index) for index in runs]
    return Tried(training, first, lones, {name: table.to_pandas() for name, table in training.run().items()})


@pytest.fixture(scope="module")
def plain() -> Tried:
    """All clipping rules, fast and slow."""
    levels = ", ".join(f'{{ level = "{rule}", threshold = {limit} }}' for rule, limit in RULES.items())
    return tried(f'clipping = ["none", {levels}]\nlearning_rate = [1.0, 0.02]')


@pytest.fixture(scope="module")
def normalized() -> dict[str, Tried]:
    level = 'learning_rate = [{}]\nnormalization = [{{ level = "{}_normalization", position = "{}" }}]'
    cases = {"layer": (1.0, "layer", "after"), "batch": (0.02, "batch", "before")}
    return {kind: tried(level.format(*case)) for kind, case in cases.items()}


def test_the_activation_gradient_is_taken_at_the_output_of_the_activation(
    plain: Tried, normalized: dict[str, Tried]
) -> None:
    for trained in (plain, normalized["layer"]):
        for run, expected in zip(trained.training.cohort.runs, trained.first, strict=True):
            own = of_run(trained.tables, run.run_id)["gradient_norms"]
            rows = own.query("step == 0").sort_values("layer_index")
            np.testing.assert_allclose(rows["activation_grad_norm"][:-1], expected["signal"], rtol=1e-4)
            assert np.isnan(rows["activation_grad_norm"].iloc[-1])
            kernels = [v for v in expected["variables"] if v.ndim == 2]
            np.testing.assert_allclose(rows["weight_norm"], [np.linalg.norm(k) for k in kernels], rtol=1e-5)
            assert rows["weight_count"].tolist() == [k.size for k in kernels]


def clipped(rule: str, limit: float, gradients: list[np.ndarray], weights: list[np.ndarray]) -> list[np.ndarray]:
    """Keras's three rules and Brock's, in numpy."""
    if rule == "value":
        return [np.clip(g, -limit, limit) for g in gradients]
    if rule == "norm":
        return [g * min(1.0, limit / np.linalg.norm(g)) for g in gradients]
    if rule == "global_norm":
        whole = np.sqrt(sum((g**2).sum() for g in gradients))
        return [g * min(1.0, limit / whole) for g in gradients]
    made = []
    for g, w in zip(gradients[:-2], weights[:-2], strict=True):
        axis = 0 if g.ndim == 2 else None
        bound = limit * np.maximum(np.linalg.norm(w, axis=axis, keepdims=True), 1e-3)
        norm = np.linalg.norm(g, axis=axis, keepdims=True)
        made.append(np.where(norm > bound, g * bound / np.maximum(norm, 1e-6), g))
    return [*made, *gradients[-2:]]


def test_the_norm_after_clipping_is_that_of_each_rule(plain: Tried) -> None:
    curves, bitten = plain.tables["loss_curves"].query("step == 0").set_index("run_id"), set()
    for run, gradients in zip(plain.training.cohort.runs, plain.first, strict=True):
        if run.choices["clipping"].is_none:
            continue
        row, rule = curves.loc[run.run_id], run.choices["clipping"].name
        after = clipped(rule, RULES[rule], gradients["weights"], gradients["variables"])
        norms = [np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in each))
                 for each in (gradients["weights"], after)]  # fmt: skip
        np.testing.assert_allclose([row["global_grad_norm"], row["clipped_grad_norm"]], norms, rtol=1e-4, err_msg=rule)
        assert norms[1] < 0.99 * norms[0], "the limit must bite, or the test shows nothing"
        assert row["clipped"]
        bitten.add(rule)
    assert bitten == set(RULES)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_evaluations_are_those_of_the_lone_model_in_inference_mode(
    plain: Tried, normalized: dict[str, Tried], normalization: str
) -> None:
    from bench.engine.batches import batches

    trained = normalized.get(normalization, plain)
    training, data = trained.training, trained.training.data
    (index,) = (
        index
        for index, run in enumerate(training.cohort.runs)
        if run.choices["clipping"].is_none and run.choices["learning_rate"].value == 0.02
    )
    lone, found = trained.lones[index], of_run(trained.tables, training.cohort.runs[index].run_id)["evaluations"]
    x, y = data.x.numpy(), data.y.numpy()
    rows = [at[index] for at in batches(training.cohort.runs, len(y), training.batch, STEPS)]
    for step in (0, STEPS):
        if step:
            lone.train((x[at], y[at]) for at in rows)
        logits = lone.model(data.judged_x, training=False)[0].numpy().astype(np.float64)
        truth = data.truth
        peak = logits.max(axis=1)
        loss = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1)) - logits[np.arange(len(truth)), truth]
        hits = logits.argmax(axis=1) == truth
        parts = {"train": slice(0, data.train_samples), "validation": slice(data.train_samples, None)}
        for split, part in parts.items():
            row = found[(found["step"] == step) & (found["split"] == split)].iloc[0]
            np.testing.assert_allclose(row["loss"], loss[part].mean(), rtol=1e-4)
            one = 1.5 / len(hits[part])  # sample may lie on the line between two classes
            np.testing.assert_allclose(row["accuracy"], hits[part].mean(), atol=one)
            recalls = [hits[part][truth[part] == label].mean() for label in range(10)]
            np.testing.assert_allclose(row["balanced_accuracy"], np.mean(recalls), atol=2 * one)
            largest = np.bincount(logits[part].argmax(axis=1)).max() / len(hits[part])
            np.testing.assert_allclose(row["largest_answer_share"], largest, atol=one)
    shares = np.bincount(data.truth[data.train_samples :]) / (len(data.truth) - data.train_samples)
    naive = trained.tables["runs"].iloc[0]
    np.testing.assert_allclose(naive["naive_accuracy"], shares.max())
    np.testing.assert_allclose(naive["naive_loss"], -(shares * np.log(shares)).sum())
