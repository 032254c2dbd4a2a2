"""Attention of all runs at once, written out: scores, mask, softmax and output, and the way back by hand.

Shapes: R runs, B samples, T tokens, d numbers a token; h heads of n = d / h numbers each, side by side as Keras
flattens them. Scores and weights are [R, B, h, T, T], the last axis the keys.
Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2; it agrees with Keras's `MultiHeadAttention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from bench.engine.attention.query_key import QueryKey
from bench.errors import DataError

# What the way back needs: queries times the scale, keys, values and weights; q and k as given where they are prepared.
Kept = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Heads:
    """The heads of a layer.

    Attributes:
        count: how many there are.
        scale: what multiplies the product of a query and a key.
        visible: whether a query (first axis) sees a key, [T, T]; None: each sees all.
        query_key: what becomes of queries, keys and their product.

    Raises:
        DataError: a query sees no key.
    """

    count: int
    scale: float
    visible: np.ndarray | None = None
    query_key: QueryKey = field(default_factory=QueryKey)

    def __post_init__(self) -> None:
        if self.visible is not None and not self.visible.any(axis=1).all():
            blind = int(np.flatnonzero(~self.visible.any(axis=1))[0])
            raise DataError(f"the query at position {blind} sees no key: its weights would be 0 / 0.")

    def attend(
        self, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, learned: Sequence[tf.Tensor] = ()
    ) -> tuple[tf.Tensor, Kept]:
        """What the tokens are given, [R, B, T, d], of their queries, keys and values, [R, B, T, d] each.

        Args:
            learned: of each of `query_key.learned` one tensor [R, ...].
        """
        q, k, v = (self._split(each) for each in (q, k, v))
        given = () if self.query_key.prepare is None else (q, k)
        if self.query_key.prepare is not None:
            q, k = self.query_key.prepare(q, k, learned)
        q = q if self.query_key.rescales else q * self.scale
        weights = tf.nn.softmax(self._seen(self._capped(tf.matmul(q, k, transpose_b=True))))
        return self._joined(tf.matmul(weights, v)), (q, k, v, weights, *given)

    def back(
        self, kept: Kept, out: tf.Tensor, learned: Sequence[tf.Tensor] = ()
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """From the gradient for what `attend` gave, [R, B, T, d], to those for q, k, v and for what is learned.

        With weights w = softmax(l), dl = w (dw - sum over keys of w dw).
        """
        q, k, v, weights = kept[:4]
        out = self._split(out)
        d_v = tf.matmul(weights, out, transpose_a=True)
        d_logits = weights * tf.matmul(out, v, transpose_b=True)
        d_logits -= weights * tf.reduce_sum(d_logits, axis=-1, keepdims=True)
        cap = self.query_key.cap
        if cap is not None:
            d_logits *= 1.0 - tf.square(tf.tanh(tf.matmul(q, k, transpose_b=True) / cap))
        d_q, d_k = tf.matmul(d_logits, k), tf.matmul(d_logits, q, transpose_a=True)
        d_q = d_q if self.query_key.rescales else d_q * self.scale
        d_learned: list[tf.Tensor] = []
        if self.query_key.prepare is not None:
            given, gains = list(kept[4:]), list(learned)
            with tf.GradientTape() as tape:
                tape.watch([given, gains])
                ready = self.query_key.prepare(given[0], given[1], gains)
            (d_q, d_k), d_learned = tape.gradient(ready, [given, gains], [d_q, d_k])
        return [self._joined(each) for each in (d_q, d_k, d_v)], d_learned

    def scores(self, kept: Kept) -> tf.Tensor:
        """Products of queries and keys times the scale, before cap and mask, [R, B, h, T, T]."""
        return tf.matmul(kept[0], kept[1], transpose_b=True)

    def logits(self, kept: Kept) -> tf.Tensor:
        """What the softmax is taken of, [R, B, h, T, T]."""
        return self._seen(self._capped(self.scores(kept)))

    def _capped(self, scores: tf.Tensor) -> tf.Tensor:
        cap = self.query_key.cap
        return scores if cap is None else cap * tf.tanh(scores / cap)

    def _seen(self, logits: tf.Tensor) -> tf.Tensor:
        return logits if self.visible is None else tf.where(self.visible, logits, logits.dtype.min)

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """From [R, B, T, d] to [R, B, h, T, n]."""
        runs, samples, tokens, wide = x.shape
        return tf.transpose(tf.reshape(x, [runs, samples, tokens, self.count, wide // self.count]), [0, 1, 3, 2, 4])

    def _joined(self, x: tf.Tensor) -> tf.Tensor:
        """From [R, B, h, T, n] to [R, B, T, d]."""
        runs, samples, _, tokens, wide = x.shape
        return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4]), [runs, samples, tokens, self.count * wide])


def causal(tokens: int) -> np.ndarray:
    """Whether a query sees a key where it sees itself and what came before, [T, T]."""
    return np.tri(tokens, dtype=bool)
