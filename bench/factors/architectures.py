"""Architectures and their size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.factors.base import Choice, Factor, Level, Number, Place

ACTIVATION_FLOATS = 8  # per unit of a dense layer, kept for the backward pass
FLOPS_PER_WEIGHT = 6  # of a dense layer: two forward, four backward


@dataclass(frozen=True)
class Costs:
    """What a run of a network takes.

    Attributes:
        weights: numbers in its kernels.
        activations: numbers that the backward pass needs of each sample.
        flops: operations for each sample and step.
        layers: hidden layers: rows of a measured step.
    """

    weights: int
    activations: int
    flops: int
    layers: int


def dense_costs(structure: Mapping[str, Choice], features: int, outputs: int) -> Costs:
    """Of fully connected layers of equal width, with samples of so many features and a head of so many units."""
    depth, width = (int(structure[name].value or 0) for name in ("depth", "width"))
    weights = width * (features + width * (depth - 1) + outputs)
    return Costs(weights, ACTIVATION_FLOATS * width * depth, FLOPS_PER_WEIGHT * weights, depth)


@dataclass(frozen=True)
class ArchitectureLevel(Level):
    """A kind of network, the kinds of samples it takes (`DatasetLevel.kind`) and what it costs.

    `costs` takes a structure, the features of a sample and the units of the head.
    """

    accepts: tuple[str, ...] = ()
    costs: Callable[[Mapping[str, Choice], int, int], Costs] = dense_costs


def costs_of(structure: Mapping[str, Choice], features: int, outputs: int) -> Costs:
    """What a structure costs; one from outside, which planning does not import, as dense layers of its size would."""
    level = ARCHITECTURE.level(structure["architecture"].name)
    costs = level.costs if isinstance(level, ArchitectureLevel) else dense_costs
    return costs(structure, features, outputs)


ARCHITECTURE = Factor(
    "architecture", "The kind of network.", Place.GRAPH, default="mlp", plugins=True,
    levels=(
        ArchitectureLevel(
            "mlp", "Fully connected layers of equal width; inputs are flattened.", "Rumelhart, Hinton & Williams 1986",
            target="bench.engine.architectures.mlp:build", accepts=("vector", "sequence", "image"),
        ),
    ),
)  # fmt: skip

DEPTH = Factor(
    "depth", "Number of hidden layers; the head comes on top.", Place.GRAPH, default=4,
    number=Number(int, minimum=1, maximum=10_000),
)  # fmt: skip

WIDTH = Factor(
    "width", "Units in each hidden layer.", Place.GRAPH, default=64, number=Number(int, minimum=1, maximum=100_000),
)  # fmt: skip
