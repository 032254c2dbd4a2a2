"""A recurrent layer that reads its sequence from both ends, as `keras.layers.Bidirectional` with merge_mode="concat".

Two passes with weights of their own, one over the sequence and one over the reversed sequence. What leaves the layer is
their states side by side, [..., 2 n], at every step or each direction's last. It is one layer: norms are over both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bench.engine.blocks import Layer, Stage
from bench.engine.passes import Carry, StageGradients, Watch
from bench.engine.recurrence.over_time import RecurrentPass, fewer, looked
from bench.engine.run_settings import RunSettings
from bench.engine.stacks import LayerStack
from bench.factors import BACKWARD, FORWARD, Moment


class Sides(keras.layers.Layer):
    """The variables of layers side by side, one layer's after the other's."""

    def __init__(self, sides: Sequence[keras.layers.Layer]) -> None:
        """Of these layers."""
        super().__init__()
        self.sides = list(sides)

    def build(self, input_shape: Any) -> None:
        """Create them."""
        for side in self.sides:
            side.build(input_shape)


@dataclass
class Both:
    """What each direction's forward pass keeps.

    Attributes:
        ways: forward in time, and back.
        states: of moving averages, of which a recurrent layer has none.
    """

    ways: tuple[Any, Any]
    states: list[list[Any]]


@dataclass
class BothWaysPass:
    """One layer of every run in two directions.

    Attributes:
        stage: its place in the network.
        stacks: its weights, those of the direction forward in time first.
        ways: a pass for each direction.
    """

    stage: Stage
    stacks: list[LayerStack]
    ways: list[RecurrentPass]

    @property
    def moments(self) -> Sequence[Moment]:
        """See `passes.Pass`."""
        return [moment for way in self.ways for moment in way.moments]

    @property
    def gates(self) -> tuple[str, ...]:
        """See `passes.Pass`."""
        return self.ways[0].gates

    @property
    def lacks(self) -> tuple[str, ...]:
        """See `passes.Pass`."""
        return self.ways[0].lacks

    def forward(self, carry: Carry, *, training: bool = True) -> tuple[Carry, Any]:
        """See `passes.Pass`."""
        (((_, h), ahead), ((_, h_back), back)) = (
            way.forward((None, x), training=training) for way, x in zip(self.ways, _both(carry[1]), strict=True)
        )
        together = tf.concat([h, _turned(h_back) if self.ways[0].sequences else h_back], axis=-1)
        return (None, together), Both((ahead, back), [[]]) if training else None

    def backward(self, saved: Any, ends: Carry, watch: Watch) -> tuple[Carry, StageGradients]:
        """See `passes.Pass`."""
        dh, dh_back = tf.split(ends[1], 2, axis=-1)
        given = dh, _turned(dh_back) if self.ways[0].sequences else dh_back
        apart = watch._replace(measure=tf.constant(value=False))  # the two are looked at together
        ((_, d_x), ahead), ((_, d_x_back), back) = (
            way.backward(kept, (None, each), apart)
            for way, kept, each in zip(self.ways, saved.ways, given, strict=True)
        )

        def side_by_side() -> list[tf.Tensor]:
            return [tf.concat(pair, axis=-1) for pair in zip(ahead.in_time(), back.in_time(), strict=True)]

        seen = looked(side_by_side, ends[1].shape[:2], watch)
        weights = [[*ahead.weights[0], *back.weights[0]]]
        told = [each.over_time for each in (ahead, back) if each.over_time is not None]
        over_time = tf.concat(told, axis=0) if told else None
        found = StageGradients(weights, seen, lambda: (*ahead.in_time(), *back.in_time()), over_time)
        return (None, d_x if self.ways[0].reads_data else d_x + _turned(d_x_back)), found

    def look(self, carry: Carry, of: Callable[[Layer], Callable[..., tf.Tensor]]) -> tuple[Carry, tf.Tensor]:
        """See `passes.Pass`."""
        carry, saved = self.forward(fewer(carry))
        ahead, back = (way.taps(kept) for way, kept in zip(self.ways, saved.ways, strict=True))
        taps = [tf.concat([each, other[::-1]], axis=-1) for each, other in zip(ahead, back, strict=True)]
        return carry, of(self.stage.block.layers[0])(*(tf.transpose(each, [1, 2, 0, 3]) for each in taps))[None]

    def respond_again(self, saved: Any, of: Callable[[list[tf.Tensor]], tf.Tensor]) -> tf.Tensor:
        """See `passes.Pass`; of each direction up to its first step at which anything is not finite."""
        pairs = zip(*(way.until_bad(kept) for way, kept in zip(self.ways, saved.ways, strict=True)), strict=True)
        return of([tf.concat(pair, axis=-1) for pair in pairs])[None]

    def bad_times(self, saved: Any, gradients: StageGradients) -> tf.Tensor:
        """See `passes.Pass`; the direction forward in time counts first."""
        found = gradients.in_time()
        parts = found[: len(found) // 2], found[len(found) // 2 :]
        ahead, back = (
            way.bad_times(kept, StageGradients([], [], partial(tuple, part)))
            for way, kept, part in zip(self.ways, saved.ways, parts, strict=True)
        )
        last = found[0].shape[0] - 1
        return tf.where(ahead >= 0, ahead, tf.where(back >= 0, last - back, -1))


def both_ways(
    one_way: Callable[..., RecurrentPass], stage: Stage, stacks: list[LayerStack], settings: RunSettings
) -> BothWaysPass:
    """The pass of a layer whose weights are those of both directions, each of which `one_way` makes.

    Its moments are those of both.
    """
    weights = stacks[0].affine
    half = len(weights) // 2
    parts = ([LayerStack(part, [], [])] for part in (weights[:half], weights[half:]))
    ways = []
    for part, direction in zip(parts, (FORWARD, BACKWARD), strict=True):
        way = one_way(stage, part, settings)
        ways.append(replace(way, moments=[each for each in way.moments if each.direction == direction]))
    return BothWaysPass(stage, stacks, ways)


def _both(x: tf.Tensor) -> Sequence[tf.Tensor]:
    return x, _turned(x)


def _turned(x: tf.Tensor) -> tf.Tensor:
    """[R, B, T, ...] with time reversed."""
    return x[:, :, ::-1]
