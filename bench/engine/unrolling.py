"""When layers stand in a graph one after the other, and when they are one loop.

An unrolled layer costs 15 to 70 ms of tracing and spares each run 6 to 15 microseconds a step (docs/performance.md),
which pays when runs times steps are many.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.plan import Run

FEW_LAYERS, MOST_LAYERS = 16, 256
MANY_STEPS = 10_000


def is_unrolled(layers: int, runs: Sequence[Run]) -> bool:
    """Whether a network of so many layers is unrolled for these runs."""
    steps = int(runs[0].choices["steps"].value or 0)
    return layers <= (MOST_LAYERS if len(runs) * steps >= MANY_STEPS else FEW_LAYERS)
