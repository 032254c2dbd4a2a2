"""What looks at a tensor's gradient in TensorFlow while a step is traced."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def tap(tensor: tf.Tensor, seen: Callable[[tf.Tensor], None]) -> tf.Tensor:
    """The same tensor, of whose gradient `seen` is told in the backward pass that there is anyway."""

    @tf.custom_gradient
    def same(given: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def backward(gradient: tf.Tensor) -> tf.Tensor:
            seen(gradient)
            return gradient

        return tf.identity(given), backward

    return same(tensor)


def graph_now() -> object:
    """What tensors that are made now belong to: a graph, or None where they are computed at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
