"""Train one run of a user's own Keras model: Keras's step, looked at by the recorder, in the suite's tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.datasets import load
from bench.engine.device_data import DeviceData
from bench.engine.divergence import Event
from bench.engine.fitting import check_batch
from bench.engine.losses import Losses
from bench.engine.objective import Objective
from bench.engine.optimizers import make_optimizer
from bench.engine.own_model import build_model, check_cell, draw_start
from bench.engine.recorder import Recorder
from bench.engine.schedules import course_of
from bench.engine.scores import naive_scores, split_scores
from bench.engine.stacks import is_kernel
from bench.errors import SuiteError
from bench.factors import Choice
from bench.plan import Cohort, Run
from bench.recorder.dispatch import Dispatch
from bench.recorder.dispatching import Taken
from bench.recorder.refusals import objection
from bench.recorder.rows import Step, activation_rows, gradient_rows, group_rows, loss_row
from bench.schema import EventKind, Tensor, conform

CLIPS = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
AT_ONCE = 512  # samples that an evaluation takes at a time
OF_STEP: dict[str, Callable[[Step], Iterable[dict[str, Any]]]] = {
    "loss_curves": lambda step: [loss_row(step, 0)],
    "gradient_norms": gradient_rows,
    "activations": activation_rows,
    "parameter_groups": group_rows,
}


class ModelTraining:
    """The runs of a cohort whose architecture is a Keras model, each by itself, one after the other.

    Raises:
        BenchError: the dataset is missing, or the model or one of its levels cannot be used.
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        self.steps: int | None = None  # fewer than the plan's, to try
        self.current = OneRun(replace(cohort, runs=cohort.runs[:1], graph_runs=()))
        self.recorder = self.current.recorder

    def run(self, reached: Callable[[int], None] = lambda step: None) -> dict[str, pa.Table]:
        """Train each run to its last step, or until its numbers are no longer finite."""
        found = []
        for run in self.cohort.runs:
            if run is not self.cohort.runs[0]:
                self.current = OneRun(replace(self.cohort, runs=(run,), graph_runs=()))
            if self.steps is not None:
                self.current.steps = self.steps
            found.append(self.current.train(reached))
        return {name: pa.concat_tables([tables[name] for tables in found]) for name in found[0]}


class OneRun:
    """One run while it trains."""

    def __init__(self, cohort: Cohort) -> None:
        started = time.perf_counter()
        (run,) = cohort.runs
        self.run, structure = run, run.choices
        self.steps, self.batch = (int(structure[name].value or 0) for name in ("steps", "batch_size"))
        check_cell(structure)
        data = load(structure["dataset"], *(structure[name].name for name in ("preprocessing", "target_preprocessing")))
        check_batch(structure["dataset"], self.batch, len(data.y_train))
        self.objective = Objective.of(data, structure["loss"])
        self.data = DeviceData(data, flattens=False, at_once=AT_ONCE)
        self.model = build_model(structure, data.shape, self.objective.outputs, run.seed)
        draw_start(self.model, run)
        _regularize(self.model, structure["regularization"])
        smoothing = float(structure["label_smoothing"].value or 0)
        self.model.compile(optimizer=keras_optimizer(run), loss=_Loss(self.objective, smoothing), jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.make_train_function()
        self.dispatch = Dispatch(self.model, self._taken, self._failed)
        if why := objection(self.model, self.dispatch.optimizers):
            raise SuiteError(f'architecture "{structure["architecture"].label}" cannot be recorded: {why}.')
        self.latest: Step | None = None
        self.fault: BaseException | None = None
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.losses = Losses(1)
        self.step = 0
        self.predict = tf.function(self._predict, autograph=False)
        self.recorder = Recorder(cohort, [], [], sum(int(np.prod(v.shape)) for v in self.model.trainable_variables))
        self.recorder.facts = {
            "targets": str(data.kind),
            **naive_scores(
                self.objective.kind, self.data.truth[self.data.train_samples :], self.objective.loss,
                steps_alike=data.steps_alike,
            ),
            "learned_loss": data.learned_loss,
        }  # fmt: skip
        self.recorder.timings["build_seconds"] = time.perf_counter() - started

    def train(self, reached: Callable[[int], None]) -> dict[str, pa.Table]:
        """All tables of the run; one step more than planned shows whether the last update broke it, as in a cohort."""
        rows = batches((self.run,), len(self.data.y), self.batch, self.steps + 1)
        for step, (indices,) in enumerate(rows):
            self.step = step
            with self.recorder.timed("measure_seconds"):
                self._evaluate(step)
            x = self.data.as_taken(tf.gather(self.data.x, indices))
            found = self._take(x, tf.gather(self.data.y, indices))
            self._judge(step, found)
            self._record(step, found)
            if step < self.steps:
                self.recorder.timings["steps"] = step + 1
                reached(step + 1)
            if not self.recorder.alive.any():
                break
        made = self.recorder.tables()
        for name, rows_of in self.rows.items():
            if name in made:
                columns = {column: [row.get(column) for row in rows_of] for column in rows_of[0]}
                made[name] = conform(name, columns)
        return made

    def _take(self, x: tf.Tensor, y: tf.Tensor) -> Step:
        """One step of Keras's own train function, in the recorder's hands."""
        clock = {0: "trace_seconds", self.steps: "measure_seconds"}.get(self.step, "train_seconds")
        self.latest = None
        with self.recorder.timed(clock):
            self.dispatch.arm()
            self.model.train_function(iter([(x, y)]))
        if self.latest is None:
            raise SuiteError(f"the step could not be recorded ({type(self.fault).__name__}: {self.fault}).")
        return self.latest

    def _taken(self, taken: Taken) -> None:
        self.latest = Step(self.step, taken.numbers, taken.layout)

    def _failed(self, error: BaseException) -> None:
        self.fault = error

    def _judge(self, step: int, found: Step) -> None:
        loss = np.array([np.nan if found.loss is None else found.loss])
        bad, last = found.first_bad(), self.losses.last(0)
        if bad is not None:
            self.recorder.end(Event(0, step, bad.kind, bad.tensor, bad.layer_index, last, None))
        if step == self.steps:
            return
        for run, limit in self.losses.over(loss, self.recorder.alive, self.objective.naive_loss):
            event = Event(run, step, EventKind.LOSS_LIMIT, Tensor.LOSS, None, float(loss[run]), limit)
            self.recorder.events.append(event)

    def _record(self, step: int, found: Step) -> None:
        """Rows of a step; of the one after the last only what is seen before its update."""
        for table, rows_of in OF_STEP.items():
            if self.recorder.wants(table, step) and (step < self.steps or table == "activations"):
                head = {"run_id": self.run.run_id, "step": step}
                self.rows.setdefault(table, []).extend(head | row for row in rows_of(found))

    def _evaluate(self, step: int) -> None:
        if not self.recorder.wants("evaluations", step):
            return
        parts = [
            {name: each.numpy() for name, each in self.predict(self.data.as_taken(x), y).items()}
            for x, y in self.data.judged
        ]
        count = len(self.data.truth)
        values = {name: np.concatenate([part[name] for part in parts])[None, :count] for name in parts[0]}
        self.recorder.add("evaluations", step, split_scores(values, self.data.truth, self.data.train_samples))

    def _predict(self, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        """Loss of each sample and, where there are classes, its answer and whether that is right."""
        outputs = tf.cast(self.model(x, training=False), tf.float32)
        found = {"loss": tf.cast(self.objective.losses(y, outputs), tf.float64)}
        answers = self.objective.answers(outputs)
        return found if answers is None else found | {"answer": answers, "accuracy": tf.equal(answers, y)}


class _Loss(keras.losses.Loss):
    """The objective's loss of each sample, which Keras takes the mean of."""

    def __init__(self, objective: Objective, smoothing: float) -> None:
        super().__init__(name="loss")
        self.objective = objective
        self.smoothing = tf.constant(smoothing) if smoothing else None

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """[B] of targets, which Keras has made floats of, and outputs [B, units]."""
        targets = tf.cast(y_true, tf.int32) if self.objective.answers(y_pred) is not None else y_true
        return self.objective.losses(targets, y_pred, self.smoothing)


class Course(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step, [steps + 1], as the engine's runs have it."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = tf.constant(rates)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate at a step."""
        return tf.gather(self.rates, tf.cast(step, tf.int32))

    def get_config(self) -> dict[str, Any]:
        """Its rates."""
        return {"rates": self.rates.numpy()}


def keras_optimizer(run: Run) -> keras.optimizers.Optimizer:
    """The optimizer of a run in Keras's words, with its learning rate, clipping and decay."""
    made = make_optimizer(run.choices["optimizer"])
    clipping, penalty = run.choices["clipping"], run.choices["regularization"]
    said = made.get_config() | {"learning_rate": Course(course_of(run))}
    if not clipping.is_none:
        said[CLIPS[clipping.name]] = float(clipping.setting("threshold"))
    if penalty.name == "weight_decay":
        said["weight_decay"] = float(penalty.setting("strength"))
    return type(made).from_config(said)


def _regularize(model: keras.Model, choice: Choice) -> None:
    """Penalize or bound each kernel as Keras does where a layer asks for it."""
    settings: Mapping[str, Any] = dict(choice.settings)
    kinds = {"l1": keras.regularizers.L1, "l2": keras.regularizers.L2}
    for variable in model.trainable_variables:
        if not is_kernel(variable.name):
            continue
        if choice.name in kinds:
            variable.regularizer = kinds[choice.name](float(settings["strength"]))
        elif choice.name == "max_norm":
            axes = list(range(len(variable.shape) - 1))
            variable.constraint = keras.constraints.MaxNorm(float(settings["limit"]), axis=axes)
