"""Steps that a loss scale skips: an event where a run begins to skip, told so many times a run, and counted always."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.engine.divergence import Event, dated, locate
from bench.schema import MOST_SKIPS_TOLD, EventKind


class SkippedSteps:
    """What is remembered of the steps that each run of a cohort skipped."""

    def __init__(self, runs: int) -> None:
        self._skipping = np.zeros(runs, bool)  # whether the last step was skipped: then this one is no news
        self._told = np.zeros(runs, int)

    @property
    def news(self) -> np.ndarray:
        """The runs in which a skipped step would be an event, [R]: to find where it overflowed takes a second look."""
        return ~self._skipping & (self._told < MOST_SKIPS_TOLD)

    def events(self, step: int, found: dict[str, np.ndarray], alive: np.ndarray) -> list[Event]:
        """The events of a step.

        Args:
            found: what the step found: which runs skip it, and, where one of `news` does, `facts` and `times`.
            alive: the runs that go on, [R].
        """
        skips = found["skips"]
        told = skips & self.news & alive
        self._skipping = skips
        self._told += told
        events = []
        for run in np.flatnonzero(told).tolist():
            place = dated(locate(found["facts"], run, step, (float(found["loss"][run]), None)), found["times"])
            scale = float(found["loss_scale"][run])
            events.append(replace(place, kind=EventKind.SKIPPED_STEP, value=scale))
        return events
