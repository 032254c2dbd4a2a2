"""Where in its records a run shows a sign of trouble: the first step and layer at which each rule of `causes` holds.

Every finder takes all runs at once and gives a frame of signs, as `records` has them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.quantities import log_ratio
from bench.analysis.records import NO_LAYER, Records, hits, none
from bench.analysis.tables import Indices, Reals, Rows
from bench.analysis.through_time import PLACE, lags
from bench.factors import FACTORS, ActivationLevel, DataKind, TaskLevel, level_name, read_label

Flags = NDArray[np.bool_]

AVERAGING = "batch_normalization"  # the one normalization of the catalogue that keeps moving averages
LARGE_TARGETS = 1e4  # variance of targets that are values: 100 of the network's first outputs
TWICE = 2.0
STILL = 1e-4  # of a kernel's norm: a change below it moves nothing


def not_finite(records: Records, threshold: float) -> pd.DataFrame:
    """A NaN or an infinity in the first step, where nothing before it in order of computation was too large."""
    found = records.broken[records.broken["step"] == 0]
    blown = records.blown().set_index("run")
    early = blown["layer"].reindex(found["run"]).to_numpy(np.float64)
    return found[~(early >= 0)]


def diverged(records: Records, threshold: float) -> pd.DataFrame:
    """The first NaN or infinity, whenever."""
    return records.broken


def loss_too_large(records: Records, threshold: float) -> pd.DataFrame:
    """A loss before any training of many times the best constant answer's; of classes that is taken as ln 2 at least.

    Of classes a sound network starts near ln K, though the best constant answer of unequal ones has far less; of a
    task's values it starts with the loss of an answer of 0.
    """
    loss, naive = records.at_step("loss_curves", "loss", 0), records.of_run("naive_loss")
    naive = np.where(np.isnan(records.of_run("naive_accuracy")), naive, np.fmax(naive, np.log(2.0)))
    usual = threshold * np.array([each.zero_loss if each is not None else 1.0 for each in records.datasets])
    bad = records.broken
    loss[bad.loc[(bad["step"] == 0) & (bad["layer"] >= 0), "run"].to_numpy()] = np.nan
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(loss >= usual * naive)
    return hits(at, np.zeros_like(at), NO_LAYER, loss[at] / naive[at], usual[at])


def targets_out_of_range(records: Records, threshold: float) -> pd.DataFrame:
    """Targets that are values, far larger than what a network answers at first, or far from 0; not those of a task."""
    naive, values = records.of_run("naive_loss"), np.isnan(records.of_run("naive_accuracy"))
    values &= [not isinstance(each, TaskLevel) for each in records.datasets]
    loss = _squared(records, records.at_step("loss_curves", "loss", 0))
    naive = _squared(records, naive)
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(values & ((naive >= LARGE_TARGETS) | ((loss >= threshold * naive) & (naive > 0))))
    return hits(at, np.zeros_like(at), NO_LAYER, np.sqrt(naive[at]), np.sqrt(LARGE_TARGETS))


def _squared(records: Records, losses: Reals) -> Reals:
    """Of each run the squared error that one error with such a loss has: squares compare, whatever is minimized."""
    runs, found = records.tables["runs"], losses.copy()
    for label in runs["loss"].dropna().unique() if "loss" in runs else ():
        choice, own = read_label(FACTORS["loss"], str(label)), (runs["loss"] == label).to_numpy(bool)
        if choice.name == "mean_absolute_error":
            found[own] = losses[own] ** 2
        elif choice.name == "huber":
            delta = float(choice.setting("delta"))
            straight = (losses[own] / delta + delta / 2.0) ** 2
            found[own] = np.where(losses[own] <= delta**2 / 2.0, 2.0 * losses[own], straight)
    return found


def inputs_out_of_range(records: Records, threshold: float) -> pd.DataFrame:
    """Inputs whose root mean square, as the first layer's pre-activation and kernel tell it, is far from 1."""
    square = records.in_first_layer("activations", "preactivation_mean_square")
    weight = records.in_first_layer("gradient_norms", "weight_norm")
    dense = (records.tables["runs"]["architecture"] == "mlp").to_numpy(bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt(square * records.of_run("width")) / weight
        at = np.flatnonzero(dense & np.isfinite(size) & (size >= threshold))
    return hits(at, np.zeros_like(at), 0, size[at], threshold)


def dead(records: Records, threshold: float) -> pd.DataFrame:
    """Units without a slope; not those of an activation that is flat on both sides, which is at its limits there.

    Of relu6, which is flat at 0 and at 6, units are dead where as many outputs are 0.
    """
    rows = records.rows("activations")
    names = records.tables["runs"]["activation"].astype(str).map(level_name, na_action="ignore")
    known = {each.name: each for each in FACTORS["activation"].levels if isinstance(each, ActivationLevel)}
    flat = np.array([name in known and known[name].saturates for name in names], bool)
    rectified = np.array([name in known and known[name].rectifier for name in names], bool)
    off = rectified[rows.row_run] & (rows.column("nonpositive_fraction") >= threshold)
    share = rows.column("dead_fraction")
    at = np.flatnonzero((share >= threshold) & (~flat[rows.row_run] | off))
    return hits(rows.row_run[at], rows.row_step[at], rows.layer[at], share[at], threshold)


def identical(records: Records, threshold: float) -> pd.DataFrame:
    """Units of a layer that are copies of each other from the start, though they are not dead."""
    rows = records.rows("activations")
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt(rows.column("mean") ** 2 + rows.column("std") ** 2)
        spread = rows.column("unit_std") / size
    spread = np.where((size == 0.0) & (rows.layer == 0), 0.0, spread)  # tanh of nothing is nothing in every unit
    alive = ~(rows.column("dead_fraction") >= 1.0)
    wide = records.of_run("width")[rows.row_run] > 1
    at = np.flatnonzero((spread <= threshold) & alive & wide & np.repeat(rows.first, rows.sizes))
    return hits(rows.row_run[at], rows.row_step[at], rows.layer[at], spread[at], threshold)


def ratios(records: Records, threshold: float) -> pd.DataFrame:
    """The first step at which the signal, first hidden layer over last, passes a threshold in decades.

    Below a negative one it vanishes, above a positive one it explodes. The layer is the first on the way back from the
    last hidden one that has passed it too.
    """
    rows, sign = records.rows("gradient_norms"), np.sign(threshold)
    found = []
    for part in rows.parts() if len(rows.starts) else ():
        chosen = np.flatnonzero(part.layers((0, -1)))
        if not len(chosen):  # no run has a hidden layer
            continue
        signal, block = part.column("preactivation_grad_norm")[chosen], part.row_block[chosen]
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        ends = np.append(starts[1:], len(block)) - 1
        ratio = log_ratio(signal[starts], signal[ends])
        passed = np.flatnonzero(sign * ratio > abs(threshold))
        run = part.run[block[starts[passed]]]
        passed = passed[np.diff(run, prepend=-1) != 0]  # of each run the first step
        layer = [_last_passed(signal[starts[at] : ends[at] + 1], threshold) for at in passed]
        of = block[starts[passed]]
        found.append(hits(part.run[of], part.step[of], np.array(layer, np.int64), ratio[passed], threshold))
    return pd.concat(found) if found else none()


def _last_passed(signal: Reals, threshold: float) -> int:
    ratio = log_ratio(signal, np.full(len(signal), signal[-1]))
    return int(np.flatnonzero(np.sign(threshold) * ratio > abs(threshold)).max(initial=0))


def forgotten(records: Records, threshold: float) -> pd.DataFrame:
    """Where next to nothing of the gradient reaches the first time step at any recorded step, in any layer.

    The value is the most that did. Not of networks that read the sequence backward too: to them no step is far.
    """
    rows = lags(records.tables)
    ends = rows.drop_duplicates(PLACE, keep="last")  # the largest lag of each profile
    ends = ends[~ends["run_id"].isin(ends.loc[ends["direction"] == "backward", "run_id"])]
    most = ends.groupby("run_id")["decades"].max()
    first = ends.groupby("run_id")["step"].min()
    gone = most[most < threshold]
    run = records.runs.get_indexer(gone.index).astype(np.int64)
    return hits(run, first[gone.index].to_numpy(np.int64), NO_LAYER, gone.to_numpy(np.float64), threshold)


def grown(records: Records, threshold: float) -> pd.DataFrame:
    """The first step at which the gradient at some lag is many times that at lag 0; `tensor` names that lag."""
    rows = lags(records.tables)
    largest = rows.sort_values("decades", ascending=False, kind="stable").drop_duplicates(["run_id", "step"])
    found = largest[largest["decades"] > threshold].sort_values("step", kind="stable")
    run = records.runs.get_indexer(found["run_id"]).astype(np.int64)
    layer, value = found["layer_index"].to_numpy(np.int64), found["decades"].to_numpy(np.float64)
    signs = hits(run, found["step"].to_numpy(np.int64), layer, value, threshold)
    return signs.assign(tensor=[f"lag {found['lag'].iloc[at]}" for at in signs.index])


def collapsed(records: Records, threshold: float) -> pd.DataFrame:
    """Samples that the last hidden layer maps to one direction, from the start."""
    rows = records.rows("activations")
    gap = 1.0 - rows.column("pair_correlation")
    last = np.diff(rows.row_block, append=-1) != 0
    at = np.flatnonzero((gap < threshold) & last & np.repeat(rows.first, rows.sizes))
    return hits(rows.row_run[at], rows.row_step[at], rows.layer[at], gap[at], threshold)


def rising(records: Records, threshold: float) -> pd.DataFrame:
    """A training loss that rises to many times its start or the best constant answer's, whichever is more."""
    rows = records.rows("loss_curves")
    usual = np.fmax(records.at_step("loss_curves", "loss", 0), records.of_run("naive_loss"))
    with np.errstate(invalid="ignore", divide="ignore"):
        times = rows.column("loss") / usual[rows.row_run]
        at = np.flatnonzero(times >= threshold)
    return hits(rows.row_run[at], rows.row_step[at], NO_LAYER, times[at], threshold)


def still(records: Records, threshold: float) -> pd.DataFrame:
    """Kernels that never move: the largest change of any in any step, over the kernel, is below the threshold."""
    rows = records.rows("gradient_norms")
    size, most = rows.column("weight_norm"), np.full(len(records.runs), -np.inf)
    moved = np.divide(rows.column("update_norm"), size, out=np.full(len(size), np.nan), where=size > 0.0)
    np.fmax.at(most, rows.row_run, moved)
    at = np.flatnonzero((most < threshold) & (most >= 0.0))
    last = _last_steps(rows, len(records.runs))
    return hits(at, last[at], NO_LAYER, most[at], threshold)


def clipped_away(records: Records, threshold: float) -> pd.DataFrame:
    """Kernels that never move because clipping leaves next to nothing of the gradient at any recorded step."""
    rows, most = records.rows("loss_curves"), np.full(len(records.runs), np.nan)
    whole = rows.column("global_grad_norm")
    left = np.divide(rows.column("clipped_grad_norm"), whole, out=np.full(len(whole), np.nan), where=whole > 0.0)
    np.fmax.at(most, rows.row_run, left)
    found = still(records, STILL)
    at = found["run"].to_numpy(np.int64)
    with np.errstate(invalid="ignore"):
        return found.assign(value=most[at], threshold=threshold)[most[at] <= threshold]


def decayed(records: Records, threshold: float) -> pd.DataFrame:
    """The first recorded step at which every kernel has shrunk to next to nothing of what it was at the first."""
    rows = records.rows("gradient_norms")
    size, start = rows.column("weight_norm"), np.repeat(rows.first, rows.sizes)
    keys = pd.MultiIndex.from_arrays([rows.row_run, rows.layer])
    first = pd.Series(size[start], keys[start])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = size / first[~first.index.duplicated()].reindex(keys).to_numpy(np.float64)
    most = np.full(len(rows.starts), np.nan)
    np.fmax.at(most, rows.row_block, share)
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero(most <= threshold)
    return hits(rows.run[at], rows.step[at], NO_LAYER, most[at], threshold)


def lagging(records: Records, threshold: float) -> pd.DataFrame:
    """Moving averages that lag: training mode has learned the training rows, inference mode has not.

    In training mode the loss is the mean of the last tenth of the recorded steps.
    """
    batches, judged = last_mean(records.rows("loss_curves"), len(records.runs), 0.1), _final(records, "train", "loss")
    naive = records.of_run("naive_loss")
    names = records.tables["runs"]["normalization"].astype(str)
    keeps = names.map(lambda name: level_name(name) == AVERAGING or ":" in name).to_numpy(bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        learned = (batches <= naive / TWICE) & ~(judged <= naive / TWICE)
        at = np.flatnonzero(keeps & learned & ~(judged < threshold * batches) & ~np.isnan(judged))
    return _at_end(records, "train", at, judged[at] / batches[at], threshold)


def memorized(records: Records, threshold: float) -> pd.DataFrame:
    """Training rows that were learned, validation rows that were not."""
    train, validation = (_final(records, split, "loss") for split in ("train", "validation"))
    with np.errstate(invalid="ignore", divide="ignore"):
        learned = (train <= records.of_run("naive_loss") / TWICE) & (
            train >= 0.0
        )  # of losses below 0 shares say nothing
        at = np.flatnonzero(
            learned & (validation > train) & (validation >= threshold * train)
        )  # of 0 and 0 nothing follows
    return _at_end(records, "validation", at, validation[at] / train[at], threshold)


def majority(records: Records, threshold: float) -> pd.DataFrame:
    """The largest of unequal classes is the answer at least as often as it occurs; with a class a step, always."""
    share, largest = _final(records, "validation", "largest_answer_share"), records.of_run("naive_accuracy")
    each = np.array([level is not None and level.asks is DataKind.CLASSES_EACH for level in records.datasets], bool)
    share[each & (share < 1.0)] = np.nan  # a network that answers well gives the blanks their share too
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero((share >= largest) & (largest >= threshold))
    return _at_end(records, "validation", at, largest[at], threshold)


def one_answer(records: Records, threshold: float) -> pd.DataFrame:
    """One answer for every validation row."""
    share = _final(records, "validation", "largest_answer_share")
    at = np.flatnonzero(share >= threshold)
    return _at_end(records, "validation", at, share[at], threshold)


def falling(records: Records, threshold: float) -> pd.DataFrame:
    """A loss on the training sample that still falls: its lowest at the end, and well below that of half the run.

    Validation's falls too: where it does not, as with labels that nothing tells, more steps would not help.
    """
    fall, at_lowest = _last_half(records, "train")
    beside, _ = _last_half(records, "validation")
    at = np.flatnonzero((fall >= threshold) & at_lowest & ~(beside <= 0.0))
    return _at_end(records, "train", at, fall[at], threshold)


def _last_half(records: Records, split: str) -> tuple[Reals, Flags]:
    """Of each run: by how much of the naive loss a split's loss fell there, and whether it ends at its lowest."""
    rows, runs = records.rows("evaluations", split), len(records.runs)
    loss, last = rows.column("loss"), _last_steps(rows, runs)
    middle, lowest, final = (np.full(runs, np.nan) for _ in range(3))
    before = rows.row_step <= last[rows.row_run] / 2
    middle[rows.row_run[before]] = loss[before]  # the last of them stays
    final[rows.row_run] = loss
    np.fmin.at(lowest, rows.row_run, loss)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((middle - final) / records.of_run("naive_loss")), final <= lowest


def last_mean(rows: Rows, runs: int, share: float) -> Reals:
    """Each run's mean loss over the last share of its recorded steps."""
    size = np.bincount(rows.row_run, minlength=runs)
    left = np.cumsum(size)[rows.row_run] - np.arange(len(rows.frame))  # rows from this one to the run's last
    kept = left <= np.maximum(1, np.round(share * size))[rows.row_run]
    total = np.bincount(rows.row_run[kept], weights=rows.column("loss")[kept], minlength=runs)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.bincount(rows.row_run[kept], minlength=runs))


def _final(records: Records, split: str, column: str) -> Reals:
    """A column at each run's last evaluation."""
    rows = records.rows("evaluations", split)
    found = np.full(len(records.runs), np.nan)
    found[rows.row_run] = rows.column(column)
    return found


def _at_end(records: Records, split: str, run: Indices, value: Reals, threshold: float) -> pd.DataFrame:
    """Signs of some runs at their last evaluation."""
    last = _last_steps(records.rows("evaluations", split), len(records.runs))
    return hits(run, last[run], NO_LAYER, value, threshold)


def _last_steps(rows: Rows, runs: int) -> Indices:
    last = np.zeros(runs, np.int64)
    last[rows.row_run] = rows.row_step
    return last
