"""Columns that the comparison of losses leaves out, against networks written out by hand and lone Keras models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.plan import Cohort
from tests.cohorts import cohorts, of_run

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


def training_of(cohort: Cohort) -> Any:
    from bench.engine.train import Training

    return Training(cohort)


def frames(training: Any) -> dict[str, Any]:
    return {name: table.to_pandas() for name, table in training.run().items()}


@pytest.mark.parametrize("normalization", ["none", "layer_normalization"])
def test_the_activation_gradient_is_taken_at_the_output_of_the_activation(normalization: str) -> None:
    level = f'{{ level = "{normalization}", position = "after" }}' if normalization != "none" else '"none"'
    (cohort,) = cohorts(f"normalization = [{level}]", f'{SHAPE}\nsteps = 2\nactivation = "tanh"\nlearning_rate = 1.0')
    training = training_of(cohort)
    expected = first_gradients(training, 0, layer_norm=normalization != "none")
    rows = frames(training)["gradient_norms"].query("step == 0").sort_values("layer_index")
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


def test_the_norm_after_clipping_is_that_of_each_rule() -> None:
    levels = ", ".join(f'{{ level = "{rule}", threshold = {limit} }}' for rule, limit in RULES.items())
    (cohort,) = cohorts(f"clipping = [{levels}]", f'{SHAPE}\nsteps = 1\nactivation = "tanh"')
    training = training_of(cohort)
    found = [first_gradients(training, index, layer_norm=False) for index in range(len(RULES))]
    curves = frames(training)["loss_curves"]
    for run, gradients in zip(cohort.runs, found, strict=True):
        row = curves[curves["run_id"] == run.run_id].iloc[0]
        rule = run.choices["clipping"].name
        after = clipped(rule, RULES[rule], gradients["weights"], gradients["variables"])
        norms = [np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in each))
                 for each in (gradients["weights"], after)]  # fmt: skip
        np.testing.assert_allclose([row["global_grad_norm"], row["clipped_grad_norm"]], norms, rtol=1e-4, err_msg=rule)
        assert norms[1] < 0.99 * norms[0], "the limit must bite, or the test shows nothing"
        assert row["clipped"]


@pytest.mark.parametrize("normalization", ["none", "batch_normalization"])
def test_evaluations_are_those_of_the_lone_model_in_inference_mode(normalization: str) -> None:
    from bench.engine.batches import batches
    from tests.engine.lone import Lone
    from tests.engine.test_engine_parity import _lone

    (cohort,) = cohorts(
        f'normalization = ["{normalization}"]', f'{SHAPE}\nsteps = {STEPS}\nactivation = "tanh"\nlearning_rate = 0.02'
    )
    training = training_of(cohort)
    data, lone = training.data, _lone(Lone, training, 0)
    x, y = data.x.numpy(), data.y.numpy()
    found = of_run(frames(training), cohort.runs[0].run_id)["evaluations"]
    rows = [at[0] for at in batches(cohort.runs, len(y), training.batch, STEPS)]
    for step in (0, STEPS):
        if step:
            lone.train((x[at], y[at]) for at in rows)
        logits = lone.model(data.judged_x, training=False)[0].numpy().astype(np.float64)
        truth = data.judged_y.numpy()
        peak = logits.max(axis=1)
        loss = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1)) - logits[np.arange(len(truth)), truth]
        hits = logits.argmax(axis=1) == truth
        parts = {"train": slice(0, data.train_samples), "validation": slice(data.train_samples, None)}
        for split, part in parts.items():
            row = found[(found["step"] == step) & (found["split"] == split)].iloc[0]
            np.testing.assert_allclose(row["loss"], loss[part].mean(), rtol=1e-4)
            np.testing.assert_allclose(row["accuracy"], hits[part].mean(), atol=1.5 / len(hits[part]))
