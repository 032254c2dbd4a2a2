"""(a) A plain Keras loop: one run at a time in one process, as a careful user would write it.

One `tf.function` is a training step and returns the loss, the global gradient norm and the norm of each layer's kernel
gradient, at every step. Clipping is Keras's own. At the steps that the suite asks for it evaluates whole splits by
`Model.test_on_batch`, which answers in a tenth of the time of `Model.evaluate`. It measures less than the engine: no
gradients of activations, no activation statistics, no update norms.

By hand: `python -m benchmarks.keras_loop SUITE --cohort KEY`, or `--one-per-cohort`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from benchmarks.process import Case, Findings, serve


@dataclass(frozen=True)
class Options:
    """How the loop is written: whether XLA compiles its step, and whether `Model.evaluate` evaluates."""

    jit: bool = False
    evaluate: bool = False


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


def train_run(cohort: Cohort, run: Run, options: Options, folder: Path) -> Clock:
    """Train one run from nothing and write its rows to a file."""
    clock = Clock()
    with clock.timed("total"):
        with clock.timed("build"):
            keras.backend.clear_session(free_memory=False)
            data = load(run.choices["dataset"], run.choices["preprocessing"].name)
            model = plain.build_model(run, data)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(plain.build_optimizer(run.choices), loss, metrics=["accuracy"])
            step_of = plain.compile_step(model, jit=options.jit)
            steps = plain.number(run.choices, "steps")
            batches = plain.batches(run, len(data.y_train), steps)
        found, judged = [], []
        judge = plain.by_evaluate if options.evaluate else plain.by_test_on_batch
        asked = set(cohort.schedules["evaluations"])
        for step in range(steps + 1):
            if step in asked:
                with clock.timed("evaluations"):
                    judged += plain.judge_splits(model, data, step, judge)
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


def prepare(case: Case) -> Callable[[], Findings]:
    """Time runs of a suite, given as pairs [cohort's position in the plan, run's position in the cohort].

    The last one is trained once before, for what only a process's first run pays.
    """
    cohorts = make_plan(load_suite(Path(case["suite"]))).cohorts
    options = Options(**case["options"])

    def train(pairs: Sequence[Sequence[int]]) -> list[dict[str, float]]:
        with tempfile.TemporaryDirectory() as name:
            return [asdict(train_run(cohorts[p], cohorts[p].runs[k], options, Path(name))) for p, k in pairs]

    warm = train(case["runs"][-1:])
    return lambda: {"clocks": train(case["runs"]), "first_of_process": warm[0]}


def main() -> None:
    """Time one run of some cohorts, and print their seconds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_loop", description=__doc__)
    parser.add_argument("suite", type=Path)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--cohort", metavar="KEY", help="a cohort's key, or how it begins")
    which.add_argument("--one-per-cohort", action="store_true", help="a run of every cohort")
    parser.add_argument("--runs", type=int, default=1, help="runs of each cohort; default 1")
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    arguments = parser.parse_args()
    cohorts = make_plan(load_suite(arguments.suite)).cohorts
    chosen = [p for p, cohort in enumerate(cohorts) if cohort.key.startswith(arguments.cohort or "")]
    if not chosen:
        parser.error(f"no cohort {arguments.cohort}. The first is {cohorts[0].key}")
    pairs = [(p, k) for p in chosen for k in range(min(arguments.runs, len(cohorts[p].runs)))]
    case = {"suite": str(arguments.suite), "runs": pairs, "options": asdict(Options(jit=arguments.jit))}
    clocks = prepare(case)()["clocks"]
    found = [{"run": cohorts[p].runs[k].run_id, "cohort_runs": len(cohorts[p].runs)} for p, k in pairs]
    print(json.dumps([run | {"seconds": clock} for run, clock in zip(found, clocks, strict=True)], indent=2))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        serve(prepare)
    else:
        main()
