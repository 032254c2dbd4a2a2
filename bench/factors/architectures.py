"""Architectures and their size."""

from __future__ import annotations

from dataclasses import dataclass

from bench.factors.base import Factor, Level, Number, Place


@dataclass(frozen=True)
class ArchitectureLevel(Level):
    """A kind of network, and the kinds of data it takes (`DatasetLevel.kind`)."""

    accepts: tuple[str, ...] = ()


ARCHITECTURE = Factor(
    "architecture",
    "The kind of network.",
    Place.GRAPH,
    default="mlp",
    levels=(
        ArchitectureLevel(
            "mlp",
            "Fully connected layers of equal width; inputs are flattened.",
            "Rumelhart, Hinton & Williams 1986",
            accepts=("vector", "signal", "image"),
        ),
    ),
)

DEPTH = Factor(
    "depth",
    "Number of hidden layers; the head comes on top.",
    Place.GRAPH,
    default=4,
    number=Number(int, minimum=1, maximum=10_000),
)

WIDTH = Factor(
    "width",
    "Units in each hidden layer.",
    Place.GRAPH,
    default=64,
    number=Number(int, minimum=1, maximum=100_000),
)
