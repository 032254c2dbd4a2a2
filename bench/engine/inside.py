"""What a step records within layers, head by head and position by position: which rows, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from bench.engine.passes import Pass, StageGradients
from bench.factors import kept_heads, kept_layers, kept_positions
from bench.schema import TABLES

ATTENTION_KEYS, POSITION_KEYS = ("layer_index", "head"), ("layer_index", "row", "column")
ATTENTION_COLUMNS, POSITION_COLUMNS = (
    tuple(name for name in TABLES[table].columns if name not in ("run_id", "step", *keys))
    for table, keys in (("attention", ATTENTION_KEYS), ("positions", POSITION_KEYS))
)


@dataclass(frozen=True)
class Inside:
    """The rows that are kept of what all passes tell.

    Attributes:
        keys: the names of what tells rows apart, the layer first.
        columns: the names of what is measured.
        rows: the keys of each row.
        at: the place of each among all that the passes tell, stage after stage.
        of: what a pass told, [..., columns, R].
    """

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    at: tuple[int, ...]
    of: Callable[[StageGradients], tf.Tensor | None]

    def gather(self, stages: Sequence[StageGradients]) -> tf.Tensor | None:
        """The columns of each row, [rows, columns, R] in float64; None where nobody asked or no pass tells."""
        told = [found for found in map(self.of, stages) if found is not None]
        if not told or not self.rows:
            return None
        flat = [tf.reshape(each, [-1, len(self.columns), each.shape[-1]]) for each in told]
        return tf.cast(tf.gather(tf.concat(flat, axis=0), self.at), tf.float64)


def heads_of(passes: Sequence[Pass]) -> Inside:
    """The rows of `attention`."""
    told, layer = [], 0
    for each in passes:
        told += [(layer + own, head) for own in _attended(each) for head in range(getattr(each, "heads", 0))]
        layer += _layers(each)
    layers = sorted({layer for layer, _ in told})
    most = max((head for _, head in told), default=-1) + 1
    kept = {(layers[own], head) for own, head in kept_heads(len(layers), most)}
    at = [place for place, row in enumerate(told) if row in kept]
    return Inside(
        ATTENTION_KEYS, ATTENTION_COLUMNS, tuple(told[k] for k in at), tuple(at), lambda found: found.attention
    )


def positions_of(passes: Sequence[Pass]) -> Inside:
    """The rows of `positions`."""
    kept = kept_layers(sum(_layers(each) for each in passes if _places(each)))
    rows, at, layer, placed, before = [], [], 0, 0, 0
    for each in passes:
        for own in range(_layers(each)) if _places(each) else ():
            height, width = _places(each)
            if placed in kept:
                for row, column in kept_positions(height, width):
                    rows.append((layer + own, row, column))
                    at.append(before + row * width + column)
            placed, before = placed + 1, before + height * width
        layer += _layers(each)
    return Inside(POSITION_KEYS, POSITION_COLUMNS, tuple(rows), tuple(at), lambda found: found.positions)


def _layers(each: Pass) -> int:
    return each.stage.count * len(each.stage.block.layers)


def _attended(each: Pass) -> Sequence[int]:
    """The layers of a stage with attention, from 0."""
    return tuple(getattr(each, "attended", ()))


def _places(each: Pass) -> tuple[int, ...]:
    """Rows and columns of the outputs of a stage's layers; none where they have no positions."""
    return tuple(getattr(each, "places", ()))
