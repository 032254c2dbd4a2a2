"""A plain Keras loop: one run at a time in one process, as a careful user would write it.

One `tf.function` is a training step and returns the loss, the global gradient norm and the norm of each layer's kernel
gradient, at every step. Clipping is Keras's own. At the steps that the suite asks for it evaluates whole splits by
`Model.test_on_batch`, which answers in a tenth of the time of `Model.evaluate`; XLA would take a third longer. It
measures less than the engine: no gradients of activations, no activation statistics, no update norms.

`python -m benchmarks.keras_loop SUITE FILE` trains one run of every cohort and writes their seconds, by what they went
into, as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from bench.engine.datasets import load
from bench.plan import Cohort, Run, make_plan
from bench.suite import load_suite
from benchmarks import keras_model as plain


@dataclass
class Clock:
    """Seconds of one run by what they went into. Evaluating has its own first call in it."""

    build: float = 0.0
    first_step: float = 0.0  # with its trace
    steps: float = 0.0  # the others
    evaluations: float = 0.0
    first_evaluation: float = 0.0  # with its trace; a part of `evaluations`
    writing: float = 0.0
    total: float = 0.0

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        started = time.perf_counter()
        yield
        setattr(self, part, getattr(self, part) + time.perf_counter() - started)


def train_run(cohort: Cohort, run: Run, folder: Path) -> Clock:
    """Train one run from nothing and write its rows to a file."""
    clock = Clock()
    with clock.timed("total"):
        with clock.timed("build"):
            keras.backend.clear_session(free_memory=False)
            data = load(
                run.choices["dataset"], run.choices["preprocessing"].name, run.choices["target_preprocessing"].name
            )
            model = plain.build_model(run, data)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(plain.build_optimizer(run.choices), loss, metrics=["accuracy"])
            step_of = plain.compile_step(model)
            steps = plain.number(run.choices, "steps")
            batches = plain.batches(run, len(data.y_train), steps)
        found, judged = [], []
        asked = set(cohort.schedules["evaluations"])
        for step in range(steps + 1):
            if step in asked:
                with clock.timed("evaluations"):
                    judged += plain.judge_splits(model, data, step)
                clock.first_evaluation = clock.first_evaluation or clock.evaluations
            if step < steps:
                rows = batches[step]
                with clock.timed("steps" if step else "first_step"):
                    found.append(step_of(data.x_train[rows], data.y_train[rows]))
        with clock.timed("writing"):
            _frame(run, found, judged).to_parquet(folder / f"{run.run_id}.parquet")
    return clock


def _frame(run: Run, found: Sequence[tuple[tf.Tensor, ...]], judged: list[dict[str, Any]]) -> pd.DataFrame:
    """A run's rows in one frame: a row for each step, for each layer at each step, and for each evaluated split."""
    losses, totals, norms = (np.array([step[k].numpy() for step in found]) for k in range(3))
    steps, layers = norms.shape
    grid = {"step": np.repeat(np.arange(steps), layers), "layer_index": np.tile(np.arange(layers), steps)}
    frames = [
        pd.DataFrame({"step": np.arange(steps), "loss": losses, "global_grad_norm": totals}),
        pd.DataFrame(grid | {"weight_grad_norm": norms.ravel()}),
        pd.DataFrame(judged),
    ]
    return pd.concat(frames).assign(run_id=run.run_id)


def main() -> None:
    """Train a run of every cohort, after one for what only a process's first run pays."""
    cohorts = make_plan(load_suite(Path(sys.argv[1]))).cohorts
    with tempfile.TemporaryDirectory() as folder:
        train_run(cohorts[-1], cohorts[-1].runs[0], Path(folder))
        clocks = [train_run(each, each.runs[k % len(each.runs)], Path(folder)) for k, each in enumerate(cohorts)]
    Path(sys.argv[2]).write_text(json.dumps([asdict(clock) for clock in clocks]), encoding="utf-8")


if __name__ == "__main__":
    main()
