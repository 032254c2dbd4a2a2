"""What is measured of a recurrent layer at single time steps, all runs at once: the columns of `time_gradients`.

Shapes: R runs, B samples, n units, g blocks of a kernel. One time step is looked at after the other, so that nothing
larger than a recurrent kernel of each run is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from bench.engine.clipping import variable_norms
from bench.engine.precision import widened
from bench.engine.signal import sample_norms
from bench.schema import OPEN_GATE

TIME_COLUMNS = (
    "state_grad_norm", "cell_grad_norm", "preactivation_grad_norm", "recurrent_kernel_grad_norm", "state_mean_square",
    "gate_mean", "gate_saturated_fraction",
)  # fmt: skip
Gradients = tuple[tf.Tensor, tf.Tensor | None, tf.Tensor, tf.Tensor]


def measured_at(count: int, columns: Callable[[tf.Tensor], tf.Tensor], *, runs: int, timed: tf.Tensor) -> tf.Tensor:
    """`columns(k)`, [columns, R], for each k below `count`, [count, columns, R]; zeros where `timed` is false."""
    shape = [len(TIME_COLUMNS), runs]

    def measured() -> tf.Tensor:
        rows = tf.TensorArray(tf.float64, count, element_shape=shape)
        _, rows = tf.while_loop(
            lambda k, _: k < count, lambda k, rows: (k + 1, rows.write(k, columns(k))), (0, rows),
            maximum_iterations=count, parallel_iterations=1,
        )  # fmt: skip
        return rows.stack()

    return tf.cond(timed, measured, lambda: tf.zeros([count, *shape], tf.float64))


def columns_at(gradients: Gradients, before: tf.Tensor, after: tf.Tensor, gate: tf.Tensor | None) -> tf.Tensor:
    """`TIME_COLUMNS` at one time step, [columns, R] in float64; NaN for what the cell does not have.

    Args:
        gradients: of the mean loss for h and c after the step, for W x_t + b and for U h_{t-1}, [R, B, n] or
            [R, B, g n]; None without a c.
        before, after: h before and after it, [R, B, n].
        gate: the gate that keeps the state, [R, B, n]; None without one.
    """
    d_state, d_cell, d_inputs, d_inner = gradients
    absent = tf.fill([d_state.shape[0]], tf.constant(float("nan"), tf.float64))
    (term,) = variable_norms([widened(tf.matmul(before, d_inner, transpose_a=True))[None]])
    of_gate = [absent, absent]
    if gate is not None:
        outside = (gate < OPEN_GATE[0]) | (gate > OPEN_GATE[1])
        of_gate = [_mean(gate), _mean(tf.cast(outside, tf.float32))]
    return tf.stack(
        [
            _norm(d_state), absent if d_cell is None else _norm(d_cell), _norm(d_inputs), term[0],
            _mean(tf.square(tf.cast(after, tf.float64))), *of_gate,
        ]
    )  # fmt: skip


def _norm(gradient: tf.Tensor) -> tf.Tensor:
    """Root mean square over samples of B times the norm of a mean loss's gradient [R, B, ...], [R]."""
    _, norms, factors = sample_norms(gradient)
    exact = tf.cast(norms, tf.float64)[..., 0] / tf.cast(factors, tf.float64)[..., 0]
    return tf.sqrt(gradient.shape[1] * tf.reduce_sum(tf.square(exact), axis=-1))


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(values, tf.float64), axis=[1, 2])
