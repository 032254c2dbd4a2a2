"""One Keras model of a case: by a careful loop with one `tf.function` a step, or by `Model.fit`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks.case import FIRST_STEPS, Case
from benchmarks.keras_model import build_model, build_optimizer, compile_step
from benchmarks.process import Prepared, counted, serve

FIT_STEPS = 100  # in one call of `fit`, which takes some hundredths of a second to begin

Take = Callable[[int], float]  # takes some steps and returns their mean loss


def prepare(case: Case, settings: dict[str, Any]) -> Prepared:
    """The case's first run alone; `settings` are what `Model.compile` is given for `fit`, and empty for the loop."""
    rows, data, kernels, run = case.rows(), case.data, case.kernels(), case.cohort.runs[0]

    def batches(count: int) -> tuple[np.ndarray, np.ndarray]:
        """So many, one after the other."""
        chosen = np.concatenate([next(rows)[0] for _ in range(count)])
        return data.x_train[chosen], data.y_train[chosen]

    started = time.perf_counter()
    model = build_model(run, data)
    variables = (each for each in model.trainable_variables if each.name.endswith(("kernel", "embeddings")))
    for variable, kernel in zip(variables, kernels, strict=True):
        variable.assign(kernel[0].reshape(variable.shape))  # Keras's attention has an axis of heads
    model.compile(build_optimizer(run.choices), keras.losses.SparseCategoricalCrossentropy(True), **settings)
    model.optimizer.build(model.trainable_variables)
    loop = {name: compile_step(model, measure=name == "measured") for name in ("measured", "plain")}

    def fit(count: int) -> float:
        x, y = batches(count)
        return float(model.fit(x, y, batch_size=case.batch, shuffle=False, verbose=0).history["loss"][0])

    def step(kind: str) -> float:
        loss, *_ = (value.numpy() for value in loop[kind](*batches(1)))
        return float(loss)

    if settings:
        losses = [fit(FIRST_STEPS)]
        first = time.perf_counter() - started
        return Prepared({"plain": counted(lambda: fit(FIT_STEPS), FIT_STEPS)}, first, losses[0])
    losses = [step("measured")]
    first = time.perf_counter() - started
    losses += [step("measured") for _ in range(FIRST_STEPS - 1)]
    kinds = {kind: counted(lambda kind=kind: step(kind), 1) for kind in loop}
    return Prepared(kinds, first, float(np.mean(losses)))


if __name__ == "__main__":
    serve(prepare)
