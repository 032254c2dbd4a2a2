"""Forward and backward through a stage, all runs at once, with one traced loop body however deep the stage.

Shapes: R runs, B samples, N blocks in a stage. Signals are [R, B, units]; a stage's weights are [N, R, ...].
The carry from block to block is (s, h): the stream that a skip connection adds, and what the next layer reads.
Networks without skip connections carry no stream, and nothing pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from bench.engine.blocks import Layer, Stage
from bench.engine.signal import Watch, measure_signal
from bench.engine.stacks import LayerStack

Carry = tuple[tf.Tensor | None, tf.Tensor]
Arrays = list[tf.TensorArray]


def vectorize(function: Callable[..., Any], *args: Any) -> Any:
    """Apply a function of one run along the leading axis of every tensor in `args`."""
    return tf.vectorized_map(lambda packed: function(*packed), args)


def repeat(count: int, body: Callable[..., Any], start: Sequence[Any], *, backward: bool = False) -> Any:
    """Run `body(i, *carried)` for each block; a single block needs no loop, and may change shapes."""
    if count == 1:
        return body(tf.constant(0), *start)

    def turn(k: Any, carried: Any) -> Any:
        return k + 1, body(count - 1 - k if backward else k, *carried)

    _, carried = tf.while_loop(lambda k, _: k < count, turn, (0, tuple(start)), maximum_iterations=count)
    return carried


def read(arrays: Any, i: tf.Tensor) -> Any:
    """Entry i of every array in a structure."""
    return tf.nest.map_structure(lambda array: array.read(i), arrays)


def write(arrays: Sequence[tf.TensorArray], i: tf.Tensor, values: Sequence[tf.Tensor]) -> Arrays:
    """The arrays with `values` at entry i."""
    return [array.write(i, value) for array, value in zip(arrays, values, strict=True)]


def empty(count: int, how_many: int) -> Arrays:
    """Arrays with room for one tensor a block."""
    return [tf.TensorArray(tf.float32, count, clear_after_read=False) for _ in range(how_many)]


def unstacked(stack: LayerStack) -> tuple[Arrays, Arrays, Arrays]:
    """A layer's variables as arrays with one entry a block; entries are views, not copies."""
    return tuple(
        [
            tf.TensorArray(tf.float32, v.shape[0], element_shape=v.shape[1:], clear_after_read=False).unstack(v.value)
            for v in variables
        ]
        for variables in (stack.affine, stack.response, stack.state)
    )  # type: ignore[return-value]


@dataclass
class Saved:
    """What the forward pass keeps for the backward pass, for each layer of the block: h below it, and z."""

    h: list[tf.TensorArray]
    z: list[tf.TensorArray]
    stream: list[tf.TensorArray]  # the stream that entered each block; empty without skip connections


@dataclass
class StageGradients:
    """Gradients of the mean loss in one stage.

    Attributes:
        weights: for each layer of the block its trainable variables' gradients, [N, R, ...].
        preactivation, activation: sums of squares of the gradient for s and phi over samples and units,
            [N * layers, R] from the input on; zeros when they were not asked for.
        correlation: `class_pair_correlation` of the gradient for s, of the same shape.
    """

    weights: list[list[tf.Tensor]]
    preactivation: tf.Tensor
    activation: tf.Tensor
    correlation: tf.Tensor


@dataclass
class StagePass:
    """The passes through one stage. `streamed` says whether the network has skip connections anywhere."""

    stage: Stage
    stacks: list[LayerStack]
    streamed: bool

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Saved]:
        """Through the stage; in training mode its state (moving averages) is updated."""
        layers, count = self.stage.block.layers, self.stage.count
        weights = [unstacked(stack) for stack in self.stacks]

        def body(i: Any, s: Any, h: Any, kept: Any, states: Any) -> Any:
            entered, hs, zs, new_states = s, [], [], []
            for layer, arrays, state_arrays in zip(layers, weights, states, strict=True):
                hs.append(h)
                z, s, h, state = vectorize(forward_layer(layer, training), *_inputs(layer, read(arrays, i), h, entered))
                zs.append(z)
                new_states.append(write(state_arrays, i, state))
            if training:
                entering = [entered] if self.stage.block.skips else []
                kept = [write(arrays, i, values) for arrays, values in zip(kept, (hs, zs, entering), strict=True)]
            return (s if self.streamed else h), h, kept, new_states

        sizes = (len(layers), len(layers), int(self.stage.block.skips)) if training else (0, 0, 0)
        kept = [empty(count, size) for size in sizes]
        states = [empty(count, len(stack.state)) for stack in self.stacks]
        s, h = carry
        s, h, kept, states = repeat(count, body, (h if s is None else s, h, kept, states))
        if training:
            for stack, arrays in zip(self.stacks, states, strict=True):
                for variable, array in zip(stack.state, arrays, strict=True):
                    variable.assign(tf.ensure_shape(array.stack(), variable.shape))
        return ((s if self.streamed else None), h), Saved(*kept)

    def backward(self, saved: Saved, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """From the gradients for the carry that left the stage to those for the carry that entered it.

        Args:
            ends: gradients of the loss for (s, h) after the stage; s is None without skip connections.
            watch: whether the signal's gradients are measured; what is measured is zeros otherwise.
        """
        layers, count = self.stage.block.layers, self.stage.count
        weights = [unstacked(stack) for stack in self.stacks]

        def body(i: Any, ds: Any, dh: Any, found: Any, sums: Any) -> Any:
            found, sums = list(found), list(sums)
            leaving: list[Any] = [ds] if self.streamed else []
            for j in reversed(range(len(layers))):
                args = _inputs(layers[j], read(weights[j], i), saved.h[j].read(i), read(saved.stream, i))
                dh, grads, signal, entering = vectorize(
                    backward_layer(layers[j]), *args, saved.z[j].read(i), dh, leaving
                )
                found[j] = write(found[j], i, grads)
                sums[j] = sums[j].write(i, measure_signal(signal, watch))
                leaving = []
                if layers[j].takes_stream:
                    ds = entering[0]
            if self.streamed and not self.stage.block.skips:
                ds = tf.zeros_like(dh)  # what entered as a stream went no further than this stage's first layer
            return ds, dh, found, sums

        found = [empty(count, len(stack.trainable)) for stack in self.stacks]
        sums = [tf.TensorArray(tf.float64, count) for _ in layers]
        ds, dh = ends
        ds, dh, found, sums = repeat(count, body, (dh if ds is None else ds, dh, found, sums), backward=True)
        gradients = [[array.stack() for array in arrays] for arrays in found]
        stacked = tf.stack([array.stack() for array in sums], axis=1)  # [N, layers, 3, R]
        flat = tf.reshape(stacked, [count * len(layers), 3, -1])
        return ((ds if self.streamed else None), dh), StageGradients(gradients, *tf.unstack(flat, 3, axis=1))


def _inputs(layer: Layer, weights: Any, h: Any, stream: Any) -> tuple[Any, ...]:
    stream = list(stream) if isinstance(stream, list | tuple) else [stream]
    return (*weights, h, stream if layer.takes_stream else [])


def forward_layer(layer: Layer, training: bool) -> Callable[..., Any]:
    """One layer for one run: (weights, state, h, [stream]) to z, the next stream, the next h and the new state."""

    def forward(affine: Any, response: Any, state: Any, h: Any, stream: Any) -> Any:
        z, _ = layer.affine.stateless_call(affine, [], h)
        (_, _, _, h, leaving), new_state = respond(layer, (response, state), [z, *stream], training)
        return z, leaving, h, new_state

    return forward


def backward_layer(layer: Layer) -> Callable[..., Any]:
    """One layer's backward pass for one run, from the saved z.

    It maps (weights, state, h below, [stream], z, gradient for h above, [gradient for the stream above]) to the
    gradients for h below, for the trainable variables, for (s, phi), and for [stream].
    """

    def backward(affine: Any, response: Any, state: Any, h: Any, stream: Any, z: Any, dh: Any, ds: Any) -> Any:  # noqa: PLR0913
        with tf.GradientTape() as tape:
            tape.watch([z, stream, response])
            (s, _, phi, above, leaving), _ = respond(layer, (response, state), [z, *stream], True)
        sources = {"z": z, "response": list(response), "signal": [s, phi], "stream": list(stream)}
        zero = tf.UnconnectedGradients.ZERO
        found = tape.gradient([above, *([leaving] if ds else [])], sources, [dh, *ds], unconnected_gradients=zero)
        with tf.GradientTape() as tape:
            tape.watch([h, affine])
            z_again, _ = layer.affine.stateless_call(affine, [], h)
        below, d_affine = tape.gradient(z_again, [h, list(affine)], found["z"], unconnected_gradients=zero)
        return below, [*d_affine, *found["response"]], found["signal"], found["stream"]

    return backward


def respond(layer: Layer, variables: tuple[Any, Any], inputs: list[Any], training: bool) -> Any:
    """The response model for one run: (s, u, phi, h, the stream that leaves), and its new state."""
    response, state = variables
    given = inputs if len(inputs) > 1 else inputs[0]
    return layer.response.stateless_call(list(response), list(state), given, training=training)
