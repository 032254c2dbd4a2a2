"""A step's tensors in order of computation, each with its norm: where the first is that is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from bench.recorder.rows import Step, root


@dataclass(frozen=True)
class Link:
    """A tensor of the step: what it is, of which layer, and its Euclidean norm."""

    tensor: str
    layer: str
    norm: float

    @property
    def finite(self) -> bool:
        """Whether every number of it is."""
        return math.isfinite(self.norm)


def links_of(step: Step) -> list[Link]:
    """Data, weights, layers, loss, and gradients back; weights' gradients come last, the loss's side first."""
    names = [row.name for row in step.layout.rows]
    links = [
        Link(str(tensor), "" if row is None else names[row], abs(value) if str(tensor) == "loss" else _norm(value))
        for tensor, row, value in step.in_order()
    ]
    weights = [Link("weights' gradient", each.path, 0.0) for each in reversed(step.layout.variables)]
    for k, each in enumerate(weights, len(links) - len(weights)):
        links[k] = replace(each, norm=links[k].norm)
    return links


def _norm(square: float) -> float:
    found = root(square)
    return math.nan if found is None else found
