"""What is remembered of losses while runs train, and when one is over its limit."""

from __future__ import annotations

import numpy as np

from bench.schema import LOSS_LIMIT_FACTOR


class Losses:
    """What is remembered of the losses of each run."""

    def __init__(self, runs: int) -> None:
        self.first: np.ndarray | None = None
        self.finite = np.full(runs, np.nan)
        self.crossed = np.zeros(runs, bool)

    def last(self, run: int) -> float | None:
        """The last finite loss of a run."""
        return None if np.isnan(self.finite[run]) else float(self.finite[run])

    def over(self, loss: np.ndarray, alive: np.ndarray, chance: float) -> list[tuple[int, float]]:
        """The runs that cross their limit now for the first time, with the limit."""
        if self.first is None:
            self.first = loss.copy()
        self.finite = np.where(np.isfinite(loss), loss, self.finite)
        limit = LOSS_LIMIT_FACTOR * np.maximum(np.nan_to_num(self.first, nan=0.0, posinf=0.0), chance)
        news = alive & ~self.crossed & np.isfinite(loss) & (loss > limit)
        self.crossed |= news
        return [(int(run), float(limit[run])) for run in np.flatnonzero(news)]
