"""From a raw gradient to new weights: penalty, clipping, decay, optimizer, bound, in Keras's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from bench.engine.clipping import HEADLESS, RULES, Clipped, Rule, per_run, total, variable_norms
from bench.engine.ensemble import Ensemble
from bench.engine.optimizers import decay_of, make_optimizer
from bench.engine.run_settings import RunSettings, constant
from bench.engine.schedules import is_scheduled, rates
from bench.plan import Run


@dataclass
class Norms:
    """Norms of the whole gradient of each run, penalty included, [R] in float64, and whether clipping changed it."""

    raw: tf.Tensor
    clipped: tf.Tensor
    changed: tf.Tensor


class Update:
    """How the runs of a cohort change their weights, each by its own levels.

    Only the rules that some run has are in the graph; a run without a rule passes through it bit by bit. `graph_runs`
    are the runs whose rules count, if they are not `runs`.
    """

    def __init__(self, ensemble: Ensemble, runs: Sequence[Run], graph_runs: Sequence[Run] = ()) -> None:
        self.ensemble = ensemble
        settings = RunSettings(runs, graph_runs)
        choice = runs[0].choices["optimizer"]
        self.optimizer = make_optimizer(choice)
        self.optimizer.build(ensemble.variables)
        skips = ensemble.scale is not None and ensemble.scale.skips
        # Updates of each run, which differ where some are skipped; None: as many as steps.
        self.applied = tf.Variable(tf.zeros([len(runs)], tf.int32), trainable=False) if skips else None
        self.learning_rate = constant([float(run.choices["learning_rate"].value or 0) for run in runs])
        self.courses = rates(runs) if any(map(is_scheduled, graph_runs or runs)) else None
        self.limits = {name: settings("clipping", name, "threshold", np.inf) for name in RULES}
        self.l1 = settings("regularization", "l1", "strength", 0.0)
        self.l2 = settings("regularization", "l2", "strength", 0.0)
        self.max_norm = settings("regularization", "max_norm", "limit", np.inf)
        self.decay = settings("regularization", "weight_decay", "strength", decay_of(self.optimizer))
        if self.decay is None and decay_of(self.optimizer):
            self.decay = constant([decay_of(self.optimizer)] * len(runs))

    def penalized(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """The gradient with the penalties' added: l1 sign(w) + 2 l2 w on kernels, as Keras's regularizers."""
        kernels = {id(kernel) for kernel in self.ensemble.penalized}
        result = []
        for gradient, variable in zip(gradients, self.ensemble.variables, strict=True):
            if id(variable) in kernels:
                if self.l1 is not None:
                    gradient = gradient + per_run(self.l1, gradient) * tf.sign(variable.value)
                if self.l2 is not None:
                    gradient = gradient + per_run(2.0 * self.l2, gradient) * variable.value
            result.append(gradient)
        return result

    def clip(self, gradients: list[tf.Tensor]) -> tuple[list[tf.Tensor], Norms]:
        """The gradient that the optimizer is given, and the norms before and after."""
        norms = variable_norms(gradients)
        given = Clipped(gradients, norms, tf.zeros(self.learning_rate.shape, tf.bool))
        variables = [variable.value for variable in self.ensemble.variables]
        for name, limit in self.limits.items():
            if limit is not None:
                rest = len(self.ensemble.head.trainable) if name in HEADLESS else 0
                given = _clip_first(len(gradients) - rest, RULES[name], given, variables, limit)
        return given.gradients, Norms(total(norms), total(given.norms), given.changed)

    @property
    def has_moments(self) -> bool:
        """Whether the optimizer is Adam, or AdamW."""
        return isinstance(self.optimizer, keras.optimizers.Adam)

    def second_moments(self) -> list[tf.Tensor] | None:
        """Adam's second moments of the variables so far, corrected for their start at 0; None of other optimizers."""
        if not self.has_moments:
            return None
        steps = tf.cast(self.optimizer.iterations.value if self.applied is None else self.applied, tf.float32)
        share = 1.0 - tf.pow(tf.constant(self.optimizer.beta_2, tf.float32), steps)
        velocities = [velocity.value for velocity in self.optimizer._velocities]
        return [each / (share if self.applied is None else per_run(share, each)) for each in velocities]

    def apply(self, gradients: list[tf.Tensor], finite: tf.Tensor) -> None:
        """Update every run's weights, then bound them where a run asks for it.

        Args:
            finite: whether all of a run's gradient is, [R]; where a loss scale skips what is not, that run stays as it
                is, its optimizer too.
        """
        if self.applied is None:
            self._apply(gradients)
            return
        kept = [*self.ensemble.variables, *(each for each in self.optimizer.variables if len(each.shape) > 1)]
        before = [tf.identity(each.value) for each in kept]
        with tf.control_dependencies(before):
            self._apply(gradients)
        for variable, old in zip(kept, before, strict=True):
            variable.assign(tf.where(per_run(finite, variable), variable.value, old))
        self.applied.assign_add(tf.cast(finite, tf.int32))

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        rates = self._rates()
        for gradient, variable in zip(gradients, self.ensemble.variables, strict=True):
            rate = per_run(rates, gradient)
            if self.decay is not None:
                variable.assign(variable.value - variable.value * per_run(self.decay, gradient) * rate)
            with self._counted(variable):
                self.optimizer.update_step(gradient, variable, rate)
        self.optimizer.iterations.assign_add(1)
        if self.max_norm is not None:
            for kernel in self.ensemble.penalized:
                _bound(kernel, self.max_norm)

    @contextmanager
    def _counted(self, variable: keras.Variable) -> Iterator[None]:
        """Keras's optimizer takes each run's own updates for its iterations, which corrects Adam's start."""
        if self.applied is None:
            yield
            return
        kept, self.optimizer._iterations = self.optimizer._iterations, per_run(self.applied, variable)
        try:
            yield
        finally:
            self.optimizer._iterations = kept

    def _rates(self) -> tf.Tensor:
        """The learning rate of each run at the step that is next, [R]."""
        if self.courses is None:
            return self.learning_rate
        table, place = self.courses
        if self.applied is not None:
            return tf.gather_nd(table, tf.stack([self.applied.value(), tf.cast(place, tf.int32)], axis=1))
        return tf.gather(tf.gather(table, tf.cast(self.optimizer.iterations.value, tf.int32)), place)


def _bound(kernel: keras.Variable, limit: tf.Tensor) -> None:
    """Keras's MaxNorm of each unit, over all axes but the last; a run with an infinite limit is left as it is."""
    value, bound = kernel.value, per_run(limit, kernel)
    norms = tf.sqrt(tf.reduce_sum(tf.square(value), axis=list(range(2, len(value.shape) - 1)), keepdims=True))
    bounded = value * (tf.minimum(norms, bound) / (keras.config.epsilon() + norms))
    kernel.assign(tf.where(tf.math.is_finite(bound), bounded, value))


def _clip_first(count: int, rule: Rule, given: Clipped, variables: list[tf.Tensor], limit: tf.Tensor) -> Clipped:
    """Clip the first `count` variables' gradients and leave the others."""
    part = rule(Clipped(given.gradients[:count], given.norms[:count], given.changed), variables[:count], limit)
    return Clipped(part.gradients + given.gradients[count:], part.norms + given.norms[count:], part.changed)
