"""(c) per step: the engine's own training step on the cohort that `jax_vmap` trains."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.train import Training
from bench.plan import Cohort, make_plan
from bench.suite import load_suite
from benchmarks.process import Case, Findings, serve, time_calls

SUITE = """
[suite]
name = "step"
question = "How long is a step?"
replicates = {replicates}

[factors]
initializer = ["glorot_uniform", "he_normal", "lecun_normal"]
clipping = ["none", "global_norm"]

[fixed]
depth = {depth}
width = {width}
batch_size = {batch}
normalization = "{normalization}"
activation = "relu"
optimizer = "momentum"
learning_rate = 0.02
"""


def cohort_of(case: Case) -> Cohort:
    """The cohort of a case; its runs are a multiple of six."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.toml"
        path.write_text(SUITE.format(**case, replicates=case["runs"] // 6), encoding="utf-8")
        return make_plan(load_suite(path)).cohorts[0]


def prepare(case: Case) -> Callable[[], Findings]:
    """Build the cohort and take its first step; then time steps that measure norms and steps that do not."""
    cohort = cohort_of(case)
    started = time.perf_counter()
    training = Training(cohort)
    rows = list(islice(batches(cohort.runs, len(training.data.y), case["batch"], case["calls"]), case["calls"]))
    alive = tf.constant(training.recorder.alive)

    def call(indices: np.ndarray, *, measure: bool) -> None:
        found = training.step(tf.constant(indices), alive, tf.constant(measure))
        for value in found.values():
            value.numpy()

    call(rows[0], measure=True)
    first = time.perf_counter() - started
    return lambda: {
        "first": {"measured": first},
        "measured": time_calls(lambda i: call(rows[i], measure=True), case),
        "plain": time_calls(lambda i: call(rows[i], measure=False), case),
    }


if __name__ == "__main__":
    serve(prepare)
