"""Two functions over the same variables, Keras's own for TensorFlow and one that records, and which takes a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bench.recorder.dispatching import Dispatching, Taken
from bench.recorder.guard import Guard
from bench.recorder.layers import has_variables
from bench.recorder.optimizers import Carry
from bench.recorder.patches import Patches, patched
from bench.recorder.stepping import Taking
from bench.recorder.trace import StepTrace

RECORD = "gradtrial"
KEPT = "gradtrial_kept"


class Dispatch(Dispatching):
    """In TensorFlow, whose two functions change the same variables."""

    traces_others = True

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.single: Taking | None = None
        self.tracing = False
        self.traced: set[str] = set()  # shapes for which the function of other steps is traced
        self.broken = False  # whether the step could not be traced
        self.spec: Any = None  # of a batch as `fit`'s iterator gives it
        self.guard = Guard(self.model, self.optimizers, self.stepping.loss) if self.stopped is not None else None

    def ready(self) -> bool:
        """Whether all variables are made: before, a look at them could make others of them."""
        if self.stepped:  # a model that is never called, or a layer that is not, stays unbuilt
            return True
        optimizers = self.stepping.eager or all(each.built for each in self.optimizers)
        return has_variables(self.model) and optimizers

    def _record(self, iterator: Iterator[Any]) -> Any:
        """What stands in for the train function: as many steps as that takes, each on its own."""
        self.disarm()
        self.spec = getattr(iterator, "element_spec", None)
        logs = None
        for count in range(self.model.steps_per_execution):
            try:
                data = next(iterator)
            except StopIteration:
                if not count and self.plain is not None:
                    # Keras's own raises it too, and its graph may count a step of the optimizer before it does.
                    return self.plain(iterator)
                break
            logs = self.once(data)
            if self.held:
                break
        if self.guard is None:
            self._trace_now(self.plain, iterator)
        return logs

    def once(self, data: Any) -> Any:
        """One step on a batch, looked at if `looks` says so, or if it is held back."""
        self._show(data)
        builds = self.stepping.eager and self.guard is None  # a guard must know all variables before the step
        if self.off or not (builds or self.ready() or self._prepared(data)):
            logs = self._by_keras(data) if self.broken else self._plainly(data)
            self.stepped = True
        elif self.guard is not None and not self.looks:
            outputs = self._guarded(data)
            # Where it was held back all is as before, and the same step is looked at.
            logs = outputs["logs"] if bool(outputs[KEPT]) else self._looked(data)
        else:
            logs = self._looked(data)
        self.count += not self.held
        if self.guard is not None:
            self._trace_now(self._guarded, data)
        elif self.plain is None:  # a loop of one's own
            self._trace_now(self._plainly, data)
        return logs

    def _trace_now(self, function: Taking | None, given: Any) -> None:
        """Trace what takes the steps between those that are recorded, as it is traced without a recorder: at the first.

        A callback may change what only a trace reads, such as a rate of dropout or which layers train, and without a
        recorder that changes nothing. It is called in a graph that is thrown away.
        """
        shapes = str([getattr(each, "shape", None) for each in keras.tree.flatten(given)])
        known = shapes in self.traced or len(self.traced) > 1  # then it is traced for any number of rows
        if not self.alternates or function is None or self.stepping.eager or self.off or known:
            return
        self.traced.add(shapes)
        with suppress(Exception), tf.__internal__.FuncGraph("gradtrial").as_default():
            function(given)  # Keras's own ends with a question that no graph answers; what is not traced here is later

    def _prepared(self, data: Any) -> bool:
        """Make all variables as this step would, by tracing it into a graph that is thrown away.

        In it optimizers make their variables and apply nothing, so that the step itself is the first that trains. What
        is computed without a graph is not tried: its own lines would see tensors that hold nothing.
        """
        if self.stepping.eager:
            return False

        def only_built(optimizer: Any, apply: Callable[..., Any]) -> Callable[..., Any]:
            def building(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
                if trainable_variables is not None and not optimizer.built:
                    with tf.init_scope():
                        optimizer.build(list(trainable_variables))

            return building

        def put_on(patches: Patches) -> None:
            for each in self.optimizers:
                patches.around(each, "apply", partial(only_built, each))

        try:
            with tf.__internal__.FuncGraph("gradtrial").as_default(), patched(put_on):
                self.stepping.take(data)
            self.stepped = True
        except Exception:  # it cannot be traced, or is wrong: then the step itself says so
            self.broken = True
        return self.ready()

    def _looked(self, data: Any) -> Any:
        self.tracing = False
        known = {id(variable) for variable in self.model.metrics_variables}
        fault: Exception | None = None
        try:
            if self.recording is None:
                self.carry = Carry([] if self.stepping.eager else self.optimizers)
                self.recording = self.stepping.compiled(self._step, self.spec)
            outputs = self.recording(data)
        except Exception as error:
            # While a graph is traced nothing is computed, so that Keras's own function can take the batch.
            if not self.tracing or self.stepping.eager:
                raise
            fault = error
        if fault is not None:
            return self._instead(fault, known, data)
        kept = bool(outputs.get(KEPT, True))
        self.held = self.stopped is not None and not kept
        try:
            if (fault := outputs.get("fault")) is not None:
                raise fault
            if RECORD in outputs:
                numbers = outputs[RECORD].numpy()
                self.taken(Taken(numbers[1:], self.layouts[int(numbers[0])], kept))
        except Exception as error:
            self._give_up(error)
        if self.held and self.stopped is not None:
            self.stopped(data)
        return outputs["logs"]

    def _instead(self, fault: Exception, known: set[int], data: Any) -> Any:
        """The step by Keras's own function, as it could not be traced with a look at it.

        Whose the fault is that function tells: a mistake in what is trained it raises too, and then nothing more is
        said of it. `known` are the metrics' variables from before.
        """
        self.off, self.recording = True, None
        for metric in self.model.metrics:  # what a graph was to initialize that never ran
            if any(id(variable) not in known for variable in metric.variables):
                metric.reset_state()
        logs = self._by_keras(data)
        self.failed(fault)
        return logs

    def _by_keras(self, data: Any) -> Any:
        """One step by the very function that `fit` calls, on a batch that was taken from its iterator already.

        What is wrong with the step is then told in the same words, of batches whose number of rows is open.
        """
        self.broken = False
        if self.spec is None or self.plain is None or self.stepping.eager or self.model.steps_per_execution != 1:
            return self._plainly(data)
        try:
            iterator = iter(tf.data.Dataset.from_generator(lambda: iter([data]), output_signature=self.spec))
        except Exception:  # data of a kind that no generator gives
            return self._plainly(data)
        return self.plain(iterator)

    def _guarded(self, data: Any) -> Any:
        """One step without a look, held back if need be."""
        self.guarded = self.guarded or self.stepping.compiled(self._guarded_step, self.spec)
        return self.guarded(data)

    def _plainly(self, data: Any) -> Any:
        """One step without a look, by a function of its own: Keras's has been traced for an iterator, or will be."""
        self.single = self.single or self.stepping.compiled(self.stepping.take, self.spec)
        return self.single(data)

    def _step(self, data: Any) -> dict[str, Any]:
        self.tracing = True
        trace = StepTrace(self.model, self.optimizers, self.carry, self.stepping)
        if self.guard is None:
            outputs: dict[str, Any] = {"logs": trace.take(data)}
        else:
            logs, kept = self.guard.take(trace.take, data)
            outputs = {"logs": logs, KEPT: kept}
        if trace.fault is not None:
            return outputs | {"fault": trace.fault}
        if trace.vector is None:  # a layer made its variables only when it was called itself
            return outputs
        self.traces += not self.stepping.eager or trace.layout not in self.layouts
        if trace.layout not in self.layouts:
            self.layouts.append(trace.layout)
        number = tf.constant([self.layouts.index(trace.layout)], tf.float64)
        self.tracing = False
        return outputs | {RECORD: tf.concat([number, trace.vector], axis=0)}

    def _guarded_step(self, data: Any) -> dict[str, Any]:
        assert self.guard is not None
        logs, kept = self.guard.take(self.stepping.take, data)
        return {"logs": logs, KEPT: kept}
