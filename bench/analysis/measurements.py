"""What rules test, computed from the tables: `bench.rules.MEASURES`, by run and recorded step, or by run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.signal import log_ratio
from bench.analysis.tables import Tables
from bench.analysis.trajectories import run_codes
from bench.rules import When
from bench.schema import EventKind

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]
FIRST_MEAN_STEP = 10  # mean_log_update starts here, where TheDeepChecker starts to look


@dataclass(frozen=True)
class StepMeasures:
    """Measures of one table: row i belongs to run `run[i]` (its position in `runs`) at `step[i]`, in that order."""

    run: Indices
    step: Indices
    values: dict[str, Reals]

    def by_run(self, values: Reals, when: When, runs: int, extreme: np.ufunc = np.fmax) -> Reals:
        """Of one value a row the first, the last or the most extreme of each of `runs` runs; NaN without a row."""
        found = np.full(runs, np.nan)
        if not len(self.run):
            return found
        starts = np.flatnonzero(np.diff(self.run, prepend=-1))
        if when is When.EVER:
            found[self.run[starts]] = extreme.reduceat(values, starts)
        else:
            at = starts if when is When.START else np.append(starts[1:], len(self.run)) - 1
            found[self.run[at]] = values[at]
        return found


@dataclass(frozen=True)
class Measurements:
    """Every measure: those by step under their table's name, those by run as arrays in the order of `runs`."""

    by_step: dict[str, StepMeasures]
    by_run: dict[str, Reals]


def measurements(tables: Tables) -> Measurements:
    """Compute every measure. What was not recorded is NaN, or has no row."""
    runs = pd.Index(tables["runs"]["run_id"])
    norms = _Rows.of(tables["gradient_norms"], runs)
    layers = _Rows.of(tables["activations"], runs)
    rate = tables["runs"]["learning_rate"].to_numpy(np.float64)
    gone = tables["divergence_events"]
    gone = gone[gone["kind"] != EventKind.LOSS_LIMIT]
    return Measurements(
        by_step={
            "gradient_norms": StepMeasures(norms.run, norms.step, _gradient_measures(norms, rate)),
            "activations": StepMeasures(layers.run, layers.step, _activation_measures(layers)),
        },
        by_run={
            **_mean_log_update(norms, len(runs)),
            **_accuracy_measures(tables["evaluations"], runs),
            "nonfinite": runs.isin(gone["run_id"]).astype(np.float64),
        },
    )


@dataclass(frozen=True)
class _Rows:
    """A table of run × step × layer in that order: block b holds the layers of run[b] at step[b]."""

    frame: pd.DataFrame
    starts: Indices
    ends: Indices
    run: Indices
    step: Indices
    row_run: Indices

    @classmethod
    def of(cls, frame: pd.DataFrame, runs: pd.Index) -> _Rows:
        code, step = positions(frame["run_id"], runs), frame["step"].to_numpy(np.int64)
        key = code * (int(step.max()) + 1 if len(step) else 1) + step
        layer = frame["layer_index"].to_numpy(np.int64)
        rising = np.diff(key)
        if not bool(np.all((rising > 0) | ((rising == 0) & (np.diff(layer) > 0)))):
            order = np.lexsort((layer, key))
            frame, code, step, key = frame.iloc[order], code[order], step[order], key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1)) if len(key) else np.zeros(0, np.int64)
        ends = np.append(starts[1:], len(key)) if len(starts) else starts
        return cls(frame, starts, ends, code[starts], step[starts], code)

    def column(self, name: str) -> Reals:
        """A column's numbers; NaN where results are older than the column."""
        if name not in self.frame:
            return np.full(len(self.frame), np.nan)
        return np.asarray(self.frame[name].to_numpy(np.float64))

    def over_layers(self, reduce: np.ufunc, values: Reals) -> Reals:
        return np.asarray(reduce.reduceat(values, self.starts)) if len(self.starts) else np.zeros(0)


def positions(run_ids: pd.Series, runs: pd.Index) -> Indices:
    """The position of each row's run in `runs`."""
    code, known = run_codes(run_ids)
    return np.asarray(runs.get_indexer(known), np.int64)[code]


def _gradient_measures(rows: _Rows, rate: Reals) -> dict[str, Reals]:
    signal, norm = rows.column("preactivation_grad_norm"), rows.column("weight_grad_norm")
    weight, count = rows.column("weight_norm"), rows.column("weight_count")
    head = rows.ends - 1
    last_hidden = np.maximum(head - 1, rows.starts)
    mean_abs = rows.column("weight_grad_mean_abs")
    zeros = rows.column("weight_grad_zero_fraction") * count
    with np.errstate(divide="ignore", invalid="ignore"):
        by_layer = {
            "mean_abs_gradient": mean_abs,
            "rate_ratio": rate[rows.row_run] * norm / weight,
            "update_ratio": rows.column("update_norm") / weight,
            "weight_square": weight**2 / count,
        }
        ratio = norm[rows.starts] / norm[head]
        zero_share = rows.over_layers(np.add, zeros) / rows.over_layers(np.add, count)
    return {
        "signal_ratio": log_ratio(signal[rows.starts], signal[last_hidden]),
        "weight_gradient_first": norm[rows.starts],
        "weight_gradient_ratio": ratio,
        "zero_gradient_fraction": zero_share,
        **{f"{name}_min": rows.over_layers(np.fmin, values) for name, values in by_layer.items()},
        **{f"{name}_max": rows.over_layers(np.fmax, values) for name, values in by_layer.items()},
    }


def _activation_measures(rows: _Rows) -> dict[str, Reals]:
    shares = ("nonpositive_fraction", "large_fraction", "dead_fraction", "saturated_fraction")
    largest = {name: rows.over_layers(np.fmax, rows.column(name)) for name in shares}
    return {"collapse_gap": 1.0 - rows.column("pair_correlation")[rows.ends - 1], **largest}


def _mean_log_update(rows: _Rows, runs: int) -> dict[str, Reals]:
    """Mean log10 of update over weight by run and layer, then the extremes over a run's layers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log10(rows.column("update_norm") / rows.column("weight_norm"))
    late = (rows.frame["step"].to_numpy() >= FIRST_MEAN_STEP) & np.isfinite(log)
    layer = rows.frame["layer_index"].to_numpy(np.int64)
    width = int(layer.max()) + 1 if len(layer) else 1
    cell = (rows.row_run * width + layer)[late]
    count = np.bincount(cell, minlength=runs * width).reshape(runs, width)
    total = np.bincount(cell, weights=log[late], minlength=runs * width).reshape(runs, width).astype(np.float64)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return {
        "mean_log_update_min": np.asarray(np.fmin.reduce(mean, axis=1)),
        "mean_log_update_max": np.asarray(np.fmax.reduce(mean, axis=1)),
    }


def _accuracy_measures(evaluations: pd.DataFrame, runs: pd.Index) -> dict[str, Reals]:
    ordered = evaluations.sort_values("step", kind="stable")
    code = positions(ordered["run_id"], runs)
    gain = ordered.groupby(["run_id", "split"], observed=True, sort=False)["accuracy"].diff()
    return {
        "best_accuracy": _largest(code, ordered["accuracy"].to_numpy(np.float64), len(runs)),
        "largest_gain": _largest(code, gain.to_numpy(np.float64), len(runs)),
    }


def _largest(code: Indices, values: Reals, runs: int) -> Reals:
    """The largest value of each run; NaN where it has none."""
    best = np.full(runs, -np.inf)
    known = ~np.isnan(values)
    np.maximum.at(best, code[known], values[known])
    return np.where(np.isneginf(best), np.nan, best)


COMPARED: dict[str, Callable[[Reals, float], NDArray[np.bool_]]] = {
    "below": lambda values, threshold: values < threshold,
    "above": lambda values, threshold: values > threshold,
    "at_least": lambda values, threshold: values >= threshold,
}
