"""The engine's own training step on the cohort of a case, and the bare arithmetic of its layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from bench.engine.ensemble import Ensemble
from bench.engine.train import Training
from benchmarks.case import FIRST_STEPS, PRODUCTS, SIDE, Case
from benchmarks.process import Prepared, counted, serve

CHAIN = 10  # batches of products in a call


def prepare(case: Case, _: dict[str, Any]) -> Prepared:
    """Steps that measure every layer's gradients, steps that do not, and batched products of the network's width.

    Of convolutions, in place of the products, what a step of all runs spends on them at least.
    """
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
    bare = (
        {"floor": counted(convolutions(case), 1)}
        if case.convolves
        else {"products": counted(products(case.width), CHAIN)}
    )
    return Prepared(kinds | bare, first, float(np.mean(losses)))


def take_step(training: Training, rows: np.ndarray, *, measure: bool) -> dict[str, np.ndarray]:
    """One step of the engine, as its own loop takes it: the only line here that knows the step's arguments."""
    found = training.step(tf.constant(rows), tf.constant(training.recorder.alive), tf.constant(measure))
    return {name: value.numpy() for name, value in found.items()}


def start_from(ensemble: Ensemble, kernels: list[np.ndarray]) -> None:
    """Give every layer these embeddings and kernels, [runs, inputs, units], in the order in which samples meet them."""
    left = iter(kernels)
    for stacks in [*ensemble.stages, [ensemble.head]]:
        given = [[v for v in stack.affine if v.name.endswith(("kernel", "_embedding"))] for stack in stacks]
        blocks = [[[next(left) for _ in own] for own in given] for _ in range(stacks[0].trainable[0].shape[0])]
        for j, own in enumerate(given):
            for k, variable in enumerate(own):
                variable.assign(np.stack([block[j][k] for block in blocks]))


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


def convolutions(case: Case) -> Callable[[], object]:
    """The convolutions of a step of all runs and nothing else: forward, and back to kernels and to what came in."""
    rng = np.random.default_rng(0)
    image, channels = [case.batch, SIDE, SIDE], [1, *[case.width] * case.depth]
    h = {each: tf.constant(rng.normal(size=(*image, each)), tf.float32) for each in set(channels)}
    kernels = [tf.constant(each, tf.float32) for each in case.kernels()[:-1]]

    @tf.function(autograph=False)
    def bare() -> tf.Tensor:
        ends = []
        for (first, own), of_runs in zip(pairwise(channels), kernels, strict=True):
            for kernel in tf.unstack(of_runs):
                ends += [
                    tf.nn.conv2d(h[first], kernel, 1, "SAME"),
                    tf.raw_ops.Conv2DBackpropFilter(
                        input=h[first], filter_sizes=kernel.shape, out_backprop=h[own], strides=[1] * 4, padding="SAME"
                    ),
                ]
                if first > 1:
                    ends.append(tf.nn.conv2d_transpose(h[own], kernel, h[first].shape, 1, "SAME"))
        return tf.stack([each[0, 0, 0, 0] for each in ends])

    return bare


if __name__ == "__main__":
    serve(prepare)
