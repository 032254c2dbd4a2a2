"""Curves of every run for the explorer's detail view, thinned to a bound and kept as 16-bit integers.

Of each run: the pre-activation gradient norm by layer and step, the training loss by step, the accuracy by step and
split, and the validation loss by step. Runs that share depth and steps share a *structure*: the layers and steps that
are kept. A run's numbers lie one after the other, [layer][step] first, then losses, accuracies [split][step] and
validation losses. Where every network is one recurrent layer, the gradient left by lag stands in the layers' place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import Tables
from bench.analysis.curves import thinned
from bench.analysis.recurrent import layered
from bench.analysis.tables import PART, positions
from bench.analysis.through_time import lags, top_layer

MOST_VALUES = 2_600_000  # numbers in all: 5 MB before compression
MOST_LAYERS, MOST_STEPS, MOST_LOSSES, MOST_EVALUATIONS = 64, 40, 100, 20
SPLITS = ("train", "validation")
PER_EVALUATION = len(SPLITS) + 1  # accuracies, and the validation loss
MISSING, INFINITE, ZERO = -32768, 32767, -32767  # not a measured number, infinity, log10 of 0
COLUMNS = {"gradient_norms": "preactivation_grad_norm", "loss_curves": "loss", "evaluations": "accuracy"}
SCALE = 100.0  # hundredths of a decade; of a percent for accuracies, which are times SCALE * 100


@dataclass(frozen=True)
class Traces:
    """The curves: `values` of all runs in order, and what each run's numbers stand for."""

    values: NDArray[np.int16]
    structures: dict[str, Any]

    def packable(self) -> bytes:
        """The values in a third fewer bytes once compressed: the step from one to the next, signs in the last bit, all
        low bytes before all high ones. `numbers` in `templates/blobs.js` undoes it.
        """
        step = np.diff(self.values, prepend=np.int16(0))  # it wraps, as the sum that undoes it does
        signed_last = (step << 1) ^ (step >> 15)
        planes: NDArray[np.uint8] = signed_last.astype("<i2").view(np.uint8).reshape(-1, 2).T
        return planes.tobytes()


@dataclass(frozen=True)
class _Structure:
    layers: list[int]
    steps: list[int]
    losses: list[int]
    evaluations: list[int]

    @property
    def size(self) -> int:
        return len(self.layers) * len(self.steps) + len(self.losses) + PER_EVALUATION * len(self.evaluations)


def traces(tables: Tables, judged: pd.DataFrame) -> Traces:
    """The curves of all runs, in the order of `judged`."""
    runs = pd.Index(judged["run_id"])
    kind = pd.factorize(judged["depth"].astype(str) + "/" + judged["steps"].astype(str))[0].astype(np.int32)
    of_time = _by_lag(tables, judged)
    told = tables if of_time is None else {**tables, "gradient_norms": of_time}
    found = {name: _Found.of(told[name], runs, kind, column) for name, column in COLUMNS.items()}
    structures = [_structure(found, k, len(runs)) for k in range(int(kind.max()) + 1)]
    sizes = np.array([each.size for each in structures])[kind]
    offset = np.concatenate([[0], np.cumsum(sizes)])
    sheet = _Sheet(np.full(int(offset[-1]), MISSING, np.int16), offset)
    for k, each in enumerate(structures):
        sheet.write(found["gradient_norms"], k, {"layer_index": each.layers, "step": each.steps}, 0)
        start = len(each.layers) * len(each.steps)
        sheet.write(found["loss_curves"], k, {"step": each.losses}, start)
        start += len(each.losses)
        for split in SPLITS:
            sheet.write(found["evaluations"].only(split), k, {"step": each.evaluations}, start)
            start += len(each.evaluations)
        validation = replace(found["evaluations"].only("validation"), column="loss")
        sheet.write(validation, k, {"step": each.evaluations}, start)
    shared = [
        {"layers": each.layers, "steps": each.steps, "losses": each.losses, "evaluations": each.evaluations}
        for each in structures
    ]
    limits = _limits(sheet, structures, kind)
    structures_told = {"shared": shared, "of": kind.tolist(), "limits": limits}
    return Traces(sheet.values, structures_told | ({} if of_time is None else {"lag": True}))


def _by_lag(tables: Tables, judged: pd.DataFrame) -> pd.DataFrame | None:
    """The gradient by lag in the place of the layers', where every network is one recurrent layer; else None."""
    rows = top_layer(lags(tables)) if not layered(judged).any() else None
    if rows is None or rows.empty:
        return None
    norms = {"layer_index": rows["lag"], "layer_name": "lag", COLUMNS["gradient_norms"]: 10.0 ** rows["decades"]}
    return rows[["run_id", "step"]].assign(**norms)


@dataclass(frozen=True)
class _Found:
    """A table's rows with the position and structure of each one's run, and the column to keep of them."""

    frame: pd.DataFrame
    run: NDArray[np.int32]
    kind: NDArray[np.int32]
    column: str

    @classmethod
    def of(cls, frame: pd.DataFrame, runs: pd.Index, kind: NDArray[np.int32], column: str) -> _Found:
        run = positions(frame["run_id"], runs)
        return cls(frame, run, kind[run] if len(run) else run, column)

    def only(self, split: str) -> _Found:
        keep = (self.frame["split"] == split).to_numpy(bool)
        return _Found(self.frame[keep], self.run[keep], self.kind[keep], self.column)

    def parts(self) -> Iterator[_Found]:
        """The same rows, some after the other: what is computed of them stays small."""
        for start in range(0, len(self.frame), PART):
            rows = slice(start, start + PART)
            yield _Found(self.frame.iloc[rows], self.run[rows], self.kind[rows], self.column)

    def numbers(self, keep: NDArray[np.bool_]) -> NDArray[np.int16]:
        """The column of some rows as 16-bit integers."""
        kept = self.frame[self.column][keep]
        return _percent(kept) if self.column == "accuracy" else _decades(kept)


@dataclass(frozen=True)
class _Sheet:
    """All runs' numbers, and where each run's begin."""

    values: NDArray[np.int16]
    offset: NDArray[np.int64]

    def write(self, found: _Found, kind: int, axes: dict[str, list[int]], start: int) -> None:
        """Write the numbers of one structure's rows to where they belong, `start` after their run's first."""
        for part in found.parts() if all(axes.values()) else ():
            self._write(part, kind, axes, start)

    def _write(self, found: _Found, kind: int, axes: dict[str, list[int]], start: int) -> None:
        position = np.zeros(len(found.run), np.int64)
        keep = found.kind == kind
        for name, kept in axes.items():
            given = found.frame[name].to_numpy(np.int64)
            index = np.searchsorted(kept, given).clip(max=len(kept) - 1)
            keep &= np.asarray(kept)[index] == given
            position = position * len(kept) + index
        self.values[self.offset[found.run[keep]] + start + position[keep]] = found.numbers(keep)


def _structure(found: dict[str, _Found], kind: int, runs: int) -> _Structure:
    """The layers and steps kept of the runs of one kind: fewer, the more runs there are."""
    budget = MOST_VALUES / runs
    norms, losses, rated = (found[name] for name in ("gradient_norms", "loss_curves", "evaluations"))
    evaluations = thinned(_steps(rated, kind), MOST_EVALUATIONS if budget > 600 else 8)
    curve = thinned(_steps(losses, kind), int(min(MOST_LOSSES, max(16, budget / 8))))
    left = max(24.0, budget - len(curve) - PER_EVALUATION * len(evaluations))
    hidden = (norms.kind == kind) & (norms.frame["layer_name"] != "head").to_numpy(bool)
    layers, steps = (pd.unique(norms.frame[name].to_numpy()[hidden]).tolist() for name in ("layer_index", "step"))
    most_layers, most_steps = MOST_LAYERS, MOST_STEPS
    while min(len(layers), most_layers) * min(len(steps), most_steps) > left:
        if min(len(layers), most_layers) >= min(len(steps), most_steps):
            most_layers = min(len(layers), most_layers) - 1
        else:
            most_steps = min(len(steps), most_steps) - 1
    return _Structure(thinned(layers, most_layers), thinned(steps, most_steps), curve, evaluations)


def _steps(found: _Found, kind: int) -> list[int]:
    return list(pd.unique(found.frame["step"].to_numpy()[found.kind == kind]).tolist())


def _decades(column: pd.Series) -> NDArray[np.int16]:
    """log10 in hundredths, with the marks for what has none."""
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(numbers)
    marked = np.where(np.isnan(logs), MISSING, np.where(np.isposinf(logs), INFINITE, ZERO))
    scaled = np.round(np.clip(np.where(np.isfinite(logs), logs, 0.0), -300.0, 300.0) * SCALE)
    return np.where(np.isfinite(logs), scaled, marked).astype(np.int16)


def _percent(column: pd.Series) -> NDArray[np.int16]:
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(numbers), MISSING, np.round(np.nan_to_num(numbers) * 100.0 * SCALE)).astype(np.int16)


def _limits(sheet: _Sheet, structures: list[_Structure], kind: NDArray[np.int32]) -> list[float]:
    """The 1st and 99th percentile of all norms in decades: the heatmaps' common scale."""
    heat = np.array([len(each.layers) * len(each.steps) for each in structures], np.int64)[kind]
    run = np.repeat(np.arange(len(kind)), heat)
    within = np.arange(len(run)) - np.repeat(np.cumsum(heat) - heat, heat)
    known = sheet.values[sheet.offset[run] + within]
    known = known[(known != MISSING) & (known != INFINITE) & (known != ZERO)]
    if not len(known):
        return [-1.0, 1.0]
    low, high = (float(np.percentile(known, q)) / SCALE for q in (1, 99))
    return [low, high] if high > low else [low - 1.0, high + 1.0]
