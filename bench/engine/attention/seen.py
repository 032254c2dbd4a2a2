"""What is measured of each head of an attention layer, for all runs at once: the columns of `attention`.

Shapes: R runs, B samples, h heads, T tokens, d numbers a token.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bench.engine.attention.heads import Heads, Kept, logits, scores
from bench.engine.clipping import variable_norms
from bench.engine.precision import widened

KERNELS = ("query_kernel", "key_kernel", "value_kernel", "output_kernel")


def head_columns(heads: Heads, kept: Kept, gradients: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """`inside.ATTENTION_COLUMNS` of each head, [h, columns, R] in float64.

    A query's entropy is -sum of w ln w over the keys that it sees; its share is that over the logarithm of their
    number, where it sees more than one. Both, and the largest weight, are means over samples and queries. Logits here
    are products of queries and keys times the scale, before cap and mask, over pairs that see each other.
    Source: Zhai et al. 2023 (arXiv:2303.06296) for the entropy; Wortsman et al. 2023 (arXiv:2309.14322) for the logit.

    Args:
        heads: the layer's.
        kept: what `attend` kept.
        gradients: of the loss for the kernels of `KERNELS`, [R, d, d], heads side by side.
    """
    weights, products, visible = widened(kept[3]), widened(scores(kept)), heads.seen
    shares = tf.nn.log_softmax(widened(logits(heads, kept)))
    entropy = -_wide(tf.reduce_sum(tf.math.multiply_no_nan(shares, weights), axis=-1))
    share = visible.sum(axis=1) > 1
    of_share = np.where(share, 1.0 / np.log(np.maximum(visible.sum(axis=1), 2)), 0.0) / max(share.sum(), 1)
    seen = _wide(tf.where(visible, products, 0.0))
    pairs = float(visible.sum()) * weights.shape[1]
    mean = tf.reduce_sum(seen, axis=[1, 3, 4], keepdims=True) / pairs
    spread = tf.reduce_sum(tf.where(visible, tf.square(seen - mean), 0.0), axis=[1, 3, 4]) / pairs
    columns = [
        tf.reduce_mean(entropy, axis=[1, 3]),
        tf.reduce_sum(tf.reduce_mean(entropy, axis=1) * of_share, axis=-1) + (0.0 if share.any() else np.nan),
        _wide(tf.reduce_max(tf.where(visible, products, products.dtype.min), axis=[1, 3, 4])),
        tf.sqrt(spread),
        tf.reduce_mean(_wide(tf.reduce_max(weights, axis=-1)), axis=[1, 3]),
    ]
    return tf.stack([*(tf.transpose(each) for each in columns), *_kernel_norms(heads, gradients)], axis=1)


def _kernel_norms(heads: Heads, gradients: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """The norm of each head's part of each kernel's gradient, [h, R]: columns, and of the output's kernel rows."""
    parts = [
        tf.stack(tf.split(widened(gradients[name]), heads.count, axis=1 if name == KERNELS[-1] else 2))
        for name in KERNELS
    ]
    return variable_norms(parts)


def _wide(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float64)
