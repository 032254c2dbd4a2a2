"""What each number means that a recorded step hands out: its layers in order, its variables, and where each stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

STATISTICS = (
    "mean", "std", "unit_std", "saturated_fraction", "dead_fraction", "nonpositive_fraction", "large_fraction",
    "pair_correlation",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One call of a layer: a row of the tables with layers.

    Attributes:
        name: the layer's path, with `#2` behind it for a second call.
        kind: its class.
        sees: what is seen of it: `preactivation`, or `output` alone, as of recurrent layers.
        variables: places of its kernels among the layout's variables; of a second call none, for there is one gradient.
        activation: what makes its output, by name; empty where nobody knows.
    """

    name: str
    kind: str
    sees: str
    variables: tuple[int, ...] = ()
    activation: str = ""
    features: int = 0  # units of its output
    head: bool = False


@dataclass(frozen=True)
class Variable:
    """A trainable variable: its path, its size, the row of the layer that it goes with, and its name there."""

    path: str
    size: int
    row: int
    group: str


@dataclass(frozen=True)
class Layout:
    """Rows and variables of a trace, and the place of each number in what its steps hand out.

    Attributes:
        at: by what it is (`("row", 3, "gradient")`, `("variable", 0, "clipped")`, `("step", 0, "loss")`) its place.
        targets: what is asked for; `("target_sum", k, "sum")` are `target_sums.target_sums`.
        unseen: layers with weights whose inside or whole was not seen, and why.
    """

    rows: tuple[Place, ...] = ()
    variables: tuple[Variable, ...] = ()
    at: dict[tuple[str, int, str], int] = field(default_factory=dict)
    unseen: tuple[tuple[str, str], ...] = ()
    targets: str = ""

    @cached_property
    def judged(self) -> np.ndarray:
        """Places of the numbers that must be finite: sums of squares, and the loss."""
        names = ("z", "h", "z_gradient", "h_gradient", "weight", "gradient", "square", "loss")
        return np.array([place for (_, _, name), place in self.at.items() if name in names])
