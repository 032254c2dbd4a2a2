"""A function traced once gives what it gives, whatever its operations wait for."""

from __future__ import annotations

import tensorflow as tf

from bench.engine.lifting import traced_once


def test_what_waits_for_an_argument_alone_needs_no_value_of_it() -> None:
    """Keras's silu makes its slope wait for the gradient it is given: runs failed where they should have diverged."""

    def doubled(x: tf.Tensor, waited_for: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([waited_for]):
            return 2.0 * tf.identity(x)

    assert traced_once(doubled)(tf.constant(3.0), tf.constant(1.0)).numpy() == 6.0
