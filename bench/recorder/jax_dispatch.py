"""Two functions of the same state, Keras's own for JAX and one that records, and which of them takes a step.

A step is a function of a state, so that nothing of one that fails is left: whatever goes wrong in the recording
function, Keras's own takes the same state and batch. It is made from `train_step` as Keras makes its own, without
giving its arguments away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from bench.recorder.dispatch import Taken
from bench.recorder.jax_norms import settled
from bench.recorder.jax_trace import JaxStepTrace, TooFewZeros
from bench.recorder.layout import Layout
from bench.recorder.optimizers import optimizers_of
from bench.recorder.stepping import FitStep, Stepping
from bench.recorder.targets import TargetSums

COMPARED = 2  # first recorded steps that Keras's own function makes too, so that both can be compared


class JaxDispatch:
    """Of one model while it trains: see `dispatch.Dispatch`, whose attributes these are.

    Attributes:
        beside: whether Keras's own function makes each recorded step too, because its numbers are other ones.
    """

    def __init__(  # noqa: PLR0913 (whom it tells of what)
        self,
        model: keras.Model,
        taken: Callable[[Taken], None],
        failed: Callable[[BaseException], None],
        stopped: Callable[[Any], None] | None = None,
        stepping: Stepping | None = None,
        optimizers: Sequence[keras.optimizers.Optimizer] | None = None,
    ) -> None:
        self.model = model
        self.taken = taken
        self.failed = failed
        self.stopped = stopped
        self.stepping: Stepping = FitStep(model) if stepping is None else stepping
        self.optimizers = optimizers_of(model) if optimizers is None else list(optimizers)
        self.layouts: list[Layout] = []
        self.asked_for: list[TargetSums | None] = []
        self.recording: Callable[[Any, Any], Any] | None = None
        self.guarded: Callable[[Any, Any], Any] | None = None
        self.plain: Callable[[Any, Iterator[Any]], Any] | None = None
        self.zeros = 2 * len(model._flatten_layers(include_self=False)) + 16
        self.compared = 0
        self.beside = False
        self.off = False
        self.looks = True
        self.held = False
        self.count = 0
        self.stepped = False
        self.saw: Callable[[Any], None] = lambda data: None

    def arm(self) -> None:
        """Let the recording function take the next call of the train function, and Keras's own those after it."""
        self.count = 0
        if not self.off and self.model.train_function != self._record:
            self.plain = self.model.train_function
            self.model.train_function = self._record

    def disarm(self) -> None:
        """Give the model its own function back, if the other is still there."""
        if self.model.train_function == self._record:
            self.model.train_function = self.plain

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
        return logs, state

    def once(self, data: Any) -> Any:
        """One step from the values of the model's variables, which it changes."""
        state = self.model._get_jax_state(
            trainable_variables=True, non_trainable_variables=True, optimizer_variables=True, metrics_variables=True
        )
        return self.step(state, data)[0]

    def step(self, state: Any, data: Any) -> Any:
        """One step on a batch: what it reports, and the state after it."""
        try:
            self.saw(data)
        except Exception as error:
            self._give_up(error)
        if self.off:
            outputs = self._plainly(state, data)
        elif self.stopped is not None and not self.looks:
            outputs = self._guarded(state, data)
        else:
            outputs = self._looked(state, data)
        self.count += not self.held
        return outputs

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
            numbers = self._numbers(found, data)
        except Exception as error:  # if the mistake is in what is trained, Keras's own function raises it again
            self._give_up(error)
            return self._plainly(state, data)
        if self.beside or self.compared < COMPARED:
            own_logs, own_after = self._plainly(jax.tree.map(jnp.copy, state), data)
            self.compared += 1
            self.beside = self.beside or not _same(after, own_after)
            logs, after = own_logs, own_after
        kept = self.stopped is None or _is_finite(logs, after, loss=not self._scaled)
        self.held = not kept
        try:
            self._put_back(after if kept else state)  # others may look at variables, as `fit` lets callbacks do
            self.taken(Taken(numbers, self.layouts[int(found[0])], kept))
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
        return step if self.model.run_eagerly or not self.model.jit_compile else jax.jit(step)

    def _step(self, state: Any, data: Any) -> Any:
        while True:
            trace = JaxStepTrace(self.model, self.optimizers, self.zeros)
            try:
                logs, after = trace.take(state, data)
                break
            except TooFewZeros:
                self.zeros *= 4
        if trace.layout not in self.layouts:
            self.layouts.append(trace.layout)
            self.asked_for.append(trace.asked_for)
        return logs, after, (self.layouts.index(trace.layout), trace.direct, trace.sums)

    def _numbers(self, found: Any, data: Any) -> np.ndarray:
        number, direct, sums = found
        asked = self.asked_for[int(number)]
        targets = [] if asked is None else [asked.sums(self.stepping.parts(data)[1])]
        return np.concatenate([np.asarray(direct, np.float64), settled(np.asarray(sums)), *targets])

    def _put_back(self, state: Any) -> None:
        """Give the model's variables the values of a state, as Keras does at an epoch's end."""
        names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
        self.model._jax_state = dict(zip(names, state, strict=True))
        self.model._jax_state_synced = False
        self.model.jax_state_sync()

    def _give_up(self, error: BaseException) -> None:
        self.off = True
        self.recording = None
        self.failed(error)


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
    return all(a.shape == b.shape and bool(jnp.array_equal(a, b, equal_nan=_is_real(a))) for a, b in pairs)


def _is_real(tensor: Any) -> bool:
    return bool(jnp.issubdtype(tensor.dtype, jnp.floating))
