"""Train one cohort: the loop, with everything that is measured handed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import tensorflow as tf

from bench.engine.batches import batches
from bench.engine.datasets import load
from bench.engine.device_data import DeviceData
from bench.engine.divergence import Event, bad_times, dated, diagnose, locate
from bench.engine.ensemble import NOTHING, Ensemble
from bench.engine.fitting import check_batch
from bench.engine.groups import GROUP_COLUMNS, group_columns, group_rows, groups_of
from bench.engine.initial import initial_ensemble
from bench.engine.inside import heads_of, positions_of
from bench.engine.jacobians import JACOBIAN_COLUMNS, has_jacobians, jacobian_columns
from bench.engine.kernels import KERNEL_COLUMNS, kernel_columns
from bench.engine.losses import Losses
from bench.engine.lsuv import apply_lsuv
from bench.engine.network import build_network
from bench.engine.objective import Objective
from bench.engine.own_model import trains_alone
from bench.engine.probes import activation_statistics, evaluate, statistic_columns, steepest_slope
from bench.engine.recorder import GRADIENT_COLUMNS, Recorder
from bench.engine.recurrence import TIME_COLUMNS
from bench.engine.scores import naive_scores, split_scores
from bench.engine.skipped import SkippedSteps
from bench.engine.update import Update
from bench.factors import AT_ONCE, FEWEST, LOOKED_POSITIONS, LOOKED_STEPS
from bench.plan import Cohort
from bench.schema import EventKind, Tensor

if TYPE_CHECKING:
    from bench.engine.model_training import ModelTraining


def train_cohort(cohort: Cohort, reached: Callable[[int], None] = lambda step: None) -> dict[str, pa.Table]:
    """All tables that a cohort records; `reached` is called after each step with how many there were.

    Raises:
        BenchError: the dataset is missing, or a plugin cannot be used.
    """
    return training_of(cohort).run(reached)


def training_of(cohort: Cohort) -> Training | ModelTraining:
    """A cohort before its first step: stacked, or the one run of a Keras model from outside."""
    if not trains_alone(cohort.structure["architecture"].name):
        return Training(cohort)
    from bench.engine.model_training import ModelTraining  # which takes the recorder along

    return ModelTraining(cohort)


class Training:
    """One cohort while it trains."""

    def __init__(self, cohort: Cohort) -> None:
        started = time.perf_counter()
        structure = cohort.structure
        self.cohort = cohort
        self.steps, self.batch = (int(structure[name].value or 0) for name in ("steps", "batch_size"))
        scaling = (structure[name].name for name in ("preprocessing", "target_preprocessing"))
        data = load(structure["dataset"], *scaling)
        check_batch(structure["dataset"], self.batch, len(data.y_train))
        objective = Objective.of(data, structure["loss"])
        network = build_network(structure, data.shape, objective.outputs)
        self.ensemble = initial_ensemble(network, objective, cohort.runs, cohort.graph_runs)
        at_once = _samples_at_once(self.ensemble, data.shape)
        self.data = DeviceData(data, flattens=network.flattens, embeds=network.embeds, at_once=at_once)
        apply_lsuv(self.ensemble, cohort.runs, self.data.as_taken(self.data.probe_x))
        self.update = Update(self.ensemble, cohort.runs, cohort.graph_runs)
        slopes = [steepest_slope(stage.block.layers[-1].activation) for stage in network.stages]
        self.groups = groups_of(self.ensemble)
        looked = max(1, LOOKED_STEPS // network.length) if network.length else None  # as the layers would take of them
        looked = max(1, LOOKED_POSITIONS // network.positions) if network.positions else looked
        self.inside = {"attention": heads_of(self.ensemble.passes), "positions": positions_of(self.ensemble.passes)}
        self.recorder = Recorder(
            cohort, network.layer_names(), _weight_counts(self.ensemble), network.parameter_count,
            self.ensemble.moments, self.inside, [(layer, name) for layer, name, _ in group_rows(self.groups)],
        )  # fmt: skip
        judged = self.data.truth[self.data.train_samples :]
        self.recorder.facts = {
            "targets": str(data.kind),
            **naive_scores(objective.kind, judged, objective.loss, steps_alike=data.steps_alike),
            "learned_loss": data.learned_loss,
        }
        self.skipped = SkippedSteps(len(cohort.runs))
        self.evaluated = np.zeros(0)  # the latest evaluation's losses, [R, samples]
        self.step = tf.function(partial(self._step, careful=False), autograph=False)
        self.careful_step = tf.function(partial(self._step, careful=True), autograph=False)
        self.evaluate = tf.function(lambda x, y: evaluate(self.ensemble, self.data.as_taken(x), y), autograph=False)
        self.probe = tf.function(
            lambda x: activation_statistics(self.ensemble, self.data.as_taken(x[:looked]), slopes), autograph=False
        )
        self.recorder.timings["build_seconds"] = time.perf_counter() - started

    def run(self, reached: Callable[[int], None] = lambda step: None) -> dict[str, pa.Table]:
        """Train to the last step, or until no run is left.

        One step more, whose update nobody sees, shows whether the last update broke a run.
        """
        recorder, losses = self.recorder, Losses(len(self.cohort.runs))
        rows = batches(self.cohort.runs, len(self.data.y), self.batch, self.steps + 1)
        for step, indices in enumerate(rows):
            with recorder.timed("measure_seconds"):
                self._look(step)
            found = self._take(step, indices)
            self._judge(step, found, losses)
            if step < self.steps:
                recorder.timings["steps"] = step + 1
                self._record(step, found)
                reached(step + 1)
            if not recorder.alive.any():
                break
        return recorder.tables()

    def losses(self, step: int, indices: np.ndarray) -> np.ndarray:
        """Take one step of all runs and return their losses, [R]; nothing is recorded."""
        return self._take(step, indices)["loss"]

    def _take(self, step: int, indices: np.ndarray) -> dict[str, np.ndarray]:
        """One step of all runs, as arrays; where it broke an alive run's numbers, with `facts` (see `diagnose`)."""
        measured = tf.constant(self.recorder.wants("gradient_norms", step))
        given = (tf.constant(indices), tf.constant(self.recorder.alive), measured, self._asked(step))
        if self.ensemble.dropout:
            self.ensemble.dropout.step.assign(step)
        clock = {0: "trace_seconds", self.steps: "measure_seconds"}.get(step, "train_seconds")
        with self.recorder.timed(clock):
            broken = step == self.steps and self._broken()
            found = {} if broken else {name: value.numpy() for name, value in self.step(*given).items()}
        if broken or found["trouble"]:
            with self.recorder.timed("trace_seconds"):
                found = {name: value.numpy() for name, value in self.careful_step(*given).items()}
        return found

    def _asked(self, step: int) -> dict[str, tf.Tensor]:
        """Of each table that the suite had to ask for, whether it is measured at a step."""
        ready = {"time_gradients": bool(self.recorder.moments), "parameter_groups": True}
        ready |= {table: bool(each.rows) for table, each in self.inside.items()}
        asked = [table for table, fit in ready.items() if fit and table in self.cohort.schedules]
        told = {table: tf.constant(self.recorder.wants(table, step)) for table in asked}
        skips = self.ensemble.scale is not None and self.ensemble.scale.skips
        news = self.skipped.news | (step == self.steps)  # whom the last look loses is located
        return told | ({"skipped_step": tf.constant(news)} if skips else {})

    def _broken(self) -> bool:
        """Whether an alive run has a weight that is not finite."""
        finite = [
            tf.reduce_all(tf.math.is_finite(variable.value), axis=[0, *range(2, len(variable.shape))])
            for variable in self.ensemble.variables
        ]
        return bool((self.recorder.alive & ~tf.reduce_all(tf.stack(finite), axis=0).numpy()).any())

    def _step(
        self,
        indices: tf.Tensor,
        alive: tf.Tensor,
        measure: tf.Tensor,
        asked: Mapping[str, tf.Tensor] = NOTHING,
        *,
        careful: bool,
    ) -> dict[str, tf.Tensor]:
        """One training step of all runs.

        Where it breaks the numbers of an alive run, the step changes nothing and says so: it has to be taken again
        with care, which looks at every tensor before the update. That is rare, and dear to have in every step's graph.

        Args:
            indices: each run's rows, [R, B].
            alive: the runs whose trouble is news, [R].
            measure: whether the columns of `gradient_norms` are wanted; they mean nothing otherwise.
            asked: whether those of each table that must be asked for are, and of which runs, [R], a skipped step is
                to be located; each is left out in a cohort that has none.
            careful: whether every tensor is looked at.
        """
        ensemble = self.ensemble
        x, y = self.data.as_taken(tf.gather(self.data.x, indices)), tf.gather(self.data.y, indices)
        batch = ensemble.gradients(x, y, measure, asked)
        penalized = self.update.penalized(batch.gradients)
        gradients, norms = self.update.clip(penalized)
        found = {"loss": batch.loss, "raw": norms.raw, "clipped": norms.clipped, "changed": norms.changed}
        finite = tf.math.is_finite(norms.raw)
        sound = tf.math.is_finite(batch.loss) & finite
        if "skipped_step" in asked:
            found["skips"] = ~finite
            sound = sound | (~finite & ~asked["skipped_step"])
        if ensemble.scale is not None:
            found |= ensemble.scale.columns(finite)
        found["trouble"] = tf.constant(value=True) if careful else tf.reduce_any(alive & ~sound)
        looked = [diagnose(ensemble, batch, penalized), bad_times(ensemble, batch)] if careful else []
        kernels = ensemble.kernels
        before = tf.cond(
            measure,
            lambda: [tf.identity(kernel.value) for kernel in kernels],
            lambda: [tf.zeros([0, *kernel.shape[1:]]) for kernel in kernels],
        )

        every, grouped = [variable.value for variable in ensemble.variables], asked.get("parameter_groups")
        all_before = [] if grouped is None else tf.cond(
            grouped, lambda: [tf.identity(v) for v in every], lambda: [tf.zeros([0, *v.shape[1:]]) for v in every]
        )  # fmt: skip

        def update() -> tf.Tensor:
            self.update.apply(gradients, finite)
            ensemble.assign_states(batch.saved)
            if ensemble.scale is not None:
                ensemble.scale.follow(finite)
            return tf.constant(value=True)

        with tf.control_dependencies([*looked, *before, *all_before]):
            # In a branch both times: outside one TensorFlow would multiply learning rate and clipping first, and a
            # careful step would round otherwise than the step that it stands for.
            goes_on = tf.reduce_any(alive) if careful else ~found["trouble"]
            updated = tf.cond(goes_on, update, lambda: tf.constant(value=False))
        with tf.control_dependencies([updated]):
            columns = tf.cond(
                measure,
                lambda: kernel_columns(ensemble, batch.gradients, before),
                lambda: tf.zeros([len(KERNEL_COLUMNS), ensemble.network.depth + 1, ensemble.runs], tf.float64),
            )
            if grouped is not None:
                found["groups"] = self._group_columns(grouped, batch.gradients, all_before)
        found |= dict(zip(KERNEL_COLUMNS, tf.unstack(columns, len(KERNEL_COLUMNS)), strict=True))
        found["preactivation_grad_norm"] = batch.signal.preactivation
        found["activation_grad_norm"] = batch.signal.activation
        found["preactivation_grad_pair_correlation"] = batch.signal.correlation
        within = {table: each.gather(batch.stages) for table, each in self.inside.items()}
        within |= {"over_time": batch.over_time, "log_z_square": batch.log_z_square}
        found |= {name: each for name, each in within.items() if each is not None}
        return found | dict(zip(("facts", "times"), looked, strict=careful))

    def _group_columns(self, grouped: tf.Tensor, gradients: list[tf.Tensor], before: list[tf.Tensor]) -> tf.Tensor:
        """`GROUP_COLUMNS`, [rows, columns, R], after the update; zeros where `grouped` is false."""
        groups, variables = self.groups, self.ensemble.variables

        def columns() -> tf.Tensor:
            old = [tf.ensure_shape(each, variable.shape) for each, variable in zip(before, variables, strict=True)]
            new = [tf.identity(variable.value) for variable in variables]
            found = group_columns(groups, gradients, old, new, self.update.second_moments())
            return tf.gather(found, [row for *_, row in group_rows(groups)])

        shape = [len(group_rows(groups)), len(GROUP_COLUMNS), self.ensemble.runs]
        return tf.cond(grouped, columns, lambda: tf.zeros(shape, tf.float64))

    def _look(self, step: int) -> None:
        """Evaluate and probe where the suite asks for it."""
        if self.recorder.wants("evaluations", step):
            values = self._evaluate()
            self.evaluated = values["loss"]
            self.recorder.add("evaluations", step, split_scores(values, self.data.truth, self.data.train_samples))
        if self.recorder.wants("activations", step):
            found = self.probe(self.data.probe_x).numpy()
            columns = statistic_columns(self.ensemble, found)
            self.recorder.add("activations", step, columns | self._jacobians(step))

    def _evaluate(self) -> dict[str, np.ndarray]:
        """What `evaluate` says of all samples that are looked at, [R, samples]."""
        values: dict[str, np.ndarray] = {}
        count = 0
        for x, y in self.data.judged:
            found, count = {name: each.numpy() for name, each in self.evaluate(x, y).items()}, count + len(x)
            for name, each in found.items():
                rows = (len(each), len(x) * len(self.data.judged), *each.shape[2:])
                values.setdefault(name, np.zeros(rows, each.dtype))[:, count - len(x) : count] = each
        return {name: each[:, : len(self.data.truth)] for name, each in values.items()}

    def _jacobians(self, step: int) -> dict[str, np.ndarray]:
        """The Jacobians' columns; null at a step for which the suite does not ask."""
        if "jacobians" not in self.cohort.schedules or not has_jacobians(self.cohort.structure):
            return {}
        if self.recorder.wants("jacobians", step):
            return jacobian_columns(self.ensemble, self.data.as_taken(self.data.probe_x))
        shape = (len(self.cohort.runs), self.ensemble.network.depth)
        return {name: np.ma.masked_array(np.zeros(shape), mask=True) for name in JACOBIAN_COLUMNS}

    def _record(self, step: int, found: dict[str, np.ndarray]) -> None:
        if self.recorder.wants("loss_curves", step):
            names = {"loss": "loss", "global_grad_norm": "raw", "clipped_grad_norm": "clipped", "clipped": "changed"}
            names |= {name: name for name in ("loss_scale", "skipped", "log_z_square") if name in found}
            self.recorder.add("loss_curves", step, {column: found[name] for column, name in names.items()})
        if self.recorder.wants("gradient_norms", step):
            columns = {name: found[name].T for name in GRADIENT_COLUMNS}
            if not self.ensemble.objective.classes:
                del columns["preactivation_grad_pair_correlation"]  # pairs of one class: null, which is not NaN
            columns["activation_grad_norm"] = _null_head(columns["activation_grad_norm"])
            self.recorder.add("gradient_norms", step, columns)
        if self.recorder.wants("time_gradients", step) and "over_time" in found:
            self.recorder.add("time_gradients", step, self._time_columns(found["over_time"]))
        for table, each in self.inside.items():
            if self.recorder.wants(table, step) and table in found:
                columns = {name: found[table][:, k].T for k, name in enumerate(each.columns)}
                self.recorder.add(table, step, columns)
        if self.recorder.wants("parameter_groups", step):
            columns = {name: found["groups"][:, k].T for k, name in enumerate(GROUP_COLUMNS)}
            if not self.update.has_moments:
                del columns["second_moment_root"]
            self.recorder.add("parameter_groups", step, columns)

    def _time_columns(self, found: np.ndarray) -> dict[str, np.ndarray]:
        """The columns over time, each [R, moments], null where a cell has no such thing, of [moments, columns, R]."""
        columns: dict[str, np.ndarray] = {}
        for k, name in enumerate(TIME_COLUMNS):
            lacking = [name in each.lacks for each in self.recorder.moments]
            columns[name] = np.ma.masked_array(found[:, k].T, np.broadcast_to(lacking, found[:, k].T.shape))
        return columns

    def _judge(self, step: int, found: dict[str, np.ndarray], losses: Losses) -> None:
        """Note what left the finite numbers, and losses over the limit, once a run."""
        recorder, loss = self.recorder, found["loss"].astype(np.float64)
        after = step == self.steps
        if "facts" in found:
            excused = found.get("skips", False) & (np.isfinite(loss) | (not after))  # no scale mends a forward pass
            sound = np.isfinite(loss) & np.isfinite(found["raw"]) | excused
            if after:  # a bad weight may hide: relu makes 0 of a bias of -infinity
                sound &= ~found["facts"][0, :, :2].any(axis=(0, 1))
            for run in np.flatnonzero(recorder.alive & ~sound).tolist():
                event = locate(found["facts"], run, step, (loss[run], losses.last(run)))
                recorder.end(dated(event, found["times"]))
        if not after and "skips" in found:
            recorder.events += self.skipped.events(step, found, recorder.alive)
        if not after:
            for run, limit in losses.over(loss, recorder.alive, self.ensemble.objective.naive_loss):
                event = Event(run, step, EventKind.LOSS_LIMIT, Tensor.LOSS, None, float(loss[run]), limit)
                recorder.events.append(event)
        elif recorder.wants("evaluations", step):  # moving averages may leave the finite numbers, and only they
            for run in np.flatnonzero(recorder.alive & ~np.isfinite(self.evaluated).all(axis=1)).tolist():
                kind = EventKind.INFINITY if np.isinf(self.evaluated[run]).any() else EventKind.NAN
                recorder.end(Event(run, step, kind, Tensor.LOSS, None, losses.last(run), None))


def _samples_at_once(ensemble: Ensemble, shape: tuple[int, ...]) -> int | None:
    """How many samples an evaluation takes at a time; None: all, where layers have their units once."""
    network = ensemble.network
    if not (spread := network.length or network.positions):
        return None
    widest = max(shape[-1], network.widest, *(kernel.shape[-1] for kernel in ensemble.kernels))
    return max(FEWEST, AT_ONCE // (ensemble.runs * spread * widest))


def _weight_counts(ensemble: Ensemble) -> list[int]:
    """Numbers in each layer's kernels, the head last."""
    stages = zip(ensemble.network.stages, ensemble.stages, strict=True)
    stacks = [stack for stage, block in stages for stack in block * stage.count]
    return [sum(int(np.prod(kernel.shape[2:])) for kernel in each.kernels) for each in [*stacks, ensemble.head]]


def _null_head(values: np.ndarray) -> np.ma.MaskedArray:
    """The head has no activation: null, which is not NaN."""
    mask = np.zeros(values.shape, bool)
    mask[:, -1] = True
    return np.ma.masked_array(values, mask)
