"""The engine's own training step on the cohort of a case, and products of matrices as its layers have them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import Ensemble
from bench.engine.train import Training
from benchmarks.case import FIRST_STEPS, PRODUCTS, Case
from benchmarks.process import Prepared, counted, serve

CHAIN = 10  # batches of products in a call


def prepare(case: Case, _: dict[str, Any]) -> Prepared:
    """Steps that measure every layer's gradients, steps that do not, and batched products of the network's width."""
    cohort, kernels, rows = case.cohort, case.kernels(), case.rows()
    started = time.perf_counter()
    training = Training(cohort)
    start_from(training.ensemble, kernels)

    def step(*, measure: bool) -> dict[str, np.ndarray]:
        return take_step(training, next(rows), measure=measure)

    losses = [step(measure=True)["loss"][0]]
    first = time.perf_counter() - started
    losses += [step(measure=True)["loss"][0] for _ in range(FIRST_STEPS - 1)]
    kinds = {name: counted(partial(step, measure=name == "measured"), 1) for name in ("measured", "plain")}
    return Prepared(kinds | {"products": counted(products(case.width), CHAIN)}, first, float(np.mean(losses)))


def take_step(training: Training, rows: np.ndarray, *, measure: bool) -> dict[str, np.ndarray]:
    """One step of the engine, as its own loop takes it: the only line here that knows the step's arguments."""
    found = training.step(tf.constant(rows), tf.constant(training.recorder.alive), tf.constant(measure))
    return {name: value.numpy() for name, value in found.items()}


def start_from(ensemble: Ensemble, kernels: list[np.ndarray]) -> None:
    """Give every layer these kernels, [runs, inputs, units]."""
    position = 0
    for variable in ensemble.kernels:
        count = variable.shape[0]
        variable.assign(np.stack(kernels[position : position + count]))
        position += count


def products(size: int) -> Callable[[], object]:
    """A chain of batched square products; orthogonal factors keep the numbers' size."""
    rng = np.random.default_rng(0)
    factors, start = (tf.constant(np.linalg.qr(rng.normal(size=(PRODUCTS, size, size)))[0], tf.float32) for _ in "ab")

    @tf.function(autograph=False)
    def chain() -> tf.Tensor:
        product = start
        for _ in range(CHAIN):
            product = tf.matmul(factors, product)
        return product

    return chain


if __name__ == "__main__":
    serve(prepare)
