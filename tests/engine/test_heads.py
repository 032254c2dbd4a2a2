"""Attention written out is Keras's, its way back the tape's, and its measurements are their definitions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bench.engine.attention.heads import Heads, attend, attend_back, causal
from bench.engine.attention.query_key import QueryKey, first_gain, query_key_of
from bench.engine.attention.seen import KERNELS, head_columns
from bench.engine.attention.spectral import first_directions, with_norm
from bench.engine.attention.tokens import token_statistics
from bench.engine.inside import ATTENTION_COLUMNS
from bench.errors import DataError
from bench.factors import Choice

RUNS, SAMPLES, TOKENS, HEADS, EACH = 2, 3, 5, 2, 4
WIDE = HEADS * EACH


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape) * scale, tf.float32)


def keras_attention(kernels: list[Any], biases: list[Any]) -> keras.layers.MultiHeadAttention:
    layer = keras.layers.MultiHeadAttention(HEADS, EACH)
    layer.build((SAMPLES, TOKENS, WIDE), (SAMPLES, TOKENS, WIDE))
    shapes = [(WIDE, HEADS, EACH)] * 3 + [(HEADS, EACH, WIDE)]
    parts = zip(kernels, biases, shapes, strict=True)
    values = [v for k, b, s in parts for v in (np.reshape(k, s), np.reshape(b, s[1:] if s[0] == WIDE else s[2:]))]
    layer.set_weights(values)
    return layer


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_what_keras_computes(masked: bool) -> None:
    x, pulled = noise(RUNS, SAMPLES, TOKENS, WIDE), noise(RUNS, SAMPLES, TOKENS, WIDE, seed=1)
    kernels = [noise(RUNS, WIDE, WIDE, seed=k + 2) for k in range(4)]
    biases = [noise(RUNS, WIDE, seed=k + 6) for k in range(4)]
    heads = Heads(HEADS, TOKENS, causal(TOKENS) if masked else ())
    flat = tf.reshape(x, [RUNS, -1, WIDE])
    q, k, v = (flat @ w + b[:, None] for w, b in zip(kernels[:3], biases, strict=False))
    out, kept = attend(heads, q, k, v)
    made, d_made = out @ kernels[3] + biases[3][:, None], tf.reshape(pulled, flat.shape)
    d_each, _ = attend_back(heads, kept, d_made @ tf.transpose(kernels[3], [0, 2, 1]))
    mine = [tf.matmul(flat, each, transpose_a=True) for each in d_each] + [tf.matmul(out, d_made, transpose_a=True)]
    for run in range(RUNS):
        layer = keras_attention([w[run].numpy() for w in kernels], [b[run].numpy() for b in biases])
        with tf.GradientTape() as tape:
            theirs, scores = layer(x[run], x[run], use_causal_mask=masked, return_attention_scores=True)
        found = tape.gradient(theirs, [w.value for w in layer.trainable_variables[::2]], pulled[run])
        np.testing.assert_allclose(np.reshape(made[run], theirs.shape), theirs, 1e-5, 1e-5)
        np.testing.assert_allclose(kept[3][run], scores, 1e-5, 1e-6)
        for each, expected in zip(mine, found, strict=True):
            np.testing.assert_allclose(np.reshape(each[run], expected.shape), expected, 1e-5, 1e-4)


LEVELS = [
    Choice("layer_normalized"), Choice("l2_normalized"), Choice("logit_cap", (("cap", 2.0),)), Choice("plain"),
]  # fmt: skip


def expected_logits(choice: Choice, q: Any, k: Any, gains: list[Any]) -> Any:
    """The logits of one run as Keras's layers make them, [B, h, T, T]."""
    split = lambda x: keras.ops.transpose(keras.ops.reshape(x, (-1, TOKENS, HEADS, EACH)), (0, 2, 1, 3))  # noqa: E731
    q, k, scale = split(q), split(k), EACH**-0.5
    if choice.name == "layer_normalized":
        normalize = keras.layers.LayerNormalization(center=False, scale=False)
        q, k = normalize(q) * gains[0], normalize(k) * gains[1]
    if choice.name == "l2_normalized":
        normalize = keras.layers.UnitNormalization()
        q, k, scale = normalize(q), normalize(k), gains[0]
    logits = q @ keras.ops.transpose(k, (0, 1, 3, 2)) * scale
    return keras.ops.tanh(logits / 2.0) * 2.0 if choice.name == "logit_cap" else logits


@pytest.mark.parametrize("choice", LEVELS, ids=lambda choice: choice.name)
def test_each_variant_is_its_formula_and_its_way_back_the_tapes(choice: Choice) -> None:
    q, k, v, pulled = (noise(RUNS, SAMPLES * TOKENS, WIDE, seed=s, scale=2.0) for s in range(4))
    heads = Heads(HEADS, TOKENS, causal(TOKENS), query_key=query_key_of(choice, EACH, TOKENS))
    learned = [each.start + noise(RUNS, *each.shape, seed=9) / 4 for each in heads.query_key.learned]
    out, kept = attend(heads, q, k, v, learned)
    d_each, d_learned = attend_back(heads, kept, pulled, learned)
    visible = np.tri(TOKENS, dtype=bool)
    for run in range(RUNS):
        given, gains = [each[run] for each in (q, k, v)], [each[run] for each in learned]
        with tf.GradientTape() as tape:
            tape.watch([given, gains])
            logits = tf.where(visible, expected_logits(choice, *given[:2], gains), -1e30)
            value = keras.ops.transpose(keras.ops.reshape(given[2], (-1, TOKENS, HEADS, EACH)), (0, 2, 1, 3))
            made = keras.ops.reshape(keras.ops.transpose(tf.nn.softmax(logits) @ value, (0, 2, 1, 3)), given[0].shape)
        found, of_gains = tape.gradient(made, [given, gains], pulled[run])
        np.testing.assert_allclose(out[run], made, 1e-4, 1e-5)
        for mine, expected in zip([*d_each, *d_learned], [*found, *of_gains], strict=True):
            np.testing.assert_allclose(mine[run], expected, 1e-4, 1e-4)


def test_measurements_are_their_definitions() -> None:
    q, k, v = (noise(RUNS, SAMPLES * TOKENS, WIDE, seed=s) for s in range(3))
    gradients = {name: noise(RUNS, WIDE, WIDE, seed=s + 3) for s, name in enumerate(KERNELS)}
    for visible in ((), causal(TOKENS)):
        heads = Heads(HEADS, TOKENS, visible, inverse=True)
        _, kept = attend(heads, q, k, v)
        rows = head_columns(heads, kept, gradients).numpy()
        assert rows.shape == (HEADS, len(ATTENTION_COLUMNS), RUNS)
        sees = np.tri(TOKENS, dtype=bool) if visible else np.ones((TOKENS, TOKENS), bool)
        for head, run in np.ndindex(HEADS, RUNS):
            part = slice(head * EACH, (head + 1) * EACH)
            own = [np.reshape(x[run, :, part], (SAMPLES, TOKENS, EACH)).astype(np.float64) for x in (q, k)]
            scores = np.einsum("bqn,bkn->bqk", *own) / EACH
            entropies, shares, largest = [], [], []
            for sample, query in np.ndindex(SAMPLES, TOKENS):
                logits = scores[sample, query, sees[query]]
                w = np.exp(logits - logits.max())
                w /= w.sum()
                entropies.append(-(w * np.log(w)).sum())
                largest.append(w.max())
                if len(w) > 1:
                    shares.append(entropies[-1] / np.log(len(w)))
            seen = scores[:, sees]
            norms = [np.linalg.norm(gradients[name][run][:, part]) for name in KERNELS[:3]]
            norms.append(np.linalg.norm(gradients["output_kernel"][run][part]))
            expected = [np.mean(entropies), np.mean(shares), seen.max(), seen.std(), np.mean(largest), *norms]
            np.testing.assert_allclose(rows[head, :, run], expected, 1e-5, 1e-7)


def test_one_key_that_takes_all_has_no_entropy_and_equal_keys_have_it_all() -> None:
    zero, gradients = tf.zeros([1, TOKENS, WIDE]), {name: tf.zeros([1, WIDE, WIDE]) for name in KERNELS}
    heads = Heads(HEADS, TOKENS, inverse=True)
    alike = head_columns(heads, attend(heads, zero, zero, zero)[1], gradients)[0, :5, 0]
    np.testing.assert_allclose(alike, [np.log(TOKENS), 1.0, 0.0, 0.0, 1 / TOKENS], 1e-6)
    one = tf.concat([tf.ones([1, 1, WIDE]), zero[:, 1:]], axis=1)
    taken = head_columns(heads, attend(heads, zero + 100.0, one, zero)[1], gradients)[0, :5, 0]
    np.testing.assert_allclose(taken, [0.0, 0.0, 100.0, 40.0, 1.0], 1e-6, 1e-30)


def test_a_query_that_sees_no_key_is_refused() -> None:
    first, *rest = causal(3)
    with pytest.raises(DataError, match="the token at place 0 sees no key"):
        Heads(HEADS, 3, ((False,) * 3, *rest))
    assert Heads(HEADS, 3, (first, *rest)) == Heads(HEADS, 3, causal(3))


def test_the_cosines_scale_starts_where_henry_2020_has_it() -> None:
    assert first_gain(16) == pytest.approx(np.log2(240))
    assert first_gain(1) == 1.0
    assert QueryKey() == query_key_of(Choice("plain"), EACH, TOKENS)


@pytest.mark.parametrize(("half", "apart"), [("float16", 2.0**-10), ("bfloat16", 2.0**-7)])
def test_what_is_measured_in_half_precision_is_float32s_of_the_same_numbers(half: str, apart: float) -> None:
    x, gain = tf.cast(noise(RUNS, SAMPLES, TOKENS, WIDE), half), tf.cast([0.5, 2.0], half)
    for tokens in (x, x + tf.cast(8.0, half), x * tf.cast(1e-6, half), x[:, :, :1] * tf.ones_like(x)):
        np.testing.assert_array_equal(token_statistics(tokens), token_statistics(tf.cast(tokens, tf.float32)))
    for size in (1.0, 1e-4):  # the second's squares are 0 in float16
        kernel = tf.cast(noise(RUNS, WIDE, WIDE, seed=3, scale=size), half)
        direction = tf.cast(first_directions(tf.cast(kernel, tf.float32).numpy()), half)
        made = tf.cast(with_norm(kernel, gain, direction), tf.float32)
        np.testing.assert_allclose(np.linalg.norm(made, 2, axis=(1, 2)), tf.cast(gain, tf.float32), 4 * apart)
    heads = Heads(HEADS, TOKENS, causal(TOKENS))
    parts = [tf.cast(noise(RUNS, SAMPLES * TOKENS, WIDE, seed=s), half) for s in range(3)]
    gradients = {name: tf.cast(noise(RUNS, WIDE, WIDE, seed=s), half) for s, name in enumerate(KERNELS)}
    own, wide = (
        head_columns(
            heads,
            attend(heads, *(tf.cast(each, numbers) for each in parts))[1],
            {name: tf.cast(each, numbers) for name, each in gradients.items()},
        )
        for numbers in (half, tf.float32)
    )
    np.testing.assert_allclose(own, wide, 4 * apart, 4 * apart)


def test_queries_near_zero_have_a_direction_in_float16_and_zeros_none() -> None:
    choice, tiny = Choice("l2_normalized"), tf.cast([[[[[1e-6] * EACH, [0.0] * EACH]]]], tf.float16)
    prepare = query_key_of(choice, EACH, 2).prepare
    assert prepare is not None
    queries, keys = prepare(tiny, tiny, [tf.ones([1], tf.float16)])
    np.testing.assert_allclose(keys[0, 0, 0], [[EACH**-0.5] * EACH, [0.0] * EACH], 1e-3)
    np.testing.assert_array_equal(queries, keys)
