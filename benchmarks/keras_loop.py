"""(a) A plain Keras loop: one run at a time in one process, as a careful user would write it.

One `tf.function` is a training step and returns the loss, the global gradient norm and the norm of each layer's kernel
gradient, at every step. Clipping is Keras's own. At the steps that the suite asks for it evaluates whole splits by
`Model.test_on_batch`, which answers in a tenth of the time of `Model.evaluate`. It measures less than the engine: no
gradients of activations, no activation statistics, no update norms.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from bench.engine.datasets import Dataset, load
from bench.engine.targets import target_of
from bench.factors import Choice
from bench.plan import Cohort, Run, make_plan
from bench.suite import load_suite
from benchmarks.process import Case, Findings, serve

CLIPPING = {"none": None, "value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
SAMPLE = 512  # training rows that are evaluated
Frames = dict[str, pd.DataFrame]
Judge = Callable[[keras.Sequential, np.ndarray, np.ndarray], dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """How the loop is written: whether XLA compiles its step, and whether `Model.evaluate` evaluates."""

    jit: bool
    evaluate: bool


def build_model(run: Run, data: Dataset) -> keras.Sequential:
    """The run's network: dense layers, normalization before the activation."""
    choices = run.choices
    rng = np.random.default_rng(run.seed)
    layers: list[Any] = [keras.Input(data.shape), keras.layers.Flatten()]
    for _ in range(_number(choices, "depth")):
        layers.append(keras.layers.Dense(_number(choices, "width"), kernel_initializer=_initializer(choices, rng)))
        layers += _normalization(choices["normalization"])
        layers.append(keras.layers.Activation(target_of("activation", choices["activation"])))
    layers.append(keras.layers.Dense(data.classes, kernel_initializer=_initializer(choices, rng)))
    return keras.Sequential(layers)


def build_optimizer(choices: Mapping[str, Choice]) -> keras.optimizers.Optimizer:
    """Keras's optimizer with its own clipping."""
    clipping = choices["clipping"]
    name = CLIPPING[clipping.name]
    settings = dict(choices["optimizer"].settings) | ({name: float(clipping.setting("threshold"))} if name else {})
    return target_of("optimizer", choices["optimizer"])(float(choices["learning_rate"].value or 0), **settings)


def compile_step(model: keras.Sequential, *, jit: bool) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """One training step: from a batch to its loss, the gradient's global norm and the norm of each kernel's part."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernels = [i for i, variable in enumerate(model.trainable_variables) if variable.name == "kernel"]

    @tf.function(jit_compile=jit)
    def step(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss, tf.linalg.global_norm(gradients), tf.stack([tf.norm(gradients[i]) for i in kernels])

    return step


def train_run(cohort: Cohort, run: Run, options: Options) -> tuple[Frames, float]:
    """Train one run from nothing; its rows, and the seconds that building and first calls took."""
    started = time.perf_counter()
    keras.utils.clear_session(free_memory=False)
    data = load(run.choices["dataset"], run.choices["preprocessing"].name)
    model = build_model(run, data)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(build_optimizer(run.choices), loss, metrics=["accuracy"])
    step_of = compile_step(model, jit=options.jit)
    judge = _evaluate if options.evaluate else _test_on_batch
    first, steps, found, judged = 0.0, _number(run.choices, "steps"), [], []
    asked = set(cohort.schedules["evaluations"])
    for step, rows in enumerate(_batches(run, len(data.y_train), steps)):
        if step in asked:
            judged += _judge(model, data, step, judge)
        found.append(step_of(data.x_train[rows], data.y_train[rows]))
        if not step:
            first = time.perf_counter() - started
    judged += _judge(model, data, steps, judge)
    return _frames(run, found, judged), first


def _judge(model: keras.Sequential, data: Dataset, step: int, judge: Judge) -> list[dict[str, Any]]:
    splits = {
        "train": (data.x_train[:SAMPLE], data.y_train[:SAMPLE]),
        "validation": (data.x_validation, data.y_validation),
    }
    return [{"step": step, "split": split} | judge(model, x, y) for split, (x, y) in splits.items()]


def _test_on_batch(model: keras.Sequential, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    model.reset_metrics()
    return dict(model.test_on_batch(x, y, return_dict=True))


def _evaluate(model: keras.Sequential, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return dict(model.evaluate(x, y, batch_size=SAMPLE, verbose=0, return_dict=True))


def _frames(run: Run, found: Sequence[tuple[tf.Tensor, ...]], judged: list[dict[str, Any]]) -> Frames:
    losses, totals, norms = (np.array([step[k].numpy() for step in found]) for k in range(3))
    steps, layers = norms.shape
    grid = {"step": np.repeat(np.arange(steps), layers), "layer_index": np.tile(np.arange(layers), steps)}
    frames = {
        "loss_curves": pd.DataFrame({"step": np.arange(steps), "loss": losses, "global_grad_norm": totals}),
        "gradient_norms": pd.DataFrame(grid | {"weight_grad_norm": norms.ravel()}),
        "evaluations": pd.DataFrame(judged),
    }
    return {name: frame.assign(run_id=run.run_id) for name, frame in frames.items()}


def _batches(run: Run, rows: int, steps: int) -> list[np.ndarray]:
    rng, size = np.random.default_rng(run.seed), _number(run.choices, "batch_size")
    whole = rows // size
    epochs = [rng.permutation(rows)[: whole * size].reshape(whole, size) for _ in range(-(-steps // whole))]
    return list(np.concatenate(epochs)[:steps])


def _initializer(choices: Mapping[str, Choice], rng: np.random.Generator) -> keras.initializers.Initializer:
    choice = choices["initializer"]
    return target_of("initializer", choice)(**dict(choice.settings), seed=int(rng.integers(2**31)))


def _normalization(choice: Choice) -> list[keras.layers.Layer]:
    settings = {name: value for name, value in choice.settings if name != "position"}
    return [] if choice.is_none else [target_of("normalization", choice)(**settings)]


def _number(choices: Mapping[str, Choice], factor: str) -> int:
    return int(choices[factor].value or 0)


def prepare(case: Case) -> Callable[[], Findings]:
    """Time runs of a suite, given as pairs [cohort's position in the plan, run's position in the cohort]."""
    cohorts = make_plan(load_suite(Path(case["suite"]))).cohorts
    options = Options(**case["options"])

    def timed() -> Findings:
        seconds, firsts, kept = [], [], []
        for position, index in case["runs"]:
            started = time.perf_counter()
            frames, first = train_run(cohorts[position], cohorts[position].runs[index], options)
            seconds.append(time.perf_counter() - started)
            firsts.append(first)
            kept.append(frames)
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            for table in kept[0]:
                pd.concat([frames[table] for frames in kept]).to_parquet(Path(folder) / f"{table}.parquet")
        return {"seconds": seconds, "first": firsts, "write_seconds": time.perf_counter() - started}

    return timed


if __name__ == "__main__":
    serve(prepare)
