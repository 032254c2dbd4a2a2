"""Two functions of the same state, Keras's own for JAX and one that records, and which of them takes a step.

A step is a function of a state, so that nothing of one that fails is left: whatever goes wrong in the recording
function, Keras's own takes the same state and batch. It is made from `train_step` as Keras makes its own, without
giving its arguments away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from bench.recorder.dispatching import Dispatching, Taken
from bench.recorder.jax_norms import SUMS, settled
from bench.recorder.jax_trace import JaxStepTrace, TooFewZeros
from bench.recorder.layout import Layout
from bench.recorder.targets import TargetSums

COMPARED = 10  # first recorded steps that Keras's own function makes too, so that both can be compared


class JaxDispatch(Dispatching):
    """On JAX.

    Attributes:
        beside: whether Keras's own function makes each recorded step too, because its numbers are other ones.
        shape: of the first batch that was looked at, by leaf.
    """

    compiles_dearly = True

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.asked_for: list[tuple[int, TargetSums | None]] = []  # by layout: sums of squares, and of targets
        self.zeros = 2 * len(self.model._flatten_layers(include_self=False)) + 16
        self.compared = 0
        self.beside = False
        self.shape: list[Any] | None = None
        self.put_back = False  # whether the model's variables have values of within this call

    def _record(self, state: Any, iterator: Iterator[Any]) -> Any:
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
            logs, state = self.step(state, data)
            if self.held:
                break
        if self.put_back:  # `fit` takes them for those after the call
            self._put_back(state)
            self.put_back = False
        return logs, state

    def once(self, data: Any) -> Any:
        """One step from the values of the model's variables, which it changes."""
        state = self.model._get_jax_state(
            trainable_variables=True, non_trainable_variables=True, optimizer_variables=True, metrics_variables=True
        )
        logs, after = self.step(state, data)
        self._put_back(after)
        return logs

    def step(self, state: Any, data: Any) -> Any:
        """One step on a batch: what it reports, and the state after it."""
        self._show(data)
        looks = self.looks and not (self.one_shape and self._is_other(data))
        if self.off or (self.stopped is None and not looks):
            outputs = self._plainly(state, data)
        elif not looks:
            outputs = self._guarded(state, data)
        else:
            outputs = self._looked(state, data)
        self.count += not self.held
        return outputs

    def _is_other(self, data: Any) -> bool:
        """Whether a batch has another form than the first that was looked at, as an epoch's last has."""
        shape = [getattr(each, "shape", None) for each in jax.tree.leaves(data)]
        self.shape = self.shape or shape
        return self._compiles and shape != self.shape

    def _plainly(self, state: Any, data: Any) -> Any:
        if self.plain is None:
            self.model.make_train_function()
            self.plain = self.model.train_function
        return self.plain(state, iter([data]))

    def _looked(self, state: Any, data: Any) -> Any:
        try:
            if self.recording is None:
                self.recording = self._compiled(self._step)
            logs, after, found = self.recording(state, data)
            numbers, layout = self._numbers(np.asarray(found), data)
        except Exception as error:  # if the mistake is in what is trained, Keras's own function raises it again
            self._give_up(error)
            return self._plainly(state, data)
        self.both = self.beside or self.compared < COMPARED
        if self.both:
            own_logs, own_after = self._plainly(_copied(state), data)
            self.compared += 1
            self.beside = self.beside or not _same(after, own_after)
            logs, after = own_logs, own_after
        kept = self.stopped is None or _is_finite(logs, after, loss=not self._scaled)
        self.held = not kept
        try:
            first = self.both and self.compared == 1
            if first or not kept:  # a first step's settings are read off the model, and a stop saves it
                self._put_back(after if kept else state)
            self.taken(Taken(numbers, layout, kept))
        except Exception as error:
            self._give_up(error)
        if not kept:
            assert self.stopped is not None
            self.stopped(data)
            return logs, state
        return logs, after

    def _guarded(self, state: Any, data: Any) -> Any:
        """One step without a look; one that leaves a number that is not finite is made again, with a look."""
        self.guarded = self.guarded or self._compiled(self.model.train_step)
        logs, after = self.guarded(state, data)
        return (logs, after) if _is_finite(logs, after, loss=not self._scaled) else self._looked(state, data)

    @property
    def _scaled(self) -> bool:
        return any(isinstance(each, keras.optimizers.LossScaleOptimizer) for each in self.optimizers)

    def _compiled(self, step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """As `fit` compiles a step."""
        return jax.jit(step) if self._compiles else step

    @property
    def _compiles(self) -> bool:
        return bool(self.model.jit_compile) and not self.model.run_eagerly

    def _step(self, state: Any, data: Any) -> Any:
        while True:
            trace = JaxStepTrace(self.model, self.optimizers, self.zeros)
            try:
                logs, after = trace.take(state, data)
                break
            except TooFewZeros:
                self.zeros *= 4
        compiles = isinstance(next(iter(jax.tree.leaves(state)), None), jax.core.Tracer)
        self.traces += compiles or trace.layout not in self.layouts
        if trace.layout not in self.layouts:
            self.layouts.append(trace.layout)
            self.asked_for.append((len(trace.sums), trace.asked_for))
        number = jnp.asarray([self.layouts.index(trace.layout)], jnp.float32)
        return logs, after, jnp.concatenate([number, trace.direct, trace.sums.reshape(-1)])  # one array to fetch

    def _numbers(self, found: np.ndarray, data: Any) -> tuple[np.ndarray, Layout]:
        """What a step handed out and its targets ask for, and what each number is."""
        number = int(found[0])
        count, asked = self.asked_for[number]
        direct, sums = np.split(found[1:], [len(found) - 1 - SUMS * count])
        targets = [] if asked is None else [asked.sums(self.stepping.parts(data)[1])]
        return np.concatenate([direct.astype(np.float64), settled(sums.reshape(-1, SUMS)), *targets]), (
            self.layouts[number]
        )

    def _put_back(self, state: Any) -> None:
        """Give the model's variables the values of a state, as Keras does at an epoch's end."""
        names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
        self.model._jax_state = dict(zip(names, state, strict=True))
        self.model._jax_state_synced = False
        self.model.jax_state_sync()
        self.put_back = True


@jax.jit
def _copied(state: Any) -> Any:
    """Another state of the same numbers: Keras's own function is given its state away."""
    return jax.tree.map(jnp.copy, state)


@jax.jit
def _all_finite(tensors: list[jax.Array]) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(each)) for each in tensors]))


def _is_finite(logs: Any, state: Any, *, loss: bool) -> bool:
    """Whether all weights are, and the loss, which a loss scale may let pass: its optimizer skips such a step."""
    tensors = [*state[0], *state[1]]
    if loss and isinstance(logs, dict) and "loss" in logs:  # a mean since the epoch began, to this step the first bad
        tensors.append(jnp.asarray(logs["loss"]))
    real = [each for each in tensors if jnp.issubdtype(each.dtype, jnp.floating)]
    return bool(_all_finite(real))


def _same(one: Any, other: Any) -> bool:
    """Whether two states are, to the bit but for a zero's sign."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are, NaN like NaN, which is looked for only where they differ: it takes several passes."""
    return np.array_equal(a, b) or np.array_equal(a, b, equal_nan=bool(jnp.issubdtype(a.dtype, jnp.floating)))
