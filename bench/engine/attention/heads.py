"""Attention of all runs at once, written out: scores, mask, softmax and output, and the way back by hand.

Shapes: R runs, B samples, T tokens, d numbers a token; h heads of n = d / h units each, side by side as Keras
flattens them. Queries, keys and values are [R, B * T, d]; scores and weights [R, B, h, T, T], the last axis the keys.
Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2; it agrees with Keras's `MultiHeadAttention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from bench.engine.attention.query_key import QueryKey
from bench.errors import DataError

Mask = tuple[tuple[bool, ...], ...]
# What the way back needs: queries times the scale, keys, values and weights; q and k as given where they are prepared.
Kept = tuple[tf.Tensor, ...]


@dataclass(frozen=True)
class Heads:
    """What attention depends on beside its inputs.

    Attributes:
        count: how many heads there are.
        length: T.
        visible: whether a query (first) sees a key, T x T; empty: each sees all.
        inverse: whether logits are scaled by 1 / n; by 1 / sqrt(n) otherwise.
        query_key: what becomes of queries, keys and their product.

    Raises:
        DataError: a query sees no key.
    """

    count: int
    length: int
    visible: Mask = ()
    inverse: bool = False
    query_key: QueryKey = field(default_factory=QueryKey)

    def __post_init__(self) -> None:
        blind = [place for place, keys in enumerate(self.visible) if not any(keys)]
        if blind:
            raise DataError(
                f"the token at place {blind[0]} sees no key, so that its weights are 0 / 0: let it see itself."
            )

    @property
    def seen(self) -> np.ndarray:
        """Whether a query sees a key, [T, T]."""
        return np.array(self.visible) if self.visible else np.ones((self.length, self.length), bool)


def causal(length: int) -> Mask:
    """What a token sees that sees itself and those before it."""
    return tuple(tuple(bool(key <= query) for key in range(length)) for query in range(length))


def attend(
    heads: Heads, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, learned: Sequence[tf.Tensor] = ()
) -> tuple[tf.Tensor, Kept]:
    """What the heads say, [R, B * T, d], of queries, keys and values.

    Args:
        learned: of each of `query_key.learned` one tensor [R, ...].
    """
    q, k, v = (_apart(heads, each) for each in (q, k, v))
    given: Kept = ()
    prepare = heads.query_key.prepare
    if prepare is not None:
        given, (q, k) = (q, k), prepare(q, k, learned)
    if not heads.query_key.rescales:
        q = q * _scale(heads, q)
    weights = tf.nn.softmax(_masked(heads, _capped(heads, tf.matmul(q, k, transpose_b=True))))
    return _together(tf.matmul(weights, v)), (q, k, v, weights, *given)


def attend_back(
    heads: Heads, kept: Kept, given: tf.Tensor, learned: Sequence[tf.Tensor] = ()
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """From the gradient for what the heads say, [R, B * T, d], to those for q, k, v and for what is learned.

    With weights w = softmax(l), dl = w (dw - sum over keys of w dw).
    """
    q, k, v, weights = kept[:4]
    given = _apart(heads, given)
    d_v = tf.matmul(weights, given, transpose_a=True)
    d_logits = weights * tf.matmul(given, v, transpose_b=True)
    d_logits -= weights * tf.reduce_sum(d_logits, axis=-1, keepdims=True)
    if heads.query_key.cap is not None:
        d_logits *= 1.0 - tf.square(tf.tanh(scores(kept) / heads.query_key.cap))
    d_q, d_k = tf.matmul(d_logits, k), tf.matmul(d_logits, q, transpose_a=True)
    if not heads.query_key.rescales:
        d_q = d_q * _scale(heads, q)
    d_learned: list[tf.Tensor] = []
    if heads.query_key.prepare is not None:
        sources, gains = list(kept[4:]), list(learned)
        with tf.GradientTape() as tape:
            tape.watch([sources, gains])
            ready = heads.query_key.prepare(sources[0], sources[1], gains)
        (d_q, d_k), d_learned = tape.gradient(ready, [sources, gains], [d_q, d_k])
    return [_together(each) for each in (d_q, d_k, d_v)], d_learned


def products(kept: Kept) -> tf.Tensor:
    """Queries, keys and values as the kernels make them, side by side, [R, B, h, T, 3 n]."""
    q, k = kept[4:] or kept[:2]
    return tf.concat([q, k, kept[2]], axis=-1)


def scores(kept: Kept) -> tf.Tensor:
    """Products of queries and keys times the scale, before cap and mask, [R, B, h, T, T]."""
    return tf.matmul(kept[0], kept[1], transpose_b=True)


def logits(heads: Heads, kept: Kept) -> tf.Tensor:
    """What the softmax is taken of, [R, B, h, T, T]."""
    return _masked(heads, _capped(heads, scores(kept)))


def _scale(heads: Heads, q: tf.Tensor) -> float:
    units = float(q.shape[-1])
    return 1.0 / units if heads.inverse else units**-0.5


def _capped(heads: Heads, products: tf.Tensor) -> tf.Tensor:
    cap = heads.query_key.cap
    return products if cap is None else cap * tf.tanh(products / cap)


def _masked(heads: Heads, products: tf.Tensor) -> tf.Tensor:
    return tf.where(heads.seen, products, products.dtype.min) if heads.visible else products


def _apart(heads: Heads, x: tf.Tensor) -> tf.Tensor:
    """From [R, B * T, d] to [R, B, h, T, n]."""
    runs, tokens, width = x.shape
    split = [runs, tokens // heads.length, heads.length, heads.count, width // heads.count]
    return tf.transpose(tf.reshape(x, split), [0, 1, 3, 2, 4])


def _together(x: tf.Tensor) -> tf.Tensor:
    """From [R, B, h, T, n] to [R, B * T, d]."""
    runs, samples, count, length, units = x.shape
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4]), [runs, samples * length, count * units])
