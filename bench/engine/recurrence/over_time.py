"""Forward and backward through one recurrent layer, all runs at once, as a pass of its own (`passes.Pass`).

Shapes: R runs, B samples, T time steps, n units. Samples come and go as [R, B, T, features]; inside, time leads. A step
is one product, [x_t, 1, h_{t-1}] with the joined weights (`joined`), and the weights' gradient is summed within the
backward loop: nothing is wider than a step, so that it stays in the processor's cache; products over all steps at once
are better products, but the arrays for them cost more than they spare. The backward loop carries the total gradient
for the state, the LSTM's cell included, so that it is there at every time step with no second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from bench.engine.blocks import Layer, Stage
from bench.engine.passes import Carry, StageGradients, Watch
from bench.engine.recurrence.cells import Cell, Phi, State
from bench.engine.recurrence.joined import join, part
from bench.engine.recurrence.normalized import Normalization
from bench.engine.recurrence.timed import columns_at, measured_at
from bench.engine.run_settings import RunSettings
from bench.engine.signal import look
from bench.engine.stacks import LayerStack
from bench.factors import FORWARD, LOOKED_STEPS, Moment


@dataclass
class Kept:
    """What the forward pass keeps.

    Attributes:
        weights: J, see `joined`.
        normalization: what stands between its product and the cell, if anything does.
        given: [x_t, 1, h_{t-1}] of each step, an array of T.
        state: each tensor of the state before the first step and after each, arrays of T + 1.
        cell: what each step kept, arrays of T; what a normalization keeps comes last.
        shape: runs, time steps, samples and features.
        states: of moving averages, of which a recurrent layer has none.
    """

    weights: tf.Tensor
    normalization: Normalization | None
    given: tf.TensorArray
    state: list[tf.TensorArray]
    cell: list[tf.TensorArray]
    shape: tuple[int, int, int, int]
    states: list[list[Any]]


@dataclass
class RecurrentPass:
    """One recurrent layer of every run.

    Attributes:
        stage: its place in the network.
        stacks: its weights: kernel, recurrent_kernel, bias; with a gain its sums are normalized (`normalized`).
        cell: what a step computes.
        phi: the cell's activation.
        sequences: whether it passes on the state at every step; else the last alone.
        reads_data: whether what it is given are samples, for which nobody asks a gradient.
        moments: see `passes.Pass`.

    The gradient for a state goes back within windows of so many time steps as `truncate` says of its run, from the
    sequence's beginning on (Williams & Peng 1990; Keras: `stop_gradient` on the state between two windows).
    """

    stage: Stage
    stacks: list[LayerStack]
    settings: RunSettings
    cell: Cell
    phi: Phi
    sequences: bool
    reads_data: bool = False
    moments: Sequence[Moment] = ()

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Any]:
        """See `passes.Pass`."""
        x = tf.transpose(carry[1], [2, 0, 1, 3])
        steps, runs, samples, features = x.shape
        given = tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x)
        (weights, normalization), one = self._weights(features, x.dtype), tf.ones([runs, samples, 1], x.dtype)
        start = (tf.zeros([runs, samples, self._units], x.dtype),) * self.cell.states

        def body(t: Any, state: Any, arrays: Any) -> Any:
            read = tf.concat([given.read(t), one, state[0]], axis=-1)
            z, normal = tf.matmul(read, weights), tuple[Any, ...]()
            if normalization is not None:
                z, normal = normalization.forward(z)
            state, kept = self.cell.step(self.phi, z, state)
            values = (*state, read, *kept, *normal) if training else state[:1] if self.sequences else ()
            first = 1 if training else 0  # what is kept of the state begins with the start
            at = [t + first if k < self.cell.states else t for k in range(len(values))]
            return t + 1, state, [array.write(i, value) for array, i, value in zip(arrays, at, values, strict=True)]

        arrays = self._arrays(steps, start, weights, training=training)
        _, state, arrays = tf.while_loop(
            lambda t, *_: t < steps, body, (0, start, arrays), maximum_iterations=steps, parallel_iterations=1
        )
        saved = None
        if training:
            state_arrays, read, cell = arrays[: len(start)], arrays[len(start)], arrays[len(start) + 1 :]
            saved = Kept(weights, normalization, read, state_arrays, cell, (runs, steps, samples, features), [[]])
        if not self.sequences:
            return (None, state[0]), saved
        h = arrays[0].stack()[1 if training else 0 :]
        return (None, tf.transpose(h, [1, 2, 0, 3])), saved

    def backward(self, saved: Any, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `passes.Pass`."""
        cell, norm, dh, (runs, steps, samples, features) = self.cell, saved.normalization, ends[1], saved.shape
        timed = watch.timed is not None
        outer, inner = (
            tf.transpose(side, [0, 2, 1]) for side in (saved.weights[:, :features], saved.weights[:, features + 1 :])
        )
        zero = (tf.zeros([runs, samples, self._units], dh.dtype),) * cell.states
        given, carried, passing = None, (dh, *zero[1:]), self._passing(steps)
        if self.sequences:
            given = tf.TensorArray(dh.dtype, steps, element_shape=zero[0].shape).unstack(tf.transpose(dh, [2, 0, 1, 3]))
            carried = zero

        def body(k: Any, carried: Any, found: Any, arrays: Any) -> Any:
            t = steps - 1 - k
            total = (carried[0] + given.read(t), *carried[1:]) if given is not None else carried
            before, after = (tuple(array.read(i) for array in saved.state) for i in (t, t + 1))
            kept = tuple(array.read(t) for array in saved.cell)
            dz, entering, total = cell.back(self.phi, kept, before, after, total)
            if norm is not None:
                dz, of_norm = norm.back(dz, kept[-norm.keeps :])
                found = (found[0], found[1] + of_norm)
            through = tf.matmul(dz, inner)
            carried = (through if entering[0] is None else entering[0] + through, *entering[1:])
            if passing is not None:
                carried = tuple(tf.where(passing[t], each, 0.0) for each in carried)
            term = tf.matmul(saved.given.read(t), dz, transpose_a=True)
            found = (found[0] + tf.cast(term, tf.float32), *found[1:])
            values = [dz, total[0], *([] if self.reads_data else [tf.matmul(dz, outer)]), *(total[1:] if timed else ())]
            return k + 1, carried, found, [array.write(t, value) for array, value in zip(arrays, values, strict=True)]

        widths = [saved.weights.shape[-1], self._units, *([] if self.reads_data else [features])]
        widths += [self._units] * (cell.states - 1) if timed else []
        room = partial(tf.TensorArray, dh.dtype, steps, clear_after_read=False)
        arrays = [room(element_shape=[runs, samples, width]) for width in widths]
        sum_of = partial(tf.zeros_like, dtype=tf.float32)
        sums = sum_of(saved.weights), *([] if norm is None else [sum_of(saved.weights[:, :2])])
        start = (0, carried, sums, arrays)
        _, _, found, arrays = tf.while_loop(
            lambda k, *_: k < steps, body, start, maximum_iterations=steps, parallel_iterations=1
        )
        d_x = tf.zeros([], dh.dtype) if self.reads_data else tf.transpose(arrays[2].stack(), [1, 2, 0, 3])
        gradients = part(cell, self.stacks[0], found[0], *found[1:])
        in_time = partial(self._in_time, arrays)
        seen = looked(in_time, (runs, samples), watch)
        over_time = None if watch.timed is None else self._over_time(saved, arrays, watch.timed)
        return (None, d_x), StageGradients([[each[None] for each in gradients]], seen, in_time, over_time)

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `passes.Pass`; the activation's output is the state h, at every step."""
        carry, saved = self.forward(fewer(carry))
        z, u, h = (tf.transpose(each, [1, 2, 0, 3]) for each in self.taps(saved))
        return carry, of(self.stage.block.layers[0])(z, u, h)[None]

    def respond_again(self, saved: Any, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `passes.Pass`; of each run up to the first step at which anything is not finite."""
        return of(self.until_bad(saved))[None]

    def until_bad(self, saved: Kept) -> list[tf.Tensor]:
        """Of each run z, u, the state's last, h and the slope up to the first bad step, then 0, [R, B, T, ...]."""
        z, u, h = self.taps(saved)
        slope = self.phi.back(self.phi(u), None if self.phi.by_value else u, tf.ones_like(u))
        state = [array.stack()[1:] for array in saved.state]
        reached = _reached([z, *state])[..., None, None]
        tensors = [z, u, state[-1], h, slope]
        return [tf.transpose(tf.where(reached, each, 0.0), [1, 2, 0, 3]) for each in tensors]

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `passes.Pass`."""
        forward = _first_bad([self.taps(saved)[0], *(array.stack()[1:] for array in saved.state)])
        back = _first_bad([each[::-1] for each in gradients.in_time()])
        return tf.stack([forward, tf.where(back < 0, -1, saved.shape[1] - 1 - back)])[:, None]

    @property
    def gates(self) -> tuple[str, ...]:
        """See `passes.Pass`."""
        return self.cell.gate_names

    @property
    def lacks(self) -> tuple[str, ...]:
        """See `passes.Pass`."""
        cell = ("cell_grad_norm",) if self.cell.states == 1 else ()
        return cell + (("gate_mean", "gate_saturated_fraction") if self.cell.keeper is None else ())

    def _over_time(self, saved: Kept, arrays: Sequence[tf.TensorArray], timed: tf.Tensor) -> tf.Tensor:
        """See `StageGradients.over_time`; the arrays are those of the backward loop."""
        last, inside = saved.shape[1] - 1, [block for _, block in self.cell.blocks]
        own = [each.time if each.direction == FORWARD else last - each.time for each in self.moments]
        times = tf.constant(own)  # in the order in which the pass takes them

        def columns(k: tf.Tensor) -> tf.Tensor:
            t = times[k]
            dz, d_state = (array.read(t) for array in arrays[:2])
            parts = zip(tf.split(dz, len(inside), axis=-1), inside, strict=True)
            d_inner = tf.concat([part for part, block in parts if block is not None], axis=-1)
            d_cell = arrays[-1].read(t) if self.cell.states > 1 else None
            before, after = (saved.state[0].read(i) for i in (t, t + 1))
            gate = None if self.cell.keeper is None else saved.cell[self.cell.keeper].read(t)
            d_inputs = dz[..., : self.cell.gates * self._units]
            return columns_at((d_state, d_cell, d_inputs, d_inner), before, after, gate)

        return measured_at(len(self.moments), columns, runs=saved.shape[0], timed=timed)

    @property
    def _units(self) -> int:
        return int(self.stacks[0].weights["recurrent_kernel"].shape[2])

    def _passing(self, steps: int) -> tf.Tensor | None:
        """Whether a run's gradient goes from each step to the one before, [T, R, 1, 1]; None: always and in all."""
        windows = self.settings("truncate", "bptt", "steps", np.inf)
        if windows is None:
            return None
        return tf.not_equal(tf.math.floormod(tf.range(steps, dtype=tf.float32)[:, None], windows), 0.0)[..., None, None]

    def _weights(self, features: int, dtype: tf.DType) -> tuple[tf.Tensor, Normalization | None]:
        """J in these numbers, and the normalization of its product; then the bias is none of J but added behind."""
        weights, gain = join(self.cell, self.stacks[0]), self.stacks[0].weights.get("gain")
        if gain is None:
            return tf.cast(weights, dtype), None
        outer, bias, inner = tf.split(weights, [features, 1, weights.shape[1] - features - 1], axis=1)
        normalization = Normalization(len(self.cell.blocks), gain.value[0][:, None], bias)
        return tf.cast(tf.concat([outer, tf.zeros_like(bias), inner], axis=1), dtype), normalization

    def _arrays(self, steps: int, start: State, weights: tf.Tensor, *, training: bool) -> list[tf.TensorArray]:
        shape = start[0].shape

        def room(count: int, wide: int, dtype: tf.DType = weights.dtype) -> tf.TensorArray:
            return tf.TensorArray(dtype, count, clear_after_read=False, element_shape=[*shape[:-1], wide])

        if not training:
            return [room(steps, shape[-1])] if self.sequences else []
        state = [room(steps + 1, shape[-1]).write(0, each) for each in start]
        kept = [shape[-1]] * (self.cell.kept + (not self.phi.by_value))
        arrays = [*state, *(room(steps, wide) for wide in (weights.shape[1], *kept))]
        if "gain" in self.stacks[0].weights:
            arrays += [room(steps, wide, tf.float32) for wide in (weights.shape[2], len(self.cell.blocks))]
        return arrays

    def taps(self, saved: Kept) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """z, u and h at every step, [T, R, B, ...]."""
        runs, steps, samples, _ = saved.shape
        # Runs first: oneDNN's product of [T, R, B, n] and [R, n, m], added to, writes where it must not.
        read = tf.transpose(saved.given.stack(), [1, 0, 2, 3])
        z = tf.matmul(tf.reshape(read, [runs, steps * samples, -1]), saved.weights)
        z, h = tf.transpose(tf.reshape(z, [runs, steps, samples, -1]), [1, 0, 2, 3]), saved.state[0].stack()[1:]
        if saved.normalization is None:
            return *self.cell.taps(z), h
        return z, self.cell.taps(saved.normalization.forward(z)[0])[1], h

    def _in_time(self, arrays: Sequence[tf.TensorArray]) -> tuple[tf.Tensor, tf.Tensor]:
        """The gradients for W x_t + b and for h_t at every step, [T, R, B, ...]."""
        dz, dh = (array.stack() for array in arrays[:2])
        return dz[..., : self.cell.gates * self._units], dh


def fewer(carry: Carry) -> Carry:
    """As many samples [R, B, T, ...] as are looked at."""
    return None, carry[1][:, : max(1, LOOKED_STEPS // carry[1].shape[2])]


def looked(in_time: Callable[[], Sequence[tf.Tensor]], samples: tuple[int, int], watch: Watch) -> list[tf.Tensor]:
    """What `signal.look` finds in gradients for W x_t + b and h_t, over all steps of a sample, as of a layer.

    They are put together only where they are looked at.

    Args:
        in_time: gives both, [T, R, B, ...].
        samples: R and B.
    """

    def measured() -> list[tf.Tensor]:
        return look(list(in_time()), tf.constant(value=True), watch.member, time_first=True)

    nothing = [tf.zeros([2, 2, *samples]), tf.zeros([samples[0]], tf.float64)]
    return [each[None] for each in tf.cond(watch.measure, measured, lambda: nothing)]


def _reached(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether no step before is bad in any of the tensors [T, R, ...], [T, R]."""
    sound = [tf.reduce_all(tf.math.is_finite(each), axis=[2, 3]) for each in tensors]
    bad = tf.logical_not(tf.reduce_all(tf.stack(sound), axis=0))
    return tf.equal(tf.cumsum(tf.cast(bad, tf.int32), exclusive=True), 0)


def _first_bad(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The first step at which any of the tensors [T, R, ...] is bad, [R]; -1 where all are finite."""
    finite = tf.stack([tf.reduce_all(tf.math.is_finite(each), axis=[0, 2, 3]) for each in tensors])
    reached = tf.reduce_sum(tf.cast(_reached(tensors), tf.int32), axis=0)
    return tf.where(tf.reduce_all(finite, axis=0), -1, reached - 1)
