"""Which time steps of a sequence the tables keep, and how far each lies from a loss: what a plan and a graph share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.factors.architectures import has_time
from bench.factors.base import Choice
from bench.factors.datasets import DataKind, dataset_level
from bench.factors.recurrence import FORWARD, directions_of

UNKNOWN_LENGTH = 28  # of data that only the data can describe, as an MNIST image's rows


@dataclass(frozen=True)
class Moment:
    """A time step of a recurrent layer, 0 the sequence's first, as one direction computes it.

    `lag` counts the steps on which a gradient comes to it from the first loss that can see it.
    """

    direction: str
    time: int
    lag: int


def kept_distances(length: int) -> tuple[int, ...]:
    """Distances from the last step that are kept of a sequence, ascending: 0, 1, 2, 3, 4, 6, 8, 12, ... and the first.

    Neighbours from 2 on differ by a factor of at most 1.5; of 1,000 steps 21 are kept, of any number under 50,000 at
    most 32.
    """
    grid = sorted({0, 1} | {part << k for k in range(length.bit_length()) for part in (2, 3)})
    return (*(each for each in grid if each < length - 1), length - 1)


def moments(
    length: int, *, each: bool, directions: Sequence[str] = (FORWARD,), last: bool = True
) -> tuple[Moment, ...]:
    """The time steps that are kept of one layer, direction by direction, from the last computed one back.

    Args:
        length: time steps of a sequence.
        each: whether there is a loss at every step; else at the last that a direction computes.
        directions: those of every layer.
        last: whether the head reads the layer. Under a layer with two directions a state is seen at both ends.
    """

    def lag(time: int, distance: int) -> int:
        if each:
            return 0
        return distance if last or len(directions) == 1 else min(time, length - 1 - time)

    return tuple(
        Moment(direction, time, lag(time, distance))
        for direction in directions
        for distance in kept_distances(length)
        for time in ((length - 1 - distance) if direction == FORWARD else distance,)
    )


def planned_moments(structure: Mapping[str, Choice]) -> list[tuple[int, Moment]]:
    """The time steps that are kept of every layer, by layer, as far as the data are known before they are read.

    None where the network has no time; for sequences of unknown length, those of an image's rows.
    """
    level = dataset_level(structure["dataset"])
    if not has_time(structure["architecture"]):
        return []
    length = level.shape[0] if level is not None and level.shape else UNKNOWN_LENGTH
    each = level is not None and level.asks is DataKind.CLASSES_EACH
    depth, directions = int(structure["depth"].value or 0), directions_of(structure)
    return [
        (layer, moment)
        for layer in range(depth)
        for moment in moments(length, each=each, directions=directions, last=layer == depth - 1)
    ]
