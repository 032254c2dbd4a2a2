"""What is told apart within a layer beside its time steps: heads of attention, positions of a convolution.

A plan and a graph share it: which of them the tables keep, and which networks have any.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from bench.factors.architectures import ARCHITECTURE, ArchitectureLevel
from bench.factors.attention import sublayer_kinds
from bench.factors.base import Choice
from bench.factors.convolution import sizes_of_layers
from bench.factors.datasets import dataset_level
from bench.factors.moments import kept_distances

MOST_LAYERS, MOST_HEADS = 32, 16  # sub-layers and heads of each that `attention` keeps
MOST_PLACED, MOST_POSITIONS = 16, 64  # layers that `positions` keeps, and positions of a sequence whole
MOST_ROWS = 8  # rows and columns of an image that are kept whole
UNKNOWN_PLACES = (28, 28)  # of data that only the data can describe, as an MNIST image
Position = tuple[int, int]


def inner_tables(structure: Mapping[str, Choice]) -> frozenset[str]:
    """The tables on what is within a layer that a network can fill; of one from outside all, as nobody knows before."""
    level = ARCHITECTURE.level(structure["architecture"].name)
    if not isinstance(level, ArchitectureLevel):
        return frozenset(("time_gradients", "attention", "positions"))
    found = {
        "time_gradients": level.has_time,
        "attention": level.has_heads and _named(structure, "sublayers") != "feed_forward_only",
        "positions": level.has_positions,
    }
    return frozenset(table for table, has in found.items() if has)


def layer_names(structure: Mapping[str, Choice]) -> tuple[str, ...]:
    """The hidden layers as tables name them: of a transformer its sub-layers."""
    depth, level = int(structure["depth"].value or 0), ARCHITECTURE.level(structure["architecture"].name)
    if not isinstance(level, ArchitectureLevel) or not level.has_heads:
        return tuple(f"hidden_{layer}" for layer in range(depth))
    kinds = sublayer_kinds(structure["sublayers"].name)
    return tuple(f"block_{block}_{kind}" for block in range(depth) for kind in kinds)


def evenly(count: int, most: int) -> tuple[int, ...]:
    """All of so many, or of more than `most` the first, the last and as evenly between them as whole numbers allow."""
    if count <= most:
        return tuple(range(count))
    return tuple(round(k * (count - 1) / (most - 1)) for k in range(most))


def kept_positions(rows: int, columns: int) -> tuple[Position, ...]:
    """The positions of a layer's output that are kept, row by row.

    All of a sequence of 64 at most and of 8 rows and columns at most. Of more those near a border and in the middle: of
    a sequence by their distance to the nearer end, 0, 1, 2, 3, 4, 6, 8, 12, ..., of an image four from either side.
    """
    if rows == 1:
        return tuple((0, column) for column in _near_ends(columns, MOST_POSITIONS, kept_distances((columns + 1) // 2)))
    kept = [_near_ends(size, MOST_ROWS, _few((size - 1) // 2)) for size in (rows, columns)]
    return tuple((row, column) for row in kept[0] for column in kept[1])


def kept_layers(count: int) -> tuple[int, ...]:
    """The layers with positions, counted among themselves, that are kept."""
    return evenly(count, MOST_PLACED)


def kept_heads(layers: int, heads: int) -> tuple[tuple[int, int], ...]:
    """Sub-layers with attention, counted among themselves, and the heads of each that are kept."""
    return tuple((layer, head) for layer in evenly(layers, MOST_LAYERS) for head in evenly(heads, MOST_HEADS))


def planned_heads(structure: Mapping[str, Choice]) -> list[tuple[int, int]]:
    """Layer and head of each row of `attention`; none without heads."""
    if "attention" not in inner_tables(structure) or "heads" not in structure:
        return []
    each = len(sublayer_kinds(_named(structure, "sublayers")))
    depth, heads = (int(structure[name].value or 0) for name in ("depth", "heads"))
    return [(each * block, head) for block, head in kept_heads(depth, heads)]


def planned_positions(structure: Mapping[str, Choice]) -> list[tuple[int, int, int]]:
    """Layer, row and column of each row of `positions`, as far as the data are known before they are read."""
    if "positions" not in inner_tables(structure):
        return []
    level = dataset_level(structure["dataset"])
    shape = level.shape if level is not None and len(level.shape) > 1 else (*UNKNOWN_PLACES, 1)
    sizes, found = list(sizes_of_layers(structure, shape)), []
    for layer in kept_layers(len(sizes)):
        rows, columns = sizes[layer] if len(sizes[layer]) == 2 else (1, *sizes[layer])
        found += [(layer, row, column) for row, column in kept_positions(rows, columns)]
    return found


def _near_ends(size: int, most: int, distances: tuple[int, ...]) -> tuple[int, ...]:
    """All of an axis up to a size; of a longer one those at these distances from either end."""
    if size <= most:
        return tuple(range(size))
    return tuple(sorted({*distances, *(size - 1 - each for each in distances)}))


def _few(middle: int) -> tuple[int, ...]:
    """Four distances from a border, as evenly as whole numbers allow on a log scale."""
    return (0, 1, isqrt(middle), middle)


def _named(structure: Mapping[str, Choice], factor: str) -> str:
    return structure[factor].name if factor in structure else ""
