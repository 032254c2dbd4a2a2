"""One time step of Keras's recurrent cells and its derivative, for all runs at once.

Shapes: R runs, B samples, n units, g blocks of a kernel in Keras's own order. `inputs` is W x_t with its bias, `inner`
is U h_{t-1} with its bias where the cell has a second one, each [R, B, g n]. A state is a tuple of tensors [R, B, n],
of which the first is h. Gates are sigmoids, as Keras's `recurrent_activation` is by default.

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
    def kept(self) -> tuple[int, ...]:
        """What the slope needs beside the value: u, a block of n units, or nothing."""
        return () if self.name in _KNOWN else (1,)

    def slope(self, value: tf.Tensor, u: tf.Tensor | None) -> tf.Tensor:
        """The derivative at u, where the activation is `value`; u may be None where nothing needs it."""
        if u is None:
            return _KNOWN[self.name][1](value)
        with tf.GradientTape() as tape:
            tape.watch(u)
            again = self.function(u)
        return tape.gradient(again, u, unconnected_gradients=tf.UnconnectedGradients.ZERO)


_KNOWN: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], Callable[[tf.Tensor], tf.Tensor]]] = {
    "tanh": (tf.tanh, lambda value: 1.0 - value * value),
    "relu": (tf.nn.relu, lambda value: tf.cast(value > 0.0, value.dtype)),
    "linear": (tf.identity, tf.ones_like),
}


class Cell(ABC):
    """A cell of the catalogue.

    Attributes:
        keras_layer: the layer of Keras that it is.
        gates: blocks of its kernels.
        states: tensors in its state.
        kept: of each tensor that a step keeps for the backward pass, the blocks of n units; u comes on top where the
            activation's slope needs it.
    """

    keras_layer: Any
    gates: int
    states: int
    kept: tuple[int, ...]

    @abstractmethod
    def step(self, phi: Phi, inputs: tf.Tensor, inner: tf.Tensor, state: State) -> tuple[State, State]:
        """The next state, and what is kept."""

    @abstractmethod
    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[Any, Any, Any, State]:
        """The step's backward pass.

        Args:
            given: the gradients for the state after the step by all paths but those inside this step.

        Returns:
            The gradients for `inputs` and for `inner` (None: the same); those for the state before the step, save for
            what comes through `inner` (None: nothing else); the total ones for the state after it.
        """

    @abstractmethod
    def taps(self, inputs: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All pre-activations z, and the input u of phi among them; tensors may have further leading axes."""


class Simple(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b)."""

    keras_layer, gates, states, kept = keras.layers.SimpleRNN, 1, 1, ()

    def step(self, phi: Phi, inputs: tf.Tensor, inner: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        z = inputs + inner
        return (phi(z),), (z,) if phi.kept else ()

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[Any, Any, Any, State]:
        """See `Cell`."""
        return given[0] * phi.slope(after[0], kept[0] if phi.kept else None), None, (None,), given

    def taps(self, inputs: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        z = inputs + inner
        return z, z


class LongShortTerm(Cell):
    """c_t = f c_{t-1} + i phi(u), h_t = o phi(c_t), with blocks i, f, u, o of z = W x_t + U h_{t-1} + b.

    The gradient for c_t includes the path through h_t of the same step.
    """

    keras_layer, gates, states, kept = keras.layers.LSTM, 4, 2, (4, 1)

    def step(self, phi: Phi, inputs: tf.Tensor, inner: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        zi, zf, u, zo = tf.split(inputs + inner, 4, axis=-1)
        i, f, candidate, o = tf.sigmoid(zi), tf.sigmoid(zf), phi(u), tf.sigmoid(zo)
        c = f * state[1] + i * candidate
        out = phi(c)
        kept = (tf.concat([i, f, candidate, o], axis=-1), out)
        return (o * out, c), (*kept, u) if phi.kept else kept

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[Any, Any, Any, State]:
        """See `Cell`."""
        i, f, candidate, o = tf.split(kept[0], 4, axis=-1)
        out, u, c = (*kept[1:], after[1]) if phi.kept else (kept[1], None, None)
        dh, dc = given
        dc = dc + dh * o * phi.slope(out, c)
        parts = [
            dc * candidate * i * (1.0 - i), dc * before[1] * f * (1.0 - f),
            dc * i * phi.slope(candidate, u), dh * out * o * (1.0 - o),
        ]  # fmt: skip
        return tf.concat(parts, axis=-1), None, (None, dc * f), (dh, dc)

    def taps(self, inputs: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        z = inputs + inner
        return z, tf.split(z, 4, axis=-1)[2]


class Gated(Cell):
    """h_t = z h_{t-1} + (1 - z) phi(u), u = u_x + r u_h, with blocks z, r, u.

    u_h, of U h_{t-1} with a bias of its own, is what r multiplies (`reset_after`). A positive bias of z remembers.
    """

    keras_layer, gates, states, kept = keras.layers.GRU, 3, 1, (3, 1)

    def step(self, phi: Phi, inputs: tf.Tensor, inner: tf.Tensor, state: State) -> tuple[State, State]:
        """See `Cell`."""
        xz, xr, xu = tf.split(inputs, 3, axis=-1)
        hz, hr, hu = tf.split(inner, 3, axis=-1)
        z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        u = xu + r * hu
        candidate = phi(u)
        kept = (tf.concat([z, r, candidate], axis=-1), hu)
        return (z * state[0] + (1.0 - z) * candidate,), (*kept, u) if phi.kept else kept

    def back(self, phi: Phi, kept: State, before: State, after: State, given: State) -> tuple[Any, Any, Any, State]:
        """See `Cell`."""
        z, r, candidate = tf.split(kept[0], 3, axis=-1)
        (dh,) = given
        dz = dh * (before[0] - candidate) * z * (1.0 - z)
        du = dh * (1.0 - z) * phi.slope(candidate, kept[2] if phi.kept else None)
        dr = du * kept[1] * r * (1.0 - r)
        return tf.concat([dz, dr, du], axis=-1), tf.concat([dz, dr, du * r], axis=-1), (dh * z,), given

    def taps(self, inputs: tf.Tensor, inner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Cell`."""
        xz, xr, xu = tf.split(inputs, 3, axis=-1)
        hz, hr, hu = tf.split(inner, 3, axis=-1)
        u = xu + tf.sigmoid(xr + hr) * hu
        return tf.concat([xz + hz, xr + hr, u], axis=-1), u


CELLS: dict[str, Cell] = {"simple": Simple(), "lstm": LongShortTerm(), "gru": Gated()}
