"""Forward and backward through a stage, all runs at once.

Shapes: R runs, B samples, N blocks in a stage. Signals are [R, B, units]; a stage's weights are [N, R, ...].
The carry from block to block is (s, h): the stream that a skip connection adds, and what the next layer reads.
Networks without skip connections carry no stream, and nothing pays for it.

What a layer does is lifted over the runs and traced once a stage (`lifted`); the graph calls it block after block, and
a stage of very many blocks runs them as one loop (`Blocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from bench.engine.blocks import Layer, Stage
from bench.engine.layer_passes import lifted_backward, lifted_forward, lifted_look, tapped
from bench.engine.lifting import lifted
from bench.engine.stacks import LayerStack

Carry = tuple[tf.Tensor | None, tf.Tensor]


class Watch(NamedTuple):
    """What is measured on the way back.

    Attributes:
        measure, member: whether the signal is, and of which class each sample is: see `signal.look`.
        timed, attention, positions: whether the columns over time are, those of heads and those of positions; each
            None in a cohort that never records them.
    """

    measure: tf.Tensor
    member: tf.Tensor | None
    timed: tf.Tensor | None = None
    attention: tf.Tensor | None = None
    positions: tf.Tensor | None = None


class Entries:
    """One tensor a block, held by Python: what a `tf.TensorArray` is where blocks are unrolled."""

    def __init__(self, tensors: Sequence[tf.Tensor | None]) -> None:
        self._tensors = list(tensors)

    def read(self, i: int) -> tf.Tensor:
        """Entry i."""
        return self._tensors[i]

    def write(self, i: int, value: tf.Tensor) -> Entries:
        """The entries with `value` at i."""
        return Entries([*self._tensors[:i], value, *self._tensors[i + 1 :]])

    def stack(self) -> tf.Tensor:
        """All entries, [N, ...]."""
        return tf.stack(self._tensors)


Arrays = list[tf.TensorArray | Entries]


def read(arrays: Any, i: Any) -> Any:
    """Entry i of every array in a structure."""
    return tf.nest.map_structure(lambda array: array.read(i), arrays)


def write(arrays: Sequence[Any], i: Any, values: Sequence[tf.Tensor]) -> Arrays:
    """The arrays with `values` at entry i."""
    return [array.write(i, value) for array, value in zip(arrays, values, strict=True)]


@dataclass(frozen=True)
class Blocks:
    """How the equal blocks of a stage stand in the graph: one after the other, or as one loop.

    Unrolled blocks spare a step a loop's reads and writes, a fifth of its time and more; each costs tracing.
    """

    count: int
    unrolled: bool

    def repeat(self, body: Callable[..., Any], start: Sequence[Any], *, backward: bool = False) -> Any:
        """Run `body(i, *carried)` for each block; a block alone may change shapes."""
        if self.unrolled:
            carried = tuple(start)
            for i in reversed(range(self.count)) if backward else range(self.count):
                carried = body(i, *carried)
            return carried

        def turn(k: Any, carried: Any) -> Any:
            return k + 1, body(self.count - 1 - k if backward else k, *carried)

        start = (0, tuple(start))
        return tf.while_loop(lambda k, _: k < self.count, turn, start, maximum_iterations=self.count)[1]

    def empty(self, how_many: int, dtype: tf.DType = tf.float32) -> Arrays:
        """Arrays with room for one tensor a block."""
        if self.unrolled:
            return [Entries([None] * self.count) for _ in range(how_many)]
        return [tf.TensorArray(dtype, self.count, clear_after_read=False) for _ in range(how_many)]

    def unstacked(self, stack: LayerStack) -> tuple[Arrays, Arrays, Arrays]:
        """A layer's variables as arrays with one entry a block; entries are views, not copies."""
        parts = (stack.affine, stack.response, stack.state)
        affine, response, state = ([self._entries(variable.value) for variable in part] for part in parts)
        return affine, response, state

    def _entries(self, value: tf.Tensor) -> tf.TensorArray | Entries:
        if self.unrolled:
            return Entries(tf.unstack(value))
        shape = value.shape[1:]
        return tf.TensorArray(tf.float32, self.count, element_shape=shape, clear_after_read=False).unstack(value)


class Pass(Protocol):
    """What takes all runs through a stage. What is saved is its own affair, but for `states`.

    One that goes along a sequence may have two attributes more: `moments`, the time steps (`bench.factors.Moment`) of
    which its backward pass tells `StageGradients.over_time`, and `lacks`, those of the columns that mean nothing there;
    one whose kernels hold gates side by side may have their names as `gates`. One whose layers attend has `heads`, how
    many, and `attended`, those of the stage's layers, and tells `StageGradients.attention`; one whose layers have
    positions has `places`, their rows and columns, 1 row of a sequence, and tells `StageGradients.positions`.

    Attributes:
        stage, stacks: the stage, and the stacked weights of each layer of its block.
    """

    stage: Stage
    stacks: list[LayerStack]

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Any]:
        """Through the stage; in training mode with what the backward pass needs, and the stage's new state."""

    def backward(self, saved: Any, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """From the gradients for the carry that left the stage to those for the carry that entered it.

        Args:
            ends: gradients of the loss for (s, h) after the stage; s is None without skip connections.
            watch: what is measured.
        """

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """Through the stage in training mode, its state untouched: what `of(layer)` makes of each layer's s, u and phi.

        Where a layer's place in the stream is not its phi, the stream comes fourth.

        Returns:
            The carry, and [N * layers, ...].
        """

    def respond_again(self, saved: Any, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """What `of` makes of each layer's s, u, phi, h and dh/dz, computed again from what was saved.

        Where layers attend, of `divergence.WITH_HEADS`.

        Returns:
            [N * layers, ...].
        """

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """The first time step of each layer's forward pass, and of its backward pass, that is not finite.

        Returns:
            [2, N * layers, R] in int32; -1 where there is none, or no time.
        """


@dataclass
class Saved:
    """What the forward pass keeps for the backward pass, for each layer of the block: h below it, and z."""

    h: Arrays
    z: Arrays
    stream: Arrays  # the stream that entered each block; empty without skip connections
    states: list[Arrays]  # moving averages after this batch; whoever updates the weights assigns them too


@dataclass
class StageGradients:
    """Gradients of the mean loss in one stage.

    Attributes:
        weights: for each layer of the block its trainable variables' gradients, [N, R, ...].
        signal: what `signal.look` finds in the gradients for s and phi of each layer, each [N * layers, ...] from the
            input on; zeros when it was not asked for.
        in_time: gives, where layers have time steps, the gradients for pre-activations and states, each [T, R, ...].
        over_time: of a pass with `moments`, `TIME_COLUMNS` at each, [moments, columns, R] in float64; zeros when they
            were not asked for, None where nobody ever asks.
        attention: likewise of a pass with `heads`, `inside.ATTENTION_COLUMNS`, [attended, heads, columns, R].
        positions: likewise of one with `places`, `inside.POSITION_COLUMNS`, [N * layers, rows * columns, 2, R].
    """

    weights: list[list[tf.Tensor]]
    signal: list[tf.Tensor]
    in_time: Callable[[], Sequence[tf.Tensor]] = tuple
    over_time: tf.Tensor | None = None
    attention: tf.Tensor | None = None
    positions: tf.Tensor | None = None


@dataclass
class StagePass:
    """The passes through one stage. `streamed` says whether the network has skip connections anywhere.

    `drop` is what training leaves of h behind a layer of the stage, counted from 0, or of the gradient for it. Layers
    compute in `dtype`; their weights and the gradients for them are in float32.
    """

    stage: Stage
    stacks: list[LayerStack]
    streamed: bool
    unrolled: bool
    drop: Callable[[tf.Tensor, Any], tf.Tensor] | None = None
    dtype: tf.DType = tf.float32

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.stage.count, self.unrolled or self.stage.count == 1)
        layers = self.stage.block.layers
        self._forward = {mode: [lifted_forward(layer, mode) for layer in layers] for mode in (False, True)}

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Saved]:
        """See `Pass`."""
        layers, blocks = self.stage.block.layers, self.blocks
        weights = [blocks.unstacked(stack) for stack in self.stacks]

        def body(i: Any, s: Any, h: Any, kept: Any, states: Any) -> Any:
            entered, hs, zs, new_states = s, [], [], []
            given = zip(layers, self._forward[training], weights, states, strict=True)
            for j, (layer, run, arrays, kept_states) in enumerate(given):
                hs.append(h)
                z, s, h, state = run(*_inputs(layer, read(arrays, i), h, entered))
                h = self.drop(h, i * len(layers) + j) if self.drop and training else h
                zs.append(z)
                new_states.append(write(kept_states, i, state))
            if training:
                entering = [entered] if self.stage.block.skips else []
                kept = [write(arrays, i, values) for arrays, values in zip(kept, (hs, zs, entering), strict=True)]
            return (s if self.streamed else h), h, kept, new_states

        sizes = (len(layers), len(layers), int(self.stage.block.skips)) if training else (0, 0, 0)
        kept = [blocks.empty(size, self.dtype) for size in sizes]
        states = [blocks.empty(len(stack.state)) for stack in self.stacks]
        s, h = carry
        s, h, kept, states = blocks.repeat(body, (h if s is None else s, h, kept, states))
        return ((s if self.streamed else None), h), Saved(kept[0], kept[1], kept[2], states)

    def backward(self, saved: Saved, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `Pass`."""
        layers, blocks = self.stage.block.layers, self.blocks
        weights = [blocks.unstacked(stack) for stack in self.stacks]
        placed = bool(self.places) and watch.positions is not None
        backward = [lifted_backward(layer, placed) for layer in layers]

        def body(i: Any, ds: Any, dh: Any, found: Any, sums: Any) -> Any:
            found, sums = list(found), list(sums)
            leaving: list[Any] = [ds] if self.streamed else []
            for j in reversed(range(len(layers))):
                dh = self.drop(dh, i * len(layers) + j) if self.drop else dh
                args = _inputs(layers[j], read(weights[j], i), saved.h[j].read(i), read(saved.stream, i))
                given = (*args, saved.z[j].read(i), dh, leaving)
                dh, grads, measured, entering = backward[j](given, watch)
                found[j] = write(found[j], i, grads)
                sums[j] = write(sums[j], i, measured)
                leaving = []
                if layers[j].takes_stream:
                    ds = entering[0]
            if self.streamed and not self.stage.block.skips:
                ds = tf.zeros_like(dh)  # what entered as a stream went no further than this stage's first layer
            return ds, dh, found, sums

        found = [blocks.empty(len(stack.trainable)) for stack in self.stacks]
        sums = [blocks.empty(1) + blocks.empty(1 + placed, tf.float64) for _ in layers]
        ds, dh = ends
        ds, dh, found, sums = blocks.repeat(body, (dh if ds is None else ds, dh, found, sums), backward=True)
        gradients = [[array.stack() for array in arrays] for arrays in found]
        signal = [_in_order([array.stack() for array in of_layers]) for of_layers in zip(*sums, strict=True)]
        positions = signal.pop() if placed else None
        return ((ds if self.streamed else None), dh), StageGradients(gradients, signal, positions=positions)

    @property
    def places(self) -> tuple[int, ...]:
        """See `Pass`."""
        layer = self.stage.block.layers[0]
        sizes = layer.affine.output_shape[1:-1] if layer.convolves else ()
        return (1, *sizes) if len(sizes) == 1 else tuple(sizes)

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `Pass`; the layers' functions are kept, so that `of` gives one for a layer each time."""
        stage, blocks = self.stage, self.blocks
        weights = [blocks.unstacked(stack) for stack in self.stacks]
        looks = [lifted_look(layer, of(layer)) for layer in stage.block.layers]

        def body(i: Any, s: Any, h: Any, rows: Any) -> Any:
            entered, found = s, []
            for layer, run, arrays in zip(stage.block.layers, looks, weights, strict=True):
                h, s, statistics = run(*read(arrays, i), h, [entered] if layer.takes_stream else [])
                found.append(statistics)
            return (s if self.streamed else h), h, rows.write(i, tf.stack(found))

        s, h = carry
        (rows,) = blocks.empty(1, tf.float64)
        s, h, rows = blocks.repeat(body, (h if s is None else s, h, rows))
        flat = rows.stack()  # [N, layers, ...]
        return ((s if self.streamed else None), h), tf.reshape(flat, [-1, *flat.shape[2:]])

    def respond_again(self, saved: Saved, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `Pass`."""
        layers, blocks = self.stage.block.layers, self.blocks
        weights = [blocks.unstacked(stack) for stack in self.stacks]
        taps = [lifted(tapped(layer)) for layer in layers]

        def body(i: Any, rows: Any) -> Any:
            found = []
            for j, layer in enumerate(layers):
                _, response, state = read(weights[j], i)
                inputs = [saved.z[j].read(i), *(read(saved.stream, i) if layer.takes_stream else [])]
                found.append(of(taps[j](response, state, inputs)))
            return (rows.write(i, tf.stack(found)),)

        (rows,) = blocks.repeat(body, blocks.empty(1))
        found = rows.stack()
        return tf.reshape(found, [-1, *found.shape[2:]])

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `Pass`: there is no time."""
        return tf.fill([2, self.stage.count * len(self.stacks), self.stacks[0].trainable[0].shape[1]], -1)


def _in_order(of_layers: list[tf.Tensor]) -> tf.Tensor:
    """From one [N, ...] tensor for each layer of the block to [N * layers, ...]."""
    together = tf.stack(of_layers, axis=1)
    return tf.reshape(together, [-1, *together.shape[2:]])


def _inputs(layer: Layer, weights: Any, h: Any, stream: Any) -> tuple[Any, ...]:
    stream = list(stream) if isinstance(stream, list | tuple) else [stream]
    return (*weights, h, stream if layer.takes_stream else [])
