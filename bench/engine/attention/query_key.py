"""What becomes of queries and keys before their product, and of the product before the softmax.

Shapes: R runs, B samples, h heads, T tokens, n numbers a head; queries and keys are [R, B, h, T, n].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from bench.engine.layers import EPSILON
from bench.engine.precision import widened
from bench.factors import Choice

SMALLEST_SQUARE = 1e-12  # of Keras's UnitNormalization
Pair = tuple[tf.Tensor, tf.Tensor]


class Learned(NamedTuple):
    """A number or numbers that a variant learns, the same for all heads of a layer."""

    name: str
    shape: tuple[int, ...]
    start: float


@dataclass(frozen=True)
class QueryKey:
    """A level of `query_key`, as far as queries and keys themselves go.

    Attributes:
        learned: what it learns.
        prepare: of queries, keys and what was learned, one tensor [R, ...] each, what takes their place.
        rescales: whether it has a scale of its own in place of `logit_scale`.
        spectral: whether the query and key kernels are divided by their spectral norms, see `spectral`.
        cap: the largest size of a logit, c of c tanh(l / c); None: as they are.
    """

    learned: tuple[Learned, ...] = ()
    prepare: Callable[[tf.Tensor, tf.Tensor, Sequence[tf.Tensor]], Pair] | None = None
    rescales: bool = False
    spectral: bool = False
    cap: float | None = None


def query_key_of(choice: Choice, width: int, tokens: int) -> QueryKey:
    """What a level of `query_key` does to heads of so many numbers and sequences of so many tokens."""
    if choice.name == "layer_normalized":
        return QueryKey((Learned("query_gain", (width,), 1.0), Learned("key_gain", (width,), 1.0)), _layer_normalized)
    if choice.name == "l2_normalized":
        return QueryKey((Learned("logit_gain", (), first_gain(tokens)),), _l2_normalized, rescales=True)
    if choice.name == "sigma_reparam":
        return QueryKey((Learned("query_kernel_gain", (), 1.0), Learned("key_kernel_gain", (), 1.0)), spectral=True)
    if choice.name == "logit_cap":
        return QueryKey(cap=float(choice.setting("cap")))
    return QueryKey()


def first_gain(tokens: int) -> float:
    """What multiplies the cosines of queries and keys at the start: log2(T^2 - T), and 1 of fewer than 2 tokens.

    Source: Henry et al. 2020 (arXiv:2010.04245), section 3.
    """
    return math.log2(tokens**2 - tokens) if tokens > 1 else 1.0


def _layer_normalized(q: tf.Tensor, k: tf.Tensor, gains: Sequence[tf.Tensor]) -> Pair:
    """Queries and keys become gain (x - mean) / sqrt(variance + epsilon) in each head, which share the gain.

    Source: Dehghani et al. 2023 (arXiv:2302.05442), section 2; Keras's `LayerNormalization(center=False)`.
    """
    each = []
    for x, gain in zip((q, k), gains, strict=True):
        wide = widened(x)
        centred = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        ready = centred * tf.math.rsqrt(variance + EPSILON) * widened(gain)[:, None, None, None]
        each.append(tf.cast(ready, x.dtype))
    return each[0], each[1]


def _l2_normalized(q: tf.Tensor, k: tf.Tensor, gains: Sequence[tf.Tensor]) -> Pair:
    """Queries become g q / |q|, keys k / |k|: the logits are cosines times a learned number.

    Source: Henry et al. 2020 (arXiv:2010.04245); Keras's `UnitNormalization`.
    """
    unit = []
    for wide, numbers in ((widened(x), x.dtype) for x in (q, k)):  # in float16 a vector near 0 would be divided by 0
        square = tf.reduce_sum(tf.square(wide), axis=-1, keepdims=True)
        unit.append(tf.cast(wide * tf.math.rsqrt(tf.maximum(square, SMALLEST_SQUARE)), numbers))
    return unit[0] * gains[0][:, None, None, None, None], unit[1]
