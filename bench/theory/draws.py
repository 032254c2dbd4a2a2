"""Single draws of the walks of finite networks: correlated factors, means over samples, the gradient at the head."""

from __future__ import annotations

import numpy as np

from bench.theory.activations import Array
from bench.theory.description import DenseNetwork
from bench.theory.likeness import LEAST
from bench.theory.noise import Covariance
from bench.theory.response import Response
from bench.theory.trajectory import LayerState


def log_mean(logs: Array) -> Array:
    """Natural logarithm of of the mean over samples, from logarithms [depth, networks, samples]."""
    top = logs.max(axis=2, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(logs - top).mean(axis=2)) + top[..., 0]
    return found


def softmax_gradients(
    network: DenseNetwork, last: Response, square: Array, draw: np.random.Generator
) -> tuple[Array, Array]:
    """Logits, and the gradient of the cross-entropy for them, [networks, samples, classes].

    Args:
        network, last: the network, and the response of its last hidden layer.
        draw: for the logits.
        square: mean square of h, [networks, samples].
    """
    classes = network.classes
    weight = network.head.settled(square.mean(axis=1, keepdims=True), network.bias_variance)
    cosine = float(np.clip(np.nan_to_num(last.product / max(last.square, LEAST)), 0.0, 1.0))
    drawn = np.sqrt(cosine) * draw.standard_normal((len(square), 1, classes))
    drawn = drawn + np.sqrt(1.0 - cosine) * draw.standard_normal((*square.shape, classes))
    logits = np.sqrt(weight * square + network.bias_variance)[..., None] * drawn
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    samples = np.arange(square.shape[1])
    shares[:, samples, samples % classes] -= 1.0
    return logits, shares


def joint_noise(part: Covariance, width: int, normal: Array) -> tuple[Array, Array]:
    """Natural logarithm of of two factors of mean 1 with that covariance over the width, from two standard normals."""
    forward, backward = part.forward / width, part.backward / width
    lean = part.both / part.forward if part.forward > 1e-12 else 0.0
    rest = max(part.backward - lean * part.both, 0.0) / width
    ahead = np.sqrt(forward) * normal[0]
    return ahead - 0.5 * forward, lean * ahead + np.sqrt(rest) * normal[1] - 0.5 * max(backward, 0.0)


def read_below(layer: LayerState, bias_variance: float) -> float:
    """Mean square of what the layer reads, in the limit."""
    if layer.weight_variance <= 0.0:
        return 0.0
    return max(layer.branch - bias_variance, 0.0) / layer.weight_variance
