"""Kinds of recurrent networks, alike before the first update: how far back their gradients reach, and by theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np
import pandas as pd

from bench.analysis import Outcome
from bench.analysis.through_time import drawn_once, horizons, kinds, top_layer
from bench.analysis.time_theory import features_of, input_mean_squares, predicted
from bench.report.axes import Axis
from bench.report.frames import Frames
from bench.report.sections.network_words import varying
from bench.schema import RunStatus
from bench.text import integer, number
from bench.theory.lags import LagProfile, horizon


@dataclass(frozen=True)
class Kind:
    """Networks that are alike before the first update: their runs, and what theory says of them.

    Attributes:
        name: their levels in words; `cell` the cell's alone, `start` the others', "" where they do not vary.
        levels: the same by factor.
        starts: horizon, longest, left, peak and peak_lag of one run a replicate, in the layer nearest the loss.
        theory: the prediction, or why there is none.
        runs: all of the kind, as judged.
    """

    name: str
    cell: str
    start: str
    levels: Mapping[str, str]
    starts: pd.DataFrame
    theory: LagProfile | str
    runs: pd.DataFrame

    @property
    def longest(self) -> int:
        """The largest recorded lag."""
        return int(self.starts["longest"].max())

    @cached_property
    def reach(self) -> float:
        """The median horizon, infinite where over half of the networks keep 1 % to the first step."""
        return float(self.starts["horizon"].median())

    @property
    def told(self) -> str:
        """The predicted horizon; `none` where theory says nothing."""
        if isinstance(self.theory, str):
            return "not predicted"
        at = horizon(self.theory)
        return within(np.inf if at is None else float(at), self.longest)


def within(lag: float, longest: int) -> str:
    """A horizon in words: a lag, or `over 39` where it lies beyond the largest."""
    return number(lag) if isfinite(lag) else f"over {integer(longest)}"


def kinds_of(frames: Frames, runs: pd.DataFrame, rows: pd.DataFrame) -> list[Kind]:
    """Every kind with a gradient by lag at its runs' first recorded step, the farthest horizon first."""
    by = kinds([axis.factor for axis in varying(frames, runs)])
    axes = {axis.factor: axis for axis in frames.axes}
    first = rows["step"] == rows.groupby("run_id")["step"].transform("min")
    starts = top_layer(rows[first])
    if starts.empty:
        return []
    measured = horizons(starts).set_index("run_id")
    squares, features = input_mean_squares(frames.tables), features_of(frames.tables)
    plain = frames.tables["runs"].set_index("run_id", drop=False)
    found = []
    for _, own in runs.groupby(by, observed=True, sort=True) if by else [((), runs)]:
        ids = [each for each in drawn_once(own, by)["run_id"].astype(str) if each in measured.index]
        if not ids:
            continue
        levels = {name: str(own[name].iloc[0]) for name in by}
        own_starts = measured.loc[ids]
        run = {str(k): v for k, v in plain.loc[ids[0]].to_dict().items()}
        told = predicted(run, int(own_starts["longest"].max()), int(features.get(ids[0], 0)), squares)
        cell = axes["cell"].change(levels["cell"]) if "cell" in levels else ""
        found.append(Kind(kind_words(levels, axes), cell, start_words(levels, axes), levels, own_starts, told, own))
    return sorted(found, key=lambda each: (-each.reach, -each.longest))


def kind_words(levels: Mapping[str, str], axes: Mapping[str, Axis]) -> str:
    """`LSTM, gate bias chrono`: without what is absent, and without the gates of a cell that has none."""
    cell = [axes["cell"].change(levels["cell"])] if "cell" in levels else []
    return ", ".join(filter(None, [*cell, start_words(levels, axes)])) or "all networks"


def start_words(levels: Mapping[str, str], axes: Mapping[str, Axis]) -> str:
    """The same of all factors but the cell; "" where nothing is left."""
    return ", ".join(
        axes[name].change(level).replace("(", " (")  # where a long name may break
        for name, level in levels.items()
        if name != "cell" and level != "none" and not (name == "gate_bias" and levels.get("cell") == "simple")
    )


def per_network(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """By cell_key the median horizon at the first and last recorded step, the largest lag, learned, runs and lost."""
    top = top_layer(rows[rows["run_id"].isin(runs["run_id"].astype(str))])
    parts = {}
    for name, pick in (("start", "min"), ("end", "max")):
        at = top[top["step"] == top.groupby("run_id")["step"].transform(pick)]
        parts[name] = horizons(at).set_index("run_id")
    ids = runs["run_id"].astype(str)
    table = pd.DataFrame(
        {
            "cell_key": runs["cell_key"].to_numpy(),
            "start": ids.map(parts["start"]["horizon"]).to_numpy(),
            "end": ids.map(parts["end"]["horizon"]).to_numpy(),
            "longest": ids.map(parts["start"]["longest"]).to_numpy(),
            "steps": (ids.map(parts["end"]["step"]) > ids.map(parts["start"]["step"])).to_numpy(),
            "learned": (runs["outcome"] == Outcome.LEARNED).to_numpy(int),
            "lost": (runs["status"] != RunStatus.COMPLETED).to_numpy(int),
        }
    )
    grouped = table[table["start"].notna()].groupby("cell_key", sort=False)
    medians = grouped[["start", "end", "longest"]].median()
    return medians.assign(
        learned=grouped["learned"].sum(), runs=grouped.size(), lost=grouped["lost"].sum(), later=grouped["steps"].any()
    )
