"""What every analysis reads: the tables as frames, and the two moments of a run at which it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pandas as pd

Tables = Mapping[str, pd.DataFrame]


class Moment(StrEnum):
    """When in a run: at its first recorded step (0 unless the suite says otherwise) or at its last."""

    START = "start"
    END = "end"


def at_moment(frame: pd.DataFrame, moment: Moment) -> pd.DataFrame:
    """The rows of each run's first or last recorded step; for a run that diverged, the last before it did."""
    if frame.empty:
        return frame
    steps = frame.groupby("run_id", sort=False, observed=True)["step"]
    return frame[frame["step"] == steps.transform("min" if moment is Moment.START else "max")]
