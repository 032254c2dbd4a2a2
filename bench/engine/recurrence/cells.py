"""One time step of Keras's recurrent cells and its derivative, for all runs at once.

Shapes: R runs, B samples, n units. The pre-activations z of a step, sums of W x_t, U h_{t-1} and biases, come as one
tensor [R, B, n x blocks]. A state is a tuple of tensors [R, B, n], of which the first is h, and so is what a step
keeps. Gates are sigmoids, as Keras's `recurrent_activation` is by default.

Sources: `keras.layers.SimpleRNN`, `LSTM` (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) and
`GRU` with `reset_after` (Cho et al. 2014; the form that cuDNN computes).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bench.factors import GATE_GROUPS

State = tuple[Any, ...]  # of tensors


@dataclass(frozen=True)
class Phi:
    """The activation and its slope, which for the common ones is made of the value alone."""

    function: Callable[[tf.Tensor], tf.Tensor]
    name: str

    def __call__(self, u: tf.Tensor) -> tf.Tensor:
        """The activation of u."""
        return _KNOWN[self.name][0](u) if self.name in _KNOWN else self.function(u)

    @property
    def by_value(self) -> bool:
        """Whether the slope is made of the value alone, so that u need not be kept."""
        return self.name in _KNOWN

    def back(self, value: tf.Tensor, u: tf.Tensor | None, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient times the slope at u, where the activation is `value`; u may be None where nothing needs it."""
        if u is None:
            return _KNOWN[self.name][1](value, gradient)
        with tf.GradientTape() as tape:
            tape.watch(u)
            again = self.function(u)
        return tape.gradient(again, u, gradient, unconnected_gradients=tf.UnconnectedGradients.ZERO)


# A value's slope and the product with a gradient are one operation of TensorFlow's, not three passes over memory.
_KNOWN: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]] = {
    "tanh": (tf.tanh, lambda value, gradient: tf.raw_ops.TanhGrad(y=value, dy=gradient)),
    "relu": (tf.nn.relu, lambda value, gradient: tf.raw_ops.ReluGrad(gradients=gradient, features=value)),
    "linear": (tf.identity, lambda _, gradient: gradient),
}


def _back_sigmoid(value: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.SigmoidGrad(y=value, dy=gradient)


class Cell(ABC):
    """A cell of the catalogue.

    Attributes:
        keras_layer: the layer of Keras that it is.
        gates: blocks of its kernels, in Keras's order.
        states: tensors in its state.
        blocks: of each block of z, which block of the kernel (with its bias) and which of the recurrent kernel make it;
            the first `gates` are all that depend on x_t, in the kernel's order.
        kept: tensors that a step keeps for the backward pass; u comes on top where phi's slope needs it.
        gate_names: of the kernels' blocks, as tables have them; none of a cell without gates.
        keeper: which of them is the gate that keeps the state; None where there is none.
    """

    keras_layer: Any
    gates: int
    states: int
    blocks: tuple[tuple[int | None, int | None], ...]
    kept: int
    gate_names: tuple[str, ...] = ()
    keeper: int | None = None

    @abstractmethod
    def step(self, phi: Phi, z: tf.Tensor, state: State) -> tuple[State, State]:
        """The next state, and what is kept."""

    @abstractmethod
    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[tf.Tensor, State, State]:
        """The step's backward pass.

        Args:
            given: the gradients for the state after the step by all paths but those inside this step.

        Returns:
            The gradient for z; those for the state before the step, save for what comes through z (None: nothing
            else); the total ones for the state after it.
        """

    @abstractmethod
    def taps(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All pre-activations, gate by gate, and the input u of phi; z may have further leading axes."""


class Simple(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b)."""

    keras_layer, gates, states, blocks, kept = keras.layers.SimpleRNN, 1, 1, ((0, 0),), 0

    def step(self, phi: Phi, z: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        return (phi(z),), () if phi.by_value else (z,)

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[tf.Tensor, State, State]:
        """See `Cell`."""
        return phi.back(after[0], None if phi.by_value else kept[0], given[0]), (None,), given

    def taps(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        return z, z


class LongShortTerm(Cell):
    """c_t = f c_{t-1} + i phi(u), h_t = o phi(c_t), with blocks i, f, u, o of z = W x_t + U h_{t-1} + b.

    The gradient for c_t includes the path through h_t of the same step.
    """

    keras_layer, gates, states, kept = keras.layers.LSTM, 4, 2, 5
    blocks = ((0, 0), (1, 1), (2, 2), (3, 3))
    gate_names, keeper = GATE_GROUPS["lstm"], 1

    def step(self, phi: Phi, z: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        zi, zf, u, zo = tf.split(z, 4, axis=-1)
        i, f, candidate, o = tf.sigmoid(zi), tf.sigmoid(zf), phi(u), tf.sigmoid(zo)
        c = f * state[1] + i * candidate
        out = phi(c)
        kept = (i, f, candidate, o, out)
        return (o * out, c), kept if phi.by_value else (*kept, u)

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[tf.Tensor, State, State]:
        """See `Cell`."""
        i, f, candidate, o, out = kept[:5]
        u, c = (None, None) if phi.by_value else (kept[5], after[1])
        dh, dc = given
        dc = dc + phi.back(out, c, dh * o)
        parts = [
            _back_sigmoid(i, dc * candidate), _back_sigmoid(f, dc * before[1]),
            phi.back(candidate, u, dc * i), _back_sigmoid(o, dh * out),
        ]  # fmt: skip
        return tf.concat(parts, axis=-1), (None, dc * f), (dh, dc)

    def taps(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        return z, tf.split(z, 4, axis=-1)[2]


class Gated(Cell):
    """h_t = z h_{t-1} + (1 - z) phi(u), u = u_x + r u_h, with gates z, r, u.

    u_h, of U h_{t-1} with a bias of its own, is what r multiplies (`reset_after`), so that u's two parts are a block
    each. A positive bias of z remembers.
    """

    keras_layer, gates, states, kept = keras.layers.GRU, 3, 1, 4
    blocks = ((0, 0), (1, 1), (2, None), (None, 2))
    gate_names, keeper = GATE_GROUPS["gru"], 0

    def step(self, phi: Phi, z: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        keep, reset, outer, inner = tf.split(z, 4, axis=-1)
        keep, reset = tf.sigmoid(keep), tf.sigmoid(reset)
        u = outer + reset * inner
        candidate = phi(u)
        kept = (keep, reset, candidate, inner)
        return (candidate + keep * (state[0] - candidate),), kept if phi.by_value else (*kept, u)

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[tf.Tensor, State, State]:
        """See `Cell`."""
        keep, reset, candidate, inner = kept[:4]
        (dh,) = given
        through = dh * keep
        du = phi.back(candidate, None if phi.by_value else kept[4], dh - through)
        parts = [
            _back_sigmoid(keep, dh * (before[0] - candidate)), _back_sigmoid(reset, du * inner), du, du * reset,
        ]  # fmt: skip
        return tf.concat(parts, axis=-1), (through,), given

    def taps(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        keep, reset, outer, inner = tf.split(z, 4, axis=-1)
        u = outer + tf.sigmoid(reset) * inner
        return tf.concat([keep, reset, u], axis=-1), u


CELLS: dict[str, Cell] = {"simple": Simple(), "lstm": LongShortTerm(), "gru": Gated()}
