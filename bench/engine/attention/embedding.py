"""Where a transformer's stream begins: vectors of tokens, or of steps of features, and of their places.

Shapes: R runs, B samples, T tokens of a sample, V tokens that there are, d the width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bench.engine.precision import widened

PERIOD = 10_000.0  # of the slowest wave, over 2 pi

Weights = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Embedding:
    """The stream's beginning: each token's own vector, or a dense layer of each step's features, and the place's.

    Attributes:
        tokens: V; 0 where samples are sequences of features.
        features: of each step, where samples are no tokens.
        length: T.
        width: d.
        position: a level of the factor.
    """

    tokens: int
    features: int
    length: int
    width: int
    position: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its variables."""
        found: dict[str, tuple[int, ...]] = {"token_embedding": (self.tokens, self.width)}
        if not self.tokens:
            found = {"feature_embedding": (self.features, self.width), "feature_embedding_bias": (self.width,)}
        return found | ({"position_embedding": (self.length, self.width)} if self.position == "learned" else {})

    def forward(self, x: tf.Tensor, weights: Weights, dtype: tf.DType) -> tf.Tensor:
        """The stream [R, B, T, d], in these numbers, of samples [R, B, T] in whole ones, or [R, B, T, features]."""
        weights = {name: tf.cast(each, dtype) for name, each in weights.items()}
        runs, samples = x.shape[:2]
        if self.tokens:
            stream = tf.gather(weights["token_embedding"], x, batch_dims=1)
        else:
            flat = tf.reshape(x, [runs, samples * self.length, self.features])
            stream = tf.matmul(flat, weights["feature_embedding"]) + weights["feature_embedding_bias"][:, None]
            stream = tf.reshape(stream, [runs, samples, self.length, self.width])
        if self.position == "learned":
            return stream + weights["position_embedding"][:, None]
        return stream + tf.cast(waves(self.length, self.width), dtype) if self.position == "sinusoidal" else stream

    def backward(self, x: tf.Tensor, d_stream: tf.Tensor) -> Weights:
        """Its variables' gradients, [R, ...], from that for the stream; the same bit by bit whatever runs beside it."""
        runs = x.shape[0]
        flat = tf.reshape(d_stream, [runs, -1, self.width])
        if self.tokens:  # a sum of each token's rows in their order, as no scattered addition promises
            rows = tf.reshape(x, [runs, -1]) + tf.range(runs)[:, None] * self.tokens
            sums = tf.math.unsorted_segment_sum(
                tf.reshape(widened(flat), [-1, self.width]), tf.reshape(rows, [-1]), runs * self.tokens
            )
            found = {"token_embedding": tf.reshape(sums, [runs, self.tokens, self.width])}
        else:
            features = tf.reshape(x, [runs, -1, self.features])
            found = {
                "feature_embedding": widened(tf.matmul(features, flat, transpose_a=True)),
                "feature_embedding_bias": widened(tf.reduce_sum(flat, axis=1)),
            }
        if self.position == "learned":
            found["position_embedding"] = widened(tf.reduce_sum(d_stream, axis=1))
        return found


def waves(length: int, width: int) -> np.ndarray:
    """Sines and cosines of a place, [length, width]: even units sines, odd ones cosines (Vaswani et al. 2017, 3.5)."""
    unit = np.arange(width)
    angle = np.arange(length)[:, None] / PERIOD ** (2 * (unit // 2) / width)
    return np.where(unit % 2, np.cos(angle), np.sin(angle)).astype(np.float32)
