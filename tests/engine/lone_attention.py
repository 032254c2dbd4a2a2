"""Keras's `MultiHeadAttention` with queries and keys compared as papers say, for lone models."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from bench.engine.attention.spectral import first_directions
from bench.factors import Choice


class Compared(layers.MultiHeadAttention):
    """Attention by a level of `query_key` and of `logit_scale`; `learned` are its own variables."""

    def __init__(self, heads: int, units: int, query_key: Choice, *, inverse: bool, **more: Any) -> None:
        super().__init__(heads, units, **more)
        self.level, self.units, self.inverse = query_key, units, inverse
        self.learned: list[Any] = []

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        if self.level.name == "layer_normalized":
            self.norms = [layers.LayerNormalization(center=False) for _ in range(2)]
            for norm in self.norms:
                norm.build((None, None, None, self.units))
            self.learned = [norm.gamma for norm in self.norms]
        if self.level.name == "l2_normalized":
            start = math.log2(query_shape[1] ** 2 - query_shape[1])
            self.learned = [self.add_weight(name="g", shape=(), initializer=keras.initializers.Constant(start))]
        if self.level.name == "sigma_reparam":
            self.learned = [self.add_weight(name=f"gamma_{k}", shape=(), initializer="ones") for k in range(2)]
            self.directions = [
                self.add_weight(name=f"u_{k}", shape=(query_shape[-1],), trainable=False) for k in range(2)
            ]

    def start(self) -> None:
        """Take the first singular vectors of the kernels as they are."""
        if self.level.name == "sigma_reparam":
            for direction, dense in zip(self.directions, (self._query_dense, self._key_dense), strict=True):
                kernel = np.reshape(dense.kernel, (dense.kernel.shape[0], -1))
                direction.assign(first_directions(kernel))

    def call(
        self, query: Any, value: Any, key: Any = None, use_causal_mask: bool = False, training: bool = False
    ) -> Any:
        mask = self._compute_attention_mask(query, value, use_causal_mask=use_causal_mask)
        spectral = self.level.name == "sigma_reparam"
        read = self._spectral if spectral else lambda _, dense, x, __: dense(x)
        q = read(0, self._query_dense, query, training)
        k = read(1, self._key_dense, value, training)
        return self._output_dense(self._compute_attention(q, k, self._value_dense(value), mask)[0])

    def _spectral(self, place: int, dense: Any, x: Any, training: bool) -> Any:
        """X W gamma / sigma(W) + b, sigma by a power iteration: algorithm 1 of Zhai et al. 2023."""
        kernel = ops.reshape(dense.kernel, (dense.kernel.shape[0], -1))
        v = ops.normalize(ops.matmul(ops.transpose(kernel), self.directions[place]), axis=0)
        u = ops.normalize(ops.matmul(kernel, v), axis=0)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        if training:
            self.directions[place].assign(u)
        scaled = dense.kernel * (self.learned[place] / ops.sum(u * ops.matmul(kernel, v)))
        return ops.einsum("btd,dhn->bthn", x, scaled) + dense.bias

    def _compute_attention(self, query: Any, key: Any, value: Any, attention_mask: Any = None, **_: Any) -> Any:
        scale = 1 / self.units if self.inverse else self.units**-0.5
        if self.level.name == "layer_normalized":
            query, key = (norm(each) for norm, each in zip(self.norms, (query, key), strict=True))
        if self.level.name == "l2_normalized":
            query, key, scale = layers.UnitNormalization()(query), layers.UnitNormalization()(key), self.learned[0]
        logits = ops.einsum("bqhn,bkhn->bhqk", query, key) * scale
        if self.level.name == "logit_cap":
            cap = float(self.level.setting("cap"))
            logits = ops.tanh(logits / cap) * cap
        weights = self._masked_softmax(logits, attention_mask)
        return ops.einsum("bhqk,bkhn->bqhn", weights, value), weights


def seen_by(layer: layers.MultiHeadAttention, read: Any, *, causal: bool) -> list[dict[str, float]]:
    """Of each head, from Keras's weights and the logits of its queries and keys."""
    _, weights = layer(read, read, use_causal_mask=causal, return_attention_scores=True)
    length = read.shape[1]
    sees = np.tri(length, dtype=bool) if causal else np.ones((length, length), bool)
    share = np.where(sees.sum(axis=1) > 1, 1 / np.log(np.maximum(sees.sum(axis=1), 2)), np.nan)
    q, k = (dense(read).numpy().astype(np.float64) for dense in (layer._query_dense, layer._key_dense))
    logits = np.einsum("bqhn,bkhn->hbqk", q, k)[..., sees] / np.sqrt(q.shape[-1])
    found = []
    for head, seen in enumerate(logits):
        w = weights.numpy()[:, head].astype(np.float64)
        entropy = -(w * np.log(np.where(w > 0, w, 1.0))).sum(axis=-1)
        found.append({
            "entropy": entropy.mean(), "entropy_share": np.nanmean(entropy * share), "max_logit": seen.max(),
            "logit_std": seen.std(), "max_weight": w.max(axis=-1).mean(),
        })  # fmt: skip
    return found


def tokens_alike(streams: list[Any]) -> list[list[float]]:
    """Mean cosine of two tokens, 1 less that, and what is left without the mean, of each stream [B, T, d]."""
    found = []
    for stream in streams:
        x = np.asarray(stream, np.float64)
        unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
        cosine = np.einsum("bid,bjd->bij", unit, unit)[:, *np.triu_indices(x.shape[1], 1)].mean()
        left = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=(1, 2)) / np.linalg.norm(x, axis=(1, 2))
        found.append([cosine, 1 - cosine, left.mean()])
    return found
