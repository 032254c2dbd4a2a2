"""Forward and backward through equal blocks of a transformer, all runs at once, as a pass of its own (`passes.Pass`).

Each sub-layer is traced once and called block after block, or in one loop where blocks are very many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from bench.engine.attention.embedding import Embedding
from bench.engine.attention.heads import products, scores
from bench.engine.attention.spectral import followed
from bench.engine.attention.sublayers import Said, Sublayer
from bench.engine.blocks import Layer, Stage
from bench.engine.passes import Arrays, Blocks, Carry, Entries, StageGradients, Watch, read, write
from bench.engine.run_settings import RunSettings
from bench.engine.stacks import LayerStack
from bench.engine.unrolling import is_unrolled


@dataclass
class Kept:
    """What the forward pass keeps: samples, where the stage embeds them, and of each sub-layer what it needs.

    Of each sub-layer that is the stream that entered it, then what `Sublayer.kept` says.
    """

    samples: tf.Tensor | None
    of_sublayers: list[Arrays]
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
        room = [self.blocks.empty(1 + each.keeps if training else 0, self.settings.dtype) for each in self.sublayers]

        def run(i: Any, j: int, given: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
            if not training:
                return self.sublayers[j].forward(*given, None), []
            y, more = self.sublayers[j].trained(*given, self._drop(given[0], i, j))
            return y, [given[0], *more]

        x, kept = self._through(carry[1], room, run)
        return (None, x), Kept(carry[1] if self.embedding else None, kept, self._states())

    def backward(self, saved: Kept, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `passes.Pass`."""
        blocks, weights = self.blocks, self._weights()

        def body(i: Any, dx: Any, *arrays: Any) -> Any:
            (found, sums, heads), d_entered = map(list, arrays), list[tf.Tensor]()
            for j in reversed(range(len(self.sublayers))):
                x, *kept = read(saved.of_sublayers[j], i)
                given = (x, read(weights[j], i), self._drop(x, i, j), kept)
                dx, grads, d_more, *measured = self.sublayers[j].backward(*given, dx, watch)
                d_entered += d_more
                found[j], sums[j], heads[j] = (
                    write(to[j], i, each) for to, each in zip((found, sums, heads), (grads, *measured), strict=True)
                )
            return sum(d_entered, dx), found, sums, heads

        found = [blocks.empty(len(each.shapes())) for each in self.sublayers]
        sums = [blocks.empty(1) + blocks.empty(1, tf.float64) for _ in self.sublayers]
        told = [watch.attention is not None and each.heads is not None for each in self.sublayers]
        heads = [blocks.empty(int(each), tf.float64) for each in told]
        dx, found, sums, heads = blocks.repeat(body, (ends[1], found, sums, heads), backward=True)
        gradients = [[array.stack() for array in arrays] for arrays in found]
        if self.embedding is not None:
            of_embedding = self.embedding.backward(saved.samples, dx)
            gradients[0] = [of_embedding[name][None] for name in self.embedding.shapes()] + gradients[0]
            dx = tf.zeros([])  # nobody asks a gradient for samples
        signal = [_in_order([array.stack() for array in each]) for each in zip(*sums, strict=True)]
        attended = [arrays[0].stack() for arrays in heads if arrays]
        return (None, dx), StageGradients(gradients, signal, attention=attended[0] if attended else None)

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `passes.Pass`: of the sum that leaves each sub-layer, and of a feed-forward's hidden units."""
        layers, room = self.stage.block.layers, [self.blocks.empty(1, tf.float64) for _ in self.sublayers]

        def run(i: Any, j: int, given: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
            said = self.sublayers[j].told(*given, None)
            found = of(layers[j])(said.s, said.inner[0], said.response, said.s)
            with tf.control_dependencies([found]):  # else what all sub-layers make may be held at once
                return tf.identity(said.y), [found]

        x, rows = self._through(carry[1], room, run)
        return (None, x), _in_order([arrays[0].stack() for arrays in rows])

    def respond_again(self, saved: Kept, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `passes.Pass`: of hidden units, what the branch's last product is of, the branch and what leaves.

        With heads logits come second, where there are none zeros, and first are queries, keys and values.
        """
        rows, weights = self.blocks.empty(len(self.sublayers)), self._weights()

        def body(i: Any, rows: Any) -> Any:
            found = []
            for j, sublayer in enumerate(self.sublayers):
                x = saved.of_sublayers[j][0].read(i)
                entered = self._entered(j, saved.of_sublayers[0][0].read(i))
                said = sublayer.told(x, read(weights[j], i), entered, self._drop(x, i, j))
                inner = [products(said.inner), scores(said.inner)] if sublayer.heads else [said.inner[0]]
                inner += [tf.zeros_like(inner[0])] * (self.heads > 0 and not sublayer.heads)
                found.append(of([*inner, said.response, said.branch, said.y, _slope(sublayer, said)]))
            return (write(rows, i, found),)

        (rows,) = self.blocks.repeat(body, (rows,))
        return _in_order([array.stack() for array in rows])

    @property
    def heads(self) -> int:
        """See `passes.Pass`."""
        return next((each.heads.count for each in self.sublayers if each.heads), 0)

    @property
    def attended(self) -> tuple[int, ...]:
        """See `passes.Pass`."""
        own = [j for j, each in enumerate(self.sublayers) if each.heads]
        return tuple(block * len(self.sublayers) + j for block in range(self.stage.count) for j in own)

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `passes.Pass`: all tokens are taken at once."""
        return tf.fill([2, self.stage.count * len(self.stacks), self.stacks[0].trainable[0].shape[1]], -1)

    def _through(
        self, x: tf.Tensor, room: list[Arrays], run: Callable[[Any, int, Any], tuple[tf.Tensor, list[tf.Tensor]]]
    ) -> tuple[tf.Tensor, list[Arrays]]:
        """The stream that leaves, and arrays with an entry a block of what `run` makes of each sub-layer beside it."""
        weights = self._weights()
        if self.embedding is not None:
            values = [variable.value[0] for variable in self.stacks[0].affine[: self._embedded]]
            x = self.embedding.forward(x, dict(zip(self.embedding.shapes(), values, strict=True)), self.settings.dtype)

        def body(i: Any, x: Any, kept: Any) -> Any:
            kept, first = list(kept), x
            for j in range(len(self.sublayers)):
                x, values = run(i, j, (x, read(weights[j], i), self._entered(j, first)))
                kept[j] = write(kept[j], i, values)
            return x, kept

        return self.blocks.repeat(body, (x, room))

    def _weights(self) -> list[Arrays]:
        """Of each sub-layer its variables and states, one entry a block."""
        found = [affine + state for affine, _, state in map(self.blocks.unstacked, self.stacks)]
        return [found[0][self._embedded :], *found[1:]]

    def _states(self) -> list[list[Entries]]:
        """Of each sub-layer's states the next, which a power iteration of the present weights brings."""
        return [
            [_next(stack.weights[f"{state.name.removesuffix('_direction')}_kernel"], state) for state in stack.state]
            for stack in self.stacks
        ]

    def _entered(self, j: int, first: tf.Tensor) -> tf.Tensor | None:
        return first if self.sublayers[j].adds_entered else None

    def _drop(self, x: tf.Tensor, i: Any, j: int) -> tf.Tensor | None:
        """What dropout multiplies a branch by."""
        return tf.cast(self.drop(x.shape[1:], i * len(self.sublayers) + j), x.dtype) if self.drop else None


def _slope(sublayer: Sublayer, said: Said) -> tf.Tensor:
    """The slope of a feed-forward's activation at its hidden units; of attention, which has none, 0."""
    if sublayer.activation is None:
        return tf.zeros_like(said.branch)
    with tf.GradientTape() as tape:
        tape.watch(said.inner[0])
        value = sublayer.activation(said.inner[0])
    return tape.gradient(value, said.inner[0], unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _next(kernel: keras.Variable, direction: keras.Variable) -> Entries:
    """The direction [N, R, n] after a power iteration, block by block."""
    kernels, directions = kernel.value, direction.value
    flat = followed(tf.reshape(kernels, [-1, *kernels.shape[2:]]), tf.reshape(directions, [-1, directions.shape[2]]))[0]
    return Entries(tf.unstack(tf.reshape(flat, directions.shape)))


def _in_order(of_sublayers: Sequence[tf.Tensor]) -> tf.Tensor:
    """From one [N, ...] tensor for each sub-layer of a block to [N * sub-layers, ...]."""
    together = tf.stack(list(of_sublayers), axis=1)
    return tf.reshape(together, [-1, *together.shape[2:]])
