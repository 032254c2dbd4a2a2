"""Forward and backward through equal blocks of a transformer, all runs at once, as a pass of its own (`passes.Pass`).

Each sub-layer is traced once and called block after block, or in one loop where blocks are very many. Of the forward
pass only the stream that enters each sub-layer is kept; the backward pass computes the rest again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from bench.engine.attention.embedding import Embedding
from bench.engine.attention.sublayers import Said, Sublayer
from bench.engine.blocks import Layer, Stage
from bench.engine.passes import Arrays, Blocks, Carry, StageGradients, Watch, read, write
from bench.engine.run_settings import RunSettings
from bench.engine.stacks import LayerStack
from bench.engine.unrolling import is_unrolled


@dataclass
class Kept:
    """What the forward pass keeps: samples, where the stage embeds them, and of each sub-layer what entered it."""

    samples: tf.Tensor | None
    x: Arrays
    states: list[list[Any]]


@dataclass
class TransformerPass:
    """Equal blocks of every run.

    Attributes:
        stage: their place in the network.
        stacks: the weights of each sub-layer; where samples are embedded, the first stack begins with the embedding's.
        sublayers: of a block, in order.
        embedding: what makes a stream of samples; None where a stream comes.
        depth: sub-layers of the whole network.
        drop: what training multiplies the branch of a sub-layer by, from the stream's shape and its place in the stage.
    """

    stage: Stage
    stacks: list[LayerStack]
    settings: RunSettings
    sublayers: Sequence[Sublayer]
    embedding: Embedding | None
    depth: int
    drop: Callable[[Sequence[int], Any], tf.Tensor] | None = None

    def __post_init__(self) -> None:
        count = self.stage.count
        self.blocks = Blocks(count, count == 1 or is_unrolled(self.depth, self.settings.runs))
        self._embedded = len(self.embedding.shapes()) if self.embedding else 0

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Any]:
        """See `passes.Pass`."""
        x, kept = self._through(carry[1], self.blocks.empty(len(self.sublayers) if training else 0), training=training)
        return (None, x), Kept(carry[1] if self.embedding else None, kept, [[] for _ in self.stacks])

    def backward(self, saved: Kept, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `passes.Pass`."""
        blocks, weights = self.blocks, self._weights()

        def body(i: Any, dx: Any, found: Any, sums: Any) -> Any:
            found, sums, d_entered = list(found), list(sums), list[tf.Tensor]()
            for j in reversed(range(len(self.sublayers))):
                x, entered = saved.x[j].read(i), self._entered(j, saved.x[0].read(i))
                given = (x, read(weights[j], i), entered, self._kept(x, i, j))
                dx, grads, d_more, measured = self.sublayers[j].backward(*given, dx, watch)
                d_entered += d_more
                found[j], sums[j] = write(found[j], i, grads), write(sums[j], i, measured)
            return sum(d_entered, dx), found, sums

        found = [blocks.empty(len(arrays)) for arrays in weights]
        sums = [blocks.empty(1) + blocks.empty(1, tf.float64) for _ in self.sublayers]
        dx, found, sums = blocks.repeat(body, (ends[1], found, sums), backward=True)
        gradients = [[array.stack() for array in arrays] for arrays in found]
        if self.embedding is not None:
            of_embedding = self.embedding.backward(saved.samples, dx)
            gradients[0] = [of_embedding[name][None] for name in self.embedding.shapes()] + gradients[0]
            dx = tf.zeros([])  # nobody asks a gradient for samples
        signal = [_in_order([array.stack() for array in each]) for each in zip(*sums, strict=True)]
        return (None, dx), StageGradients(gradients, signal)

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `passes.Pass`: of the sum that leaves each sub-layer, and of a feed-forward's hidden units."""
        layers, rows = self.stage.block.layers, self.blocks.empty(len(self.sublayers), tf.float64)

        def looked(j: int, said: Said) -> tf.Tensor:
            return of(layers[j])(said.s, said.hidden, said.response, said.s)

        x, rows = self._through(carry[1], rows, looked, training=False)
        return (None, x), _in_order([array.stack() for array in rows])

    def respond_again(self, saved: Kept, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `passes.Pass`: the hidden units, what the branch's last product reads, the branch, what leaves."""
        rows, weights = self.blocks.empty(len(self.sublayers)), self._weights()

        def body(i: Any, rows: Any) -> Any:
            found = []
            for j, sublayer in enumerate(self.sublayers):
                x, entered = saved.x[j].read(i), self._entered(j, saved.x[0].read(i))
                said = sublayer.told(x, read(weights[j], i), entered, self._kept(x, i, j))
                found.append(of([said.hidden, said.response, said.branch, said.y, _slope(sublayer, said)]))
            return (write(rows, i, found),)

        (rows,) = self.blocks.repeat(body, (rows,))
        return _in_order([array.stack() for array in rows])

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `passes.Pass`: all tokens are taken at once."""
        return tf.fill([2, self.stage.count * len(self.stacks), self.stacks[0].trainable[0].shape[1]], -1)

    def _through(
        self, x: tf.Tensor, kept: Arrays, of: Callable[[int, Said], tf.Tensor] | None = None, *, training: bool
    ) -> tuple[tf.Tensor, Arrays]:
        """The stream that leaves, with, for each sub-layer, the stream that entered it or what is made `of` it."""
        weights = self._weights()
        if self.embedding is not None:
            values = [variable.value[0] for variable in self.stacks[0].affine[: self._embedded]]
            x = self.embedding.forward(x, dict(zip(self.embedding.shapes(), values, strict=True)))

        def body(i: Any, x: Any, kept: Any) -> Any:
            kept, first = list(kept), x
            for j, sublayer in enumerate(self.sublayers):
                given = (x, read(weights[j], i), self._entered(j, first), self._kept(x, i, j) if training else None)
                said = None if of is None else sublayer.told(*given)
                if kept:
                    kept[j] = kept[j].write(i, x if of is None or said is None else of(j, said))
                x = sublayer.forward(*given) if said is None else said.y
            return x, kept

        return self.blocks.repeat(body, (x, kept))

    def _weights(self) -> list[Arrays]:
        """Of each sub-layer its variables, one entry a block."""
        found = [self.blocks.unstacked(stack)[0] for stack in self.stacks]
        return [found[0][self._embedded :], *found[1:]]

    def _entered(self, j: int, first: tf.Tensor) -> tf.Tensor | None:
        return first if self.sublayers[j].adds_entered else None

    def _kept(self, x: tf.Tensor, i: Any, j: int) -> tf.Tensor | None:
        """What dropout multiplies a branch by."""
        return self.drop(x.shape[1:], i * len(self.sublayers) + j) if self.drop else None


def _slope(sublayer: Sublayer, said: Said) -> tf.Tensor:
    """The slope of a feed-forward's activation at its hidden units; of attention, which has none, 0."""
    if sublayer.activation is None:
        return tf.zeros_like(said.branch)
    with tf.GradientTape() as tape:
        tape.watch(said.hidden)
        value = sublayer.activation(said.hidden)
    return tape.gradient(value, said.hidden, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _in_order(of_sublayers: Sequence[tf.Tensor]) -> tf.Tensor:
    """From one [N, ...] tensor for each sub-layer of a block to [N * sub-layers, ...]."""
    together = tf.stack(list(of_sublayers), axis=1)
    return tf.reshape(together, [-1, *together.shape[2:]])
