"""Forward and backward through one recurrent layer, all runs at once, as a pass of its own (`passes.Pass`).

Shapes: R runs, B samples, T time steps, n units. Samples come and go as [R, B, T, features]; inside, time leads. What
is the same at every step (W x_t, the weights' gradients) is one product over all steps before or after a loop over
time; the loops hold what is not. The backward loop carries the total gradient for the state, the LSTM's cell included,
so that it is there at every time step with no second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from bench.engine.blocks import Layer, Stage
from bench.engine.passes import Carry, StageGradients, Watch
from bench.engine.recurrence.cells import Cell, Phi, State
from bench.engine.run_settings import RunSettings
from bench.engine.signal import look
from bench.engine.stacks import LayerStack

PROBED = 2**14  # samples times time steps whose activations are looked at, at most


@dataclass
class Kept:
    """What the forward pass keeps.

    Attributes:
        x: what the layer was given, [R, T, B, features].
        inputs: W x_t and its bias, [T, R, B, g n].
        state: each tensor of the state before the first step and after each, an array of T + 1.
        cell: what each step kept, arrays of T.
        states: of moving averages, of which a recurrent layer has none.
    """

    x: tf.Tensor
    inputs: tf.Tensor
    state: list[tf.TensorArray]
    cell: list[tf.TensorArray]
    states: list[list[Any]]


@dataclass
class RecurrentPass:
    """One recurrent layer of every run.

    Attributes:
        stage: its place in the network.
        stacks: its weights: kernel, recurrent_kernel, bias.
        cell: what a step computes.
        phi: the cell's activation.
        sequences: whether it passes on the state at every step; else the last alone.

    The gradient for a state goes back within windows of so many time steps as `truncate` says of its run, from the
    sequence's beginning on (Williams & Peng 1990; Keras: `stop_gradient` on the state between two windows).
    """

    stage: Stage
    stacks: list[LayerStack]
    settings: RunSettings
    cell: Cell
    phi: Phi
    sequences: bool

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Any]:
        """See `passes.Pass`."""
        x = tf.transpose(carry[1], [0, 2, 1, 3])
        inputs = self._inputs(x)
        steps, start = inputs.shape[0], self._zeros(inputs)
        given = tf.TensorArray(inputs.dtype, steps, element_shape=inputs.shape[1:]).unstack(inputs)
        kernel, bias = self._inner_weights()

        def body(t: Any, state: Any, arrays: Any) -> Any:
            state, kept = self.cell.step(self.phi, given.read(t), _affine(state[0], kernel, bias), state)
            values = (*state, *kept) if training else state[:1] if self.sequences else ()
            first = 1 if training else 0  # what is kept of the state begins with the start
            at = [t + first if k < self.cell.states else t for k in range(len(values))]
            return t + 1, state, [array.write(i, value) for array, i, value in zip(arrays, at, values, strict=True)]

        arrays = self._arrays(inputs, start, training=training)
        _, state, arrays = tf.while_loop(
            lambda t, *_: t < steps, body, (0, start, arrays), maximum_iterations=steps, parallel_iterations=1
        )
        saved = None
        if training:
            saved = Kept(x, inputs, arrays[: self.cell.states], arrays[self.cell.states :], [[]])
        if not self.sequences:
            return (None, state[0]), saved
        h = arrays[0].stack()[1 if training else 0 :]
        return (None, tf.transpose(h, [1, 2, 0, 3])), saved

    def backward(self, saved: Any, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `passes.Pass`."""
        cell, steps = self.cell, saved.inputs.shape[0]
        kernel, _ = self._inner_weights()
        dh = ends[1]
        zero = self._zeros(saved.inputs)
        given, carried, passing = None, (dh, *zero[1:]), self._passing(steps)
        if self.sequences:
            given = tf.TensorArray(dh.dtype, steps, element_shape=zero[0].shape).unstack(tf.transpose(dh, [2, 0, 1, 3]))
            carried = zero

        def body(k: Any, carried: Any, arrays: Any) -> Any:
            t = steps - 1 - k
            total = (carried[0] + given.read(t), *carried[1:]) if given is not None else carried
            before, after = (tuple(array.read(i) for array in saved.state) for i in (t, t + 1))
            kept = tuple(array.read(t) for array in saved.cell)
            d_inputs, d_inner, entering, total = cell.back(self.phi, kept, before, after, total)
            through = tf.matmul(d_inputs if d_inner is None else d_inner, kernel, transpose_b=True)
            carried = (through if entering[0] is None else entering[0] + through, *entering[1:])
            if passing is not None:
                carried = tuple(tf.where(passing[t], each, 0.0) for each in carried)
            values = [d_inputs, total[0], *([] if d_inner is None else [d_inner])]
            return k + 1, carried, [array.write(t, value) for array, value in zip(arrays, values, strict=True)]

        shapes = [saved.inputs.shape[1:], zero[0].shape] + [saved.inputs.shape[1:]] * (self.bias_inside)
        arrays = [tf.TensorArray(tf.float32, steps, element_shape=shape) for shape in shapes]
        _, _, arrays = tf.while_loop(
            lambda k, *_: k < steps, body, (0, carried, arrays), maximum_iterations=steps, parallel_iterations=1
        )
        d_inputs, d_state, *rest = [array.stack() for array in arrays]
        states = saved.state[0].stack()[:-1]
        gradients, d_x = self._weight_gradients(saved.x, states, d_inputs, rest[0] if rest else d_inputs)
        looked = _looked([d_inputs, d_state], watch)
        return (None, d_x), StageGradients([[each[None] for each in gradients]], looked, (d_inputs, d_state))

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `passes.Pass`; the activation's output is the state h, at every step."""
        few = max(1, PROBED // carry[1].shape[2])
        carry, saved = self.forward((None, carry[1][:, :few]))
        z, u, h = (tf.transpose(each, [1, 2, 0, 3]) for each in self._taps(saved))
        return carry, of(self.stage.block.layers[0])(z, u, h)[None]

    def respond_again(self, saved: Any, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `passes.Pass`; of each run up to the first step at which anything is not finite."""
        z, u, h = self._taps(saved)
        slope = self.phi.slope(self.phi(u), u if self.phi.kept else None)
        state = [array.stack()[1:] for array in saved.state]
        reached = _reached([z, *state])[..., None, None]
        tensors = [z, u, state[-1], h, slope]
        cut = [tf.transpose(tf.where(reached, each, 0.0), [1, 2, 0, 3]) for each in tensors]
        return of(cut)[None]

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `passes.Pass`."""
        forward = _first_bad([self._taps(saved)[0], *(array.stack()[1:] for array in saved.state)])
        back = _first_bad([each[::-1] for each in gradients.in_time])
        return tf.stack([forward, tf.where(back < 0, -1, saved.inputs.shape[0] - 1 - back)])[:, None]

    @property
    def bias_inside(self) -> bool:
        """Whether U h_{t-1} has a bias of its own, as `reset_after` gives the GRU."""
        return len(self.stacks[0].weights["bias"].shape) == 4

    def _passing(self, steps: int) -> tf.Tensor | None:
        """Whether a run's gradient goes from each step to the one before, [T, R, 1, 1]; None: always and in all."""
        windows = self.settings("truncate", "bptt", "steps", np.inf)
        if windows is None:
            return None
        return tf.not_equal(tf.math.floormod(tf.range(steps, dtype=tf.float32)[:, None], windows), 0.0)[..., None, None]

    def _inputs(self, x: tf.Tensor) -> tf.Tensor:
        """W x_t and its bias at every step, [T, R, B, g n], of x [R, T, B, features]."""
        weights = self.stacks[0].weights
        bias = weights["bias"].value[0]
        bias = bias[:, :1] if self.bias_inside else bias[:, None]
        runs, steps, samples, features = x.shape
        product = _affine(tf.reshape(x, [runs, steps * samples, features]), weights["kernel"].value[0], bias)
        return tf.transpose(tf.reshape(product, [runs, steps, samples, -1]), [1, 0, 2, 3])

    def _inner_weights(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """U, and the bias beside U h where there is one, shaped to be added."""
        weights = self.stacks[0].weights
        bias = weights["bias"].value[0][:, 1, None] if self.bias_inside else None
        return tf.convert_to_tensor(weights["recurrent_kernel"].value[0]), bias

    def _zeros(self, inputs: tf.Tensor) -> State:
        _, runs, samples, wide = inputs.shape
        return (tf.zeros([runs, samples, wide // self.cell.gates]),) * self.cell.states

    def _arrays(self, inputs: tf.Tensor, start: State, *, training: bool) -> list[tf.TensorArray]:
        steps, shape = inputs.shape[0], start[0].shape

        def room(count: int, blocks: int) -> tf.TensorArray:
            element = [*shape[:-1], blocks * shape[-1]]
            return tf.TensorArray(tf.float32, count, clear_after_read=False, element_shape=element)

        if not training:
            return [room(steps, 1)] if self.sequences else []
        state = [room(steps + 1, 1).write(0, each) for each in start]
        return state + [room(steps, blocks) for blocks in (*self.cell.kept, *self.phi.kept)]

    def _taps(self, saved: Kept) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """z, u and h at every step, [T, R, B, ...]."""
        h = saved.state[0].stack()
        kernel, bias = self._inner_weights()
        # Runs first: oneDNN's product of [T, R, B, n] and [R, n, m], added to, writes where it must not.
        inner = _affine(_flat(h[:-1]), kernel, bias)
        steps, runs, samples, _ = saved.inputs.shape
        inner = tf.transpose(tf.reshape(inner, [runs, steps, samples, -1]), [1, 0, 2, 3])
        z, u = self.cell.taps(saved.inputs, inner)
        return z, u, h[1:]

    def _weight_gradients(
        self, x: tf.Tensor, states: tf.Tensor, d_inputs: tf.Tensor, d_inner: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients for kernel, recurrent kernel and bias, each [R, ...], and for x as the layer was given it."""
        runs, steps, samples, features = x.shape
        through, inner = _flat(d_inputs), _flat(d_inner) if self.bias_inside else None
        kernel = tf.matmul(tf.reshape(x, [runs, steps * samples, features]), through, transpose_a=True)
        recurrent = tf.matmul(_flat(states), through if inner is None else inner, transpose_a=True)
        bias = tf.reduce_sum(through, axis=1)
        if inner is not None:
            bias = tf.stack([bias, tf.reduce_sum(inner, axis=1)], axis=1)
        d_x = tf.matmul(through, self.stacks[0].weights["kernel"].value[0], transpose_b=True)
        d_x = tf.transpose(tf.reshape(d_x, [runs, steps, samples, features]), [0, 2, 1, 3])
        return [kernel, recurrent, bias], d_x


def _flat(each: tf.Tensor) -> tf.Tensor:
    """From [T, R, B, n] to [R, T B, n]."""
    steps, runs, samples, units = each.shape
    return tf.reshape(tf.transpose(each, [1, 0, 2, 3]), [runs, steps * samples, units])


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


def _affine(h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    product = tf.matmul(h, kernel)
    return product if bias is None else product + bias


def _looked(gradients: Sequence[tf.Tensor], watch: Watch) -> list[tf.Tensor]:
    """What `signal.look` finds in gradients [T, R, B, ...], over all time steps of a sample, as of one layer."""
    measure, member = watch
    runs, samples = gradients[0].shape[1:3]

    def measured() -> list[tf.Tensor]:
        by_sample = [tf.transpose(each, [1, 2, 0, 3]) for each in gradients]
        return look(by_sample, tf.constant(value=True), member)

    nothing = [tf.zeros([len(gradients), 2, runs, samples]), tf.zeros([runs], tf.float64)]
    return [each[None] for each in tf.cond(measure, measured, lambda: nothing)]
