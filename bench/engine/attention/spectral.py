"""Kernels of a given spectral norm: W becomes gain W / sigma(W), sigma followed by one power iteration a step.

Shapes: R runs, N blocks; a kernel is [R, n, m], a direction, near its first left singular vector, [R, n].
Source: Zhai et al. 2023 (arXiv:2303.06296), algorithm 1, with the gradient through sigma as in Miyato et al. 2018
(arXiv:1802.05957): singular vectors are taken as given, so that d sigma / dW = u v'. Both begin with a random vector;
here it is iterated at the start until sigma is right, so that the first step's logits are what the gain says.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bench.engine.precision import widened

FIRST_ITERATIONS = 100
SMALLEST = 1e-12


def followed(kernel: tf.Tensor, direction: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One power iteration: the next left singular vector [R, n], and the right one [R, m]."""
    right = _unit(tf.matmul(kernel, direction[..., None], transpose_a=True))
    return _unit(tf.matmul(kernel, right))[..., 0], right[..., 0]


def with_norm(kernel: tf.Tensor, gain: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
    """The kernel that a layer multiplies by, gain [R] over sigma times its own; singular vectors have no gradient."""
    numbers = kernel.dtype
    kernel, gain, direction = widened(kernel), widened(gain), widened(direction)
    left, right = (tf.stop_gradient(each) for each in followed(kernel, direction))
    sigma = tf.reduce_sum(left * tf.matmul(kernel, right[..., None])[..., 0], axis=-1)
    return tf.cast(kernel * (gain / tf.maximum(sigma, SMALLEST))[:, None, None], numbers)


def first_directions(kernels: np.ndarray) -> np.ndarray:
    """First left singular vectors of kernels [..., n, m], from the same vector in each, [..., n]."""
    wide = kernels.astype(np.float64)
    left = np.ones((*wide.shape[:-1], 1))
    for _ in range(FIRST_ITERATIONS):
        left = wide @ (np.swapaxes(wide, -1, -2) @ left)
        left /= np.maximum(np.linalg.norm(left, axis=-2, keepdims=True), SMALLEST)
    return left[..., 0].astype(np.float32)


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors [R, n, 1] over their lengths."""
    return vectors / tf.maximum(tf.norm(vectors, axis=1, keepdims=True), SMALLEST)
