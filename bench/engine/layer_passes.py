"""Forward and backward through one layer of two Keras models, for all runs.

Each is traced once for a layer: cohorts whose layers are the same objects (see `architectures.mlp`) share it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from bench.engine.blocks import Layer
from bench.engine.lifting import one_by_one, traced_once, vectorize
from bench.engine.signal import look, look_by_position

if TYPE_CHECKING:
    from bench.engine.passes import Watch


@lru_cache(maxsize=128)
def lifted_forward(layer: Layer, training: bool) -> Callable[..., Any]:
    """`forward_layer`, traced once."""
    return traced_once(forward_layer(layer, training))


@lru_cache(maxsize=128)
def lifted_backward(layer: Layer, placed: bool = False) -> Callable[..., Any]:
    """`backward_layer`, with what is found in its signal, and where it is `placed`, position by position."""

    def run(given: Any, watch: Watch) -> Any:
        below, gradients, signal, stream, s = backward_layer(layer)(*given)
        found = look(signal, watch.measure, watch.member)
        if placed:
            found.append(look_by_position(s, signal[0], watch.positions))
        return below, gradients, found, stream

    return traced_once(run)


@lru_cache(maxsize=128)
def lifted_look(layer: Layer, of: Callable[..., tf.Tensor]) -> Callable[..., Any]:
    """A layer for all runs, traced once: (its variables, h, [stream]) to the next h and stream, and what `of` says."""

    def taps(response: Any, state: Any, z: Any, stream: Any) -> Any:
        return respond(layer, (response, state), [z, *stream], True)[0]

    def run(affine: Any, response: Any, state: Any, h: Any, stream: Any) -> Any:
        pre, u, phi, h, s = vectorize(taps, response, state, preactivations(layer, affine, h), stream)
        return h, s, of(pre, u, phi)

    return traced_once(run)


def tapped(layer: Layer) -> Callable[..., Any]:
    """The response for one run again: (response, state, [z, stream]) to s, u, phi, h and dh/dz."""

    def taps(response: Any, state: Any, inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs[0])
            (*forward, _), _ = respond(layer, (response, state), list(inputs), True)
        return [*forward, tape.gradient(forward[-1], inputs[0], unconnected_gradients=tf.UnconnectedGradients.ZERO)]

    return taps


def forward_layer(layer: Layer, training: bool) -> Callable[..., Any]:
    """One layer for all runs: (weights, state, h, [stream]) to z, the next stream, the next h and the new state."""

    def of_run(response: Any, state: Any, z: Any, stream: Any) -> Any:
        (_, _, _, h, leaving), new_state = respond(layer, (response, state), [z, *stream], training)
        return leaving, h, new_state

    def forward(affine: Any, response: Any, state: Any, h: Any, stream: Any) -> Any:
        z = preactivations(layer, affine, h)
        return z, *vectorize(of_run, response, state, z, stream)

    return forward


def backward_layer(layer: Layer) -> Callable[..., Any]:
    """One layer's backward pass for all runs, from the saved z.

    It maps (weights, state, h below, [stream], z, gradient for h above, [gradient for the stream above]) to the
    gradients for h below, for the trainable variables, for (s, phi), and for [stream], and to s.
    """

    def of_response(response: Any, state: Any, stream: Any, z: Any, dh: Any, ds: Any) -> Any:  # noqa: PLR0913
        with tf.GradientTape() as tape:
            tape.watch([z, stream, response])
            (s, _, phi, above, leaving), _ = respond(layer, (response, state), [z, *stream], True)
        sources = {"z": z, "response": list(response), "signal": [s, phi], "stream": list(stream)}
        zero = tf.UnconnectedGradients.ZERO
        found = tape.gradient([above, *([leaving] if ds else [])], sources, [dh, *ds], unconnected_gradients=zero)
        return found, s

    def of_affine(affine: Any, h: Any, dz: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([h, affine])
            z = preactivation(layer, affine, h)
        return tape.gradient(z, [h, list(affine)], dz, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def backward(affine: Any, response: Any, state: Any, h: Any, stream: Any, z: Any, dh: Any, ds: Any) -> Any:  # noqa: PLR0913
        found, s = vectorize(of_response, response, state, stream, z, dh, ds)
        like = tf.nest.map_structure(lambda each: tf.TensorSpec(each.shape[1:], each.dtype), [h, list(affine)])
        below, d_affine = _over_runs(layer, of_affine, like, affine, h, found["z"])
        return below, [*d_affine, *found["response"]], found["signal"], found["stream"], s

    return backward


def preactivations(layer: Layer, affine: Any, h: tf.Tensor) -> tf.Tensor:
    """What a layer's affine half makes of h in all runs, [R, B, ...]; its variables are [R, ...]."""
    like = tf.TensorSpec([h.shape[1], *layer.affine.output_shape[1:]], layer.affine.compute_dtype)
    return _over_runs(layer, partial(preactivation, layer), like, affine, h)


def preactivation(layer: Layer, affine: Any, h: tf.Tensor) -> tf.Tensor:
    """The same of one run, in the numbers in which its layers compute."""
    return tf.cast(layer.affine.stateless_call(affine, [], h)[0], layer.affine.compute_dtype)


def _over_runs(layer: Layer, function: Callable[..., Any], like: Any, *args: Any) -> Any:
    return one_by_one(function, like, *args) if layer.convolves else vectorize(function, *args)


def respond(layer: Layer, variables: tuple[Any, Any], inputs: list[Any], training: bool) -> Any:
    """The response model for one run: (s, u, phi, h, the stream that leaves), like z, and its new state."""
    response, state = variables
    given = inputs if len(inputs) > 1 else inputs[0]
    found, new_state = layer.response.stateless_call(list(response), list(state), given, training=training)
    return [tf.cast(each, inputs[0].dtype) for each in found], new_state
