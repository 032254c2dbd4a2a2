"""Where events were seen, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.parts import places_of
from bench.analysis.recurrent import sequence_length


def places(events: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Of each row of `divergence_events` its tensor and where: `pre-activation of layer 0 at time step 37 of 50`.

    Of a transformer it says `pre-activation of block 3's attention`.

    Args:
        events: the rows.
        runs: of the table `runs` at least theirs, for the length of their sequences and what their layers are.
    """
    datasets = runs.set_index(runs["run_id"].astype(str))["dataset"].astype(str)
    lengths = [sequence_length(datasets[run]) for run in events["run_id"].astype(str)]
    unknown = pd.Series(np.nan, index=events.index)  # of results without that column
    layers, times = (events.get(name, unknown).astype("Float64") for name in ("layer_index", "time"))
    parts = places_of(layers, events["run_id"], runs)
    return [
        f"{tensor}{f' of {place}' if place else ''}{'' if pd.isna(time) else _at(time, length)}"
        for tensor, place, time, length in zip(events["tensor"], parts, times, lengths, strict=True)
    ]


def skipped_steps(curve: pd.DataFrame) -> str:
    """How many steps of a run a loss scale skipped: `3 of 12 steps skipped`.

    Args:
        curve: its rows of `loss_curves`, of a run whose loss is scaled.
    """
    last = curve.sort_values("step").iloc[-1]
    count, steps = int(last["skipped"]), int(last["step"]) + 1
    if not count:
        return "no step skipped"
    if count == steps:
        return f"every one of {steps} steps skipped, so that its weights are those of the start"
    return f"{count} of {steps} steps skipped"


def _at(time: float, length: int | None) -> str:
    return f" at time step {int(time)}{f' of {length}' if length else ''}"
