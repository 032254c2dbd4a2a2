"""A sub-layer of all runs at once: attention or feed-forward, with the way in which it joins the stream.

Shapes: R runs, B samples, T tokens of a sample, d the width, m hidden units of a feed-forward sub-layer. The stream is
[R, B, T, d]; products are of all tokens of a run at once, [R, B * T, d] with [R, d, m].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bench.engine.attention.heads import Heads, attend, scores
from bench.engine.attention.kinds import Kind
from bench.engine.attention.query_key import EPSILON, Learned
from bench.engine.lifting import traced_once
from bench.engine.passes import Watch
from bench.engine.signal import look
from bench.factors import ATTENTION

Weights = Mapping[str, tf.Tensor]
Shapes = dict[str, tuple[int, ...]]


class Said(NamedTuple):
    """What a sub-layer makes of the stream.

    Attributes:
        y: the stream that leaves, [R, B, T, d].
        s: the sum, before its normalization if it has one.
        branch: the branch's output before any factor, [R, B * T, d].
        hidden, response: of feed-forward its hidden units before and after the activation, [R, B * T, m]; of attention
            the scores, [R, B, h, T, T], and what the heads say, [R, B * T, d].
    """

    y: tf.Tensor
    s: tf.Tensor
    branch: tf.Tensor
    hidden: tf.Tensor
    response: tf.Tensor


@dataclass(frozen=True, eq=False)
class Sublayer:
    """A kind of sub-layer.

    Attributes:
        name: attention or feed_forward.
        kind: how its branch joins the stream.
        width: d.
        hidden: m; 0 of attention.
        heads: of attention.
        activation: of feed-forward.
        adds_entered: whether it adds what entered the block.
    """

    name: str
    kind: Kind
    width: int
    hidden: int = 0
    heads: Heads | None = None
    activation: keras.layers.Layer | None = None
    adds_entered: bool = False

    def shapes(self) -> Shapes:
        """Its variables, in order."""
        d, m = self.width, self.hidden
        found: Shapes = {"gain": (d,), "offset": (d,)} if self.kind.before or self.kind.after else {}
        if self.name == ATTENTION:
            for part in ("query", "key", "value", "output"):
                found |= {f"{part}_kernel": (d, d), f"{part}_bias": (d,)}
            found |= {each.name: each.shape for each in self._learned}
        else:
            found |= {"ff_in_kernel": (d, m), "ff_in_bias": (m,), "ff_out_kernel": (m, d), "ff_out_bias": (d,)}
        if self.kind.branch:
            found |= {"branch_gain": (d,), "branch_offset": (d,)}
        return found | ({"scale": (d,) if self.kind.scale == "each" else ()} if self.kind.scale else {})

    def starts(self) -> dict[str, float]:
        """What those of them start at that are neither kernels nor biases; the others of those at 0."""
        found = {name: 1.0 for name in self.shapes() if name.endswith("gain")}
        return found | {"scale": self.kind.start} | {each.name: each.start for each in self._learned}

    @property
    def _learned(self) -> Sequence[Learned]:
        return self.heads.query_key.learned if self.heads else ()

    def __call__(self, x: tf.Tensor, weights: Weights, entered: tf.Tensor | None, kept: tf.Tensor | None) -> Said:
        """What it makes of the stream x.

        Args:
            weights: by name, each [R, ...].
            entered: what entered the block; None unless it adds that.
            kept: what dropout multiplies the branch by, [R, B, T, d]; None: nothing is dropped.
        """
        kind, flat = self.kind, tf.reshape(x, [x.shape[0], -1, self.width])
        read = normalized(flat, weights["gain"], weights["offset"]) if kind.before else flat
        hidden, response = self._attention(read, weights) if self.name == ATTENTION else self._hidden(read, weights)
        branch = dense(response, weights, "output" if self.name == ATTENTION else "ff_out")
        joins = branch if kept is None else branch * tf.reshape(kept, branch.shape)
        if kind.branch:
            joins = normalized(joins, weights["branch_gain"], weights["branch_offset"])
        if kind.scale:
            joins = joins * (weights["scale"][:, None] if kind.scale == "each" else weights["scale"][:, None, None])
        s = times(kind.stream, flat) + times(kind.factor, joins)
        if entered is not None:
            s = s + tf.reshape(entered, s.shape)
        s = y = tf.reshape(s, x.shape)
        if kind.after:
            y = tf.reshape(normalized(tf.reshape(s, flat.shape), weights["gain"], weights["offset"]), x.shape)
        return Said(y, s, branch, hidden, response)

    @cached_property
    def forward(self) -> Callable[..., tf.Tensor]:
        """The sub-layer traced once: (x, its variables in order, entered, kept) to the stream that leaves."""
        return traced_once(lambda x, values, *more: self(x, self._named(values), *more).y)

    @cached_property
    def told(self) -> Callable[..., Said]:
        """The same to all that it makes of the stream."""
        return traced_once(lambda x, values, *more: self(x, self._named(values), *more))

    @cached_property
    def backward(self) -> Callable[..., Any]:
        """Its backward pass traced once, what it says computed again.

        It takes what `forward` does, the gradient for the stream that leaves, and what is watched. It returns the
        gradients for the stream that entered, for the variables in order and for [what entered the block], and what
        `signal.look` finds in those for the sum and for the branch.
        """

        def run(x: Any, values: Any, entered: Any, kept: Any, dy: Any, watch: Watch) -> Any:  # noqa: PLR0913
            with tf.GradientTape() as tape:
                tape.watch([x, *values, *([] if entered is None else [entered])])
                said = self(x, self._named(values), entered, kept)
            sources = {"x": x, "values": list(values), "entered": entered, "branch": said.branch}
            if self.kind.after:
                sources["s"] = said.s
            found = tape.gradient(said.y, {name: each for name, each in sources.items() if each is not None}, dy)
            signal = [found.get("s", dy), tf.reshape(found["branch"], x.shape)]
            d_entered = [] if entered is None else [found["entered"]]
            return found["x"], found["values"], d_entered, look(signal, watch.measure, watch.member)

        return traced_once(run)

    def _named(self, values: Sequence[tf.Tensor]) -> Weights:
        return dict(zip(self.shapes(), values, strict=True))

    def _attention(self, read: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        assert self.heads is not None
        q, k, v = (dense(read, weights, part) for part in ("query", "key", "value"))
        said, kept = attend(self.heads, q, k, v, [weights[each.name] for each in self._learned])
        return scores(kept), said

    def _hidden(self, read: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tf.Tensor]:
        assert self.activation is not None
        hidden = dense(read, weights, "ff_in")
        return hidden, self.activation(hidden)


def dense(x: tf.Tensor, weights: Weights, part: str) -> tf.Tensor:
    """X W + b of the kernel and bias of a part."""
    return tf.matmul(x, weights[f"{part}_kernel"]) + weights[f"{part}_bias"][:, None]


def times(factor: float, x: tf.Tensor) -> tf.Tensor:
    """The product; x itself where the factor is 1."""
    return x if factor == 1.0 else factor * x


def normalized(x: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Each token of x [R, tokens, d] to mean 0 and variance 1, times a gain [R, d], plus an offset (Ba et al. 2016)."""
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    root = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + EPSILON)
    return centred * root * gain[:, None] + offset[:, None]
