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

from bench.engine.attention.heads import Heads, Kept, attend, attend_back
from bench.engine.attention.kinds import Kind
from bench.engine.attention.norms import normalized, normalized_back, scaled, standard
from bench.engine.attention.query_key import Learned
from bench.engine.attention.seen import head_columns
from bench.engine.attention.spectral import with_norm
from bench.engine.inside import ATTENTION_COLUMNS
from bench.engine.lifting import traced_once
from bench.engine.passes import Watch
from bench.engine.precision import widened
from bench.engine.signal import look
from bench.factors import ATTENTION

Weights = Mapping[str, tf.Tensor]
Found = dict[str, tf.Tensor]  # gradients by name, as they are found
Shapes = dict[str, tuple[int, ...]]
QUERY_AND_KEY = ("query", "key")


class Said(NamedTuple):
    """What a sub-layer makes of the stream.

    Attributes:
        y: the stream that leaves, [R, B, T, d].
        s: the sum, before its normalization if it has one.
        branch: the branch's output before any factor, [R, B * T, d].
        response: what its last product is of: what the heads say, [R, B * T, d], or the activation's output.
        inner: of attention what `attend` keeps; of feed-forward the hidden units before the activation, [R, B * T, m].
    """

    y: tf.Tensor
    s: tf.Tensor
    branch: tf.Tensor
    response: tf.Tensor
    inner: tuple[tf.Tensor, ...]


class Back(NamedTuple):
    """Gradients on the way back through a sub-layer.

    Attributes:
        x: for the stream that entered, [R, B, T, d].
        weights: for its variables by name.
        s, branch: for the sum and for the branch's output before any factor, [R, B * T, d].
    """

    x: tf.Tensor
    weights: Weights
    s: tf.Tensor
    branch: tf.Tensor


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

    def states(self) -> Shapes:
        """What it follows beside them, in order: of kernels over their spectral norms a direction each."""
        return {f"{part}_direction": (self.width,) for part in self._spectral}

    @property
    def _spectral(self) -> Sequence[str]:
        return QUERY_AND_KEY if self.heads and self.heads.query_key.spectral else ()

    @property
    def _learned(self) -> Sequence[Learned]:
        return self.heads.query_key.learned if self.heads else ()

    @property
    def out(self) -> str:
        """The part whose kernel is the branch's last."""
        return "output" if self.name == ATTENTION else "ff_out"

    def __call__(self, x: tf.Tensor, weights: Weights, entered: tf.Tensor | None, drop: tf.Tensor | None) -> Said:
        """What it makes of the stream x.

        Args:
            weights: by name, each [R, ...].
            entered: what entered the block; None unless it adds that.
            drop: what dropout multiplies the branch by, [R, B, T, d]; None: nothing is dropped.
        """
        kind, flat = self.kind, self._flat(x)
        read = normalized(flat, weights["gain"], weights["offset"]) if kind.before else flat
        response, inner = self._attention(read, weights) if self.heads else self._feed_forward(read, weights)
        branch = dense(response, weights, self.out)
        joins = self._scaled(self._normed(branch, weights, drop), weights)
        s = times(kind.factor, joins)
        s = times(kind.stream, flat) + s if kind.stream else s
        if entered is not None:
            s = s + self._flat(entered)
        y = normalized(s, weights["gain"], weights["offset"]) if kind.after else s
        return Said(tf.reshape(y, x.shape), tf.reshape(s, x.shape), branch, response, inner)

    def kept(self, said: Said) -> list[tf.Tensor]:
        """What of it the way back needs beside the stream that entered."""
        more = [said.s] if self.kind.after else []
        more += [said.branch] if self._needs_branch else []
        return [*more, *said.inner, *([said.response] if self.heads else [])]

    @property
    def keeps(self) -> int:
        """How many tensors that is."""
        inner = 5 + (2 if self.heads.query_key.prepare else 0) if self.heads else 1
        return int(self.kind.after) + int(self._needs_branch) + inner

    @property
    def _needs_branch(self) -> bool:
        return self.kind.branch or bool(self.kind.scale)

    def back(
        self, x: tf.Tensor, weights: Weights, drop: tf.Tensor | None, kept: Sequence[tf.Tensor], dy: tf.Tensor
    ) -> Back:
        """From the gradient for the stream that leaves to the others.

        Args:
            x: the stream that entered.
            weights, drop: as forward.
            kept: see `kept`.
            dy: [R, B, T, d].
        """
        kind, flat, left, found = self.kind, self._flat(x), list(kept), dict[str, tf.Tensor]()
        ds = self._flat(dy)
        if kind.after:
            s = standard(self._flat(left.pop(0)))
            ds, found["gain"], found["offset"] = normalized_back(s, weights["gain"], ds)
        branch = left.pop(0) if self._needs_branch else None
        d_branch = times(kind.factor, ds)
        if kind.scale:
            along = d_branch * self._normed(branch, weights, drop)
            found["scale"] = tf.reduce_sum(along, axis=1 if kind.scale == "each" else [1, 2])
            d_branch = self._scaled(d_branch, weights)
        if kind.branch:
            given = standard(branch if drop is None else branch * self._flat(drop))
            d_branch, found["branch_gain"], found["branch_offset"] = normalized_back(
                given, weights["branch_gain"], d_branch
            )
        d_branch = d_branch if drop is None else d_branch * self._flat(drop)
        unit = standard(flat) if kind.before else None
        read = flat if unit is None else scaled(unit[0], weights["gain"], weights["offset"])
        way = self._attention_back if self.heads else self._feed_forward_back
        d_read = way(read, weights, left, d_branch, found)
        if unit is not None:
            d_read, found["gain"], found["offset"] = normalized_back(unit, weights["gain"], d_read)
        d_x = times(kind.stream, ds) + d_read if kind.stream else d_read
        return Back(tf.reshape(d_x, x.shape), found, ds, d_branch)

    @cached_property
    def forward(self) -> Callable[..., tf.Tensor]:
        """The sub-layer traced once: (x, variables and states in order, entered, drop) to the stream that leaves."""
        return traced_once(lambda x, values, *more: self(x, self._named(values, x.dtype), *more).y)

    @cached_property
    def told(self) -> Callable[..., Said]:
        """The same to all that it makes of the stream."""
        return traced_once(lambda x, values, *more: self(x, self._named(values, x.dtype), *more))

    @cached_property
    def trained(self) -> Callable[..., tuple[tf.Tensor, list[tf.Tensor]]]:
        """The same to the stream that leaves and what the way back needs."""

        def run(x: Any, values: Any, *more: Any) -> Any:
            said = self(x, self._named(values, x.dtype), *more)
            return said.y, self.kept(said)

        return traced_once(run)

    @cached_property
    def backward(self) -> Callable[..., Any]:
        """`back` traced once: (x, variables and states in order, drop, what was kept, dy, what is watched).

        It returns the gradients for the stream that entered, for the variables in order and for [what entered the
        block], what `signal.look` finds in those for the sum and for the branch, and [`head_columns`] of attention in a
        cohort that ever records them.
        """

        def run(x: Any, values: Any, drop: Any, kept: Any, dy: Any, watch: Watch) -> Any:  # noqa: PLR0913
            found = self.back(x, self._named(values, x.dtype), drop, kept, dy)
            signal = [tf.reshape(each, x.shape) for each in (found.s, found.branch)]
            seen = look(signal, watch.measure, watch.member)
            entered = [signal[0]] if self.adds_entered else []
            return (
                found.x,
                [widened(found.weights[name]) for name in self.shapes()],
                entered,
                seen,
                self._heads(kept, found, watch),
            )

        return traced_once(run)

    def _heads(self, kept: Sequence[tf.Tensor], found: Back, watch: Watch) -> list[tf.Tensor]:
        """[`head_columns`], where anybody ever asks; zeros where they do not now."""
        if self.heads is None or watch.attention is None:
            return []
        heads, inner = self.heads, tuple(kept[self.keeps - 5 - (2 if self.heads.query_key.prepare else 0) :])
        shape = [heads.count, len(ATTENTION_COLUMNS), found.x.shape[0]]
        return [
            tf.cond(
                watch.attention,
                lambda: head_columns(heads, inner, found.weights),
                lambda: tf.zeros(shape, tf.float64),
            )
        ]

    def _named(self, values: Sequence[tf.Tensor], dtype: tf.DType) -> Weights:
        return dict(zip([*self.shapes(), *self.states()], [tf.cast(each, dtype) for each in values], strict=True))

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [x.shape[0], -1, self.width])

    def _normed(self, branch: tf.Tensor, weights: Weights, drop: tf.Tensor | None) -> tf.Tensor:
        """What is left of the branch, normalized if its kind says so."""
        left = branch if drop is None else branch * self._flat(drop)
        return normalized(left, weights["branch_gain"], weights["branch_offset"]) if self.kind.branch else left

    def _scaled(self, joins: tf.Tensor, weights: Weights) -> tf.Tensor:
        """The branch, or the gradient for it, times its learned scale if it has one."""
        if not self.kind.scale:
            return joins
        return joins * tf.reshape(weights["scale"], [joins.shape[0], 1, -1])

    def _attention(self, read: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, Kept]:
        assert self.heads is not None
        weights = self._with_norms(weights)
        q, k, v = (dense(read, weights, part) for part in ("query", "key", "value"))
        return attend(self.heads, q, k, v, [weights[each.name] for each in self._learned])

    def _attention_back(
        self, read: tf.Tensor, weights: Weights, left: list[tf.Tensor], d_branch: tf.Tensor, found: Found
    ) -> tf.Tensor:
        assert self.heads is not None
        *inner, response = left
        d_response = dense_back(response, weights, self.out, d_branch, found)
        learned = [weights[each.name] for each in self._learned]
        d_parts, d_learned = attend_back(self.heads, tuple(inner), d_response, learned)
        found |= {each.name: given for each, given in zip(self._learned, d_learned, strict=bool(d_learned))}
        parts, used = zip(("query", "key", "value"), d_parts, strict=True), self._with_norms(weights)
        d_read = tf.add_n([dense_back(read, used, part, given, found) for part, given in parts])
        for part in self._spectral:
            names = f"{part}_kernel", f"{part}_kernel_gain"
            sources = [weights[name] for name in names]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                made = with_norm(sources[0], sources[1], weights[f"{part}_direction"])
            found |= dict(zip(names, tape.gradient(made, sources, found[names[0]]), strict=True))
        return d_read

    def _with_norms(self, weights: Weights) -> Weights:
        """The weights, with kernels over their spectral norms in place of the kernels."""
        parts = ("kernel", "kernel_gain", "direction")
        return {**weights} | {
            f"{each}_kernel": with_norm(*(weights[f"{each}_{part}"] for part in parts)) for each in self._spectral
        }

    def _feed_forward(self, read: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, tuple[tf.Tensor]]:
        assert self.activation is not None
        hidden = dense(read, weights, "ff_in")
        return self.activation(hidden), (hidden,)

    def _feed_forward_back(
        self, read: tf.Tensor, weights: Weights, left: list[tf.Tensor], d_branch: tf.Tensor, found: Found
    ) -> tf.Tensor:
        assert self.activation is not None
        (hidden,) = left
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            response = self.activation(hidden)
        d_response = dense_back(response, weights, self.out, d_branch, found)
        d_hidden = tape.gradient(response, hidden, d_response, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return dense_back(read, weights, "ff_in", d_hidden, found)


def dense(x: tf.Tensor, weights: Weights, part: str) -> tf.Tensor:
    """What the kernel and the bias of a part make of x."""
    return tf.matmul(x, weights[f"{part}_kernel"]) + weights[f"{part}_bias"][:, None]


def dense_back(x: tf.Tensor, weights: Weights, part: str, dz: tf.Tensor, found: Found) -> tf.Tensor:
    """From the gradient for what `dense` made of x to that for x; those for kernel and bias go into `found`."""
    found[f"{part}_kernel"] = tf.matmul(x, dz, transpose_a=True)
    found[f"{part}_bias"] = tf.reduce_sum(dz, axis=1)
    return tf.matmul(dz, weights[f"{part}_kernel"], transpose_b=True)


def times(factor: float, x: tf.Tensor) -> tf.Tensor:
    """The product; x itself where the factor is 1."""
    return x if factor == 1.0 else factor * x
