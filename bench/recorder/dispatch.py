"""Two functions over the same variables, Keras's own and one that records, and which of them takes a step.

`fit` looks up `model.train_function` at each step. For a step that is to be recorded, and from that step's beginning to
its call alone, it is another: so whatever is raised, nothing stays on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.recorder.guard import Guard
from bench.recorder.layout import Layout
from bench.recorder.optimizers import Carry, optimizers_of
from bench.recorder.trace import StepTrace

RECORD = "gradtrial"
KEPT = "gradtrial_kept"


@dataclass(frozen=True)
class Taken:
    """What one recorded step handed out: its numbers, and what each is."""

    numbers: np.ndarray
    layout: Layout


class Dispatch:
    """Of one model while it trains.

    Attributes:
        taken: called with what each recorded step found; what it raises is the recorder's.
        failed: called with what went wrong in the recorder; from then on each step is Keras's own.
        stopped: called with the batch of a step that was held back, once it was looked at; it may raise. None: every
            step is kept.
        looks: whether the next steps are looked at; those that are not may still be held back.
    """

    def __init__(
        self,
        model: keras.Model,
        taken: Callable[[Taken], None],
        failed: Callable[[BaseException], None],
        stopped: Callable[[Any], None] | None = None,
    ) -> None:
        self.model = model
        self.taken = taken
        self.failed = failed
        self.optimizers = optimizers_of(model)
        self.layouts: list[Layout] = []
        self.recording: Callable[[Iterator[Any]], Any] | None = None
        self.plain: Callable[[Iterator[Any]], Any] | None = None
        self.single: Callable[[Iterator[Any]], Any] | None = None
        self.tracing = False
        self.off = False
        self.stopped = stopped
        self.guard = Guard(model, self.optimizers) if stopped is not None else None
        self.guarded: Callable[[Iterator[Any]], Any] | None = None
        self.looks = True
        self.held = False

    def ready(self) -> bool:
        """Whether all variables are made: before, a look at them could make others of them."""
        return self.model.built and all(each.built for each in self.optimizers) and all(
            layer.built for layer in self.model._flatten_layers(include_self=False)
        )  # fmt: skip

    def arm(self) -> None:
        """Let the recording function take the next call of the train function, and Keras's own those after it."""
        if not self.off and self.model.train_function != self._record:
            self.plain = self.model.train_function
            self.model.train_function = self._record

    def disarm(self) -> None:
        """Give the model its own function back, if the other is still there."""
        if self.model.train_function == self._record:
            self.model.train_function = self.plain

    def _record(self, iterator: Iterator[Any]) -> Any:
        """What stands in for the train function: as many steps as that takes, each on its own."""
        self.disarm()
        logs = None
        for count in range(self.model.steps_per_execution):
            try:
                data = next(iterator)
            except StopIteration:
                if not count:
                    raise
                break
            logs = self.once(data)
            if self.held:
                break
        return logs

    def once(self, data: Any) -> Any:
        """One step on a batch, looked at if `looks` says so, or if it is held back."""
        if self.off:
            return self._plainly(data)
        if self.guard is not None and not self.looks:
            outputs = self._guarded(data)
            if bool(outputs[KEPT]):
                return outputs["logs"]  # else all is as before, and the same step is looked at
        return self._looked(data)

    def _looked(self, data: Any) -> Any:
        self.tracing = False
        known = {id(variable) for variable in self.model.metrics_variables}
        try:
            if self.recording is None:
                self.carry = Carry(self.optimizers)
                self.recording = self.model._make_function(self._step)
            outputs = self.recording(iter([data]))
        except Exception as error:
            # While a graph is traced nothing is computed, so that Keras's own function can take the batch; and if the
            # mistake is in what is trained, that raises it as it would have.
            if not self.tracing or self.model.run_eagerly:
                raise
            self._give_up(error)
            for metric in self.model.metrics:  # what a graph was to initialize that never ran
                if any(id(variable) not in known for variable in metric.variables):
                    metric.reset_state()
            return self._plainly(data)
        try:
            numbers = outputs[RECORD].numpy()
            self.taken(Taken(numbers[1:], self.layouts[int(numbers[0])]))
        except Exception as error:
            self._give_up(error)
        if self.stopped is not None and not bool(outputs[KEPT]):
            self.held = True
            self.stopped(data)
        return outputs["logs"]

    def _guarded(self, data: Any) -> Any:
        """One step without a look, held back if need be."""
        self.guarded = self.guarded or self.model._make_function(self._guarded_step)
        return self.guarded(iter([data]))

    def _plainly(self, data: Any) -> Any:
        """One step without a look, by a function of its own: Keras's has been traced for an iterator, or will be."""
        self.single = self.single or self.model._make_function(self.model.train_step)
        return self.single(iter([data]))

    def _step(self, data: Any) -> dict[str, Any]:
        self.tracing = True
        trace = StepTrace(self.model, self.optimizers, self.carry)
        kept = tf.constant(True)
        if self.guard is None:
            logs = trace.take(self.model.train_step, data)
        else:
            logs, kept = self.guard.take(lambda batch: trace.take(self.model.train_step, batch), data)
        if trace.layout not in self.layouts:
            self.layouts.append(trace.layout)
        number = tf.constant([self.layouts.index(trace.layout)], tf.float64)
        self.tracing = False
        return {"logs": logs, RECORD: tf.concat([number, trace.vector], axis=0), KEPT: kept}

    def _guarded_step(self, data: Any) -> dict[str, Any]:
        assert self.guard is not None
        logs, kept = self.guard.take(self.model.train_step, data)
        return {"logs": logs, KEPT: kept}

    def _give_up(self, error: BaseException) -> None:
        self.off = True
        self.recording = None
        self.failed(error)
