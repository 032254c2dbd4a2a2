"""The one evaluator of `bench.quantities`: tables → a number per run, or per run and recorded step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from bench.analysis.learned import chance_accuracy, learned_accuracy, learned_loss, loss_decides
from bench.analysis.slices import sliced
from bench.analysis.tables import Indices, Reals, Rows, Tables, transformed
from bench.quantities import ERROR_SHARE, LEARNED, OF_RUNS, SLICED, WITH_LAYERS, Quantity
from bench.rules import LearnedRule, RuleSet, When, learned_rule
from bench.schema import FACTOR_COLUMNS, EventKind, RunStatus, conform

SPLITS = ("train", "validation")
_ENDS = {"start": (True, False), "end": (False, True), "change": (True, True)}


@dataclass(frozen=True)
class Steps:
    """A number per run and recorded step: row i belongs to the run at position `run[i]` at `step[i]`, in that order."""

    run: Indices
    step: Indices
    values: Reals

    def by_run(self, when: When, runs: int, extreme: np.ufunc = np.fmax) -> Reals:
        """The first, the last or the most extreme of each of `runs` runs; NaN without a row."""
        found = np.full(runs, np.nan)
        if not len(self.run):
            return found
        starts = np.flatnonzero(np.diff(self.run, prepend=-1))
        if when is When.EVER:
            found[self.run[starts]] = extreme.reduceat(self.values, starts)
        else:
            at = starts if when is When.START else np.append(starts[1:], len(self.run)) - 1
            found[self.run[at]] = self.values[at]
        return found


class Measurements:
    """The quantities of a results folder's runs, each computed when it is first asked for.

    Args:
        tables: the tables; their rows need no order.
        learned: when a run counts as learned; the default rule, if None.
    """

    def __init__(self, tables: Tables, learned: LearnedRule | None = None) -> None:
        self.runs = pd.Index(tables["runs"]["run_id"], name="run_id")
        self._tables = tables
        self._learned = learned or learned_rule()
        self._rows: dict[tuple[str, object, object], Rows] = {}
        self._by_run: dict[Quantity, Reals] = {}
        self._by_step: dict[Quantity, Steps] = {}
        self._settled: set[str] = set()
        self.held: dict[tuple[RuleSet, When | None], pd.DataFrame] = {}  # which rules held: `verdicts.rules_held`

    def by_run(self, quantity: Quantity) -> Reals:
        """One number per run in the order of `runs`; NaN where nothing was measured."""
        if quantity not in self._by_run:
            self._by_run[quantity] = self._number(quantity)
        return self._by_run[quantity]

    def by_step(self, quantity: Quantity) -> Steps:
        """One number per run and recorded step."""
        if quantity not in self._by_step:
            rows = self._recorded(quantity)
            self._by_step[quantity] = Steps(rows.run, rows.step, self._over_layers(rows, quantity))
        return self._by_step[quantity]

    def settle(self, table: str, asked: Iterable[Quantity]) -> None:
        """Compute what will be asked of a table, which may lose rows and columns then: asking for more raises."""
        for each in asked:
            if each.table == table:
                _ = self.by_step(each) if each.per_step else self.by_run(each)
        self._rows = {key: rows for key, rows in self._rows.items() if key[0] != table}
        self._settled.add(table)

    def of(self, quantity: Quantity) -> pd.Series:
        """`by_run` under the runs' ids."""
        return pd.Series(self.by_run(quantity), index=self.runs)

    def run_column(self, name: str) -> pd.Series:
        """A column of the `runs` table by run id."""
        return self._tables["runs"][name].set_axis(self.runs)

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The factors with more than one level among all runs."""
        runs = self._tables["runs"]
        return tuple(name for name in FACTOR_COLUMNS if runs[name].nunique() > 1)

    @property
    def chance_accuracy(self) -> pd.Series:
        """`chance_accuracy` of these tables."""
        return chance_accuracy(self._tables)

    def _number(self, quantity: Quantity) -> Reals:
        if quantity.at_least is not None:
            number = self.by_run(replace(quantity, at_least=None))
            return np.where(np.isnan(number), np.nan, (number >= quantity.at_least).astype(np.float64))
        match quantity.table:
            case "runs":
                return np.asarray(self._tables["runs"][quantity.of[0][0]].to_numpy(np.float64))
            case "timings":
                cohorts = self._tables["runs"]["cohort"]
                return np.asarray(cohorts.map(1000.0 * seconds_per_step(self._tables["timings"])).to_numpy(np.float64))
            case "divergence_events":
                return self._nonfinite(quantity)
            case "evaluations" if not quantity.split:
                each = (self.by_run(replace(quantity, split=split)) for split in SPLITS)
                return np.asarray(np.fmax(*each))
        if quantity.steps_first:
            return self._steps_first(quantity)
        rows = self._recorded(quantity)
        return self._over_steps(rows, self._over_layers(rows, quantity), quantity)

    def _recorded(self, quantity: Quantity) -> Rows:
        """The rows of the steps that matter, in order.

        Raises:
            KeyError: the table is settled.
        """
        if quantity.table in self._settled:
            raise KeyError(f"{quantity.name or quantity.of}: {quantity.table} was settled without it")
        table, split, step = quantity.table, quantity.split, quantity.step
        when: object = step if isinstance(step, int) or step in _ENDS else "each"
        part = (quantity.of, quantity.slice, quantity.transform) if table in SLICED else split
        if (table, part, when) not in self._rows:
            if when == "each":
                self._rows[table, part, when] = Rows.of(self._frame(quantity), self.runs)
            else:
                rows = self._recorded(replace(quantity, step="each"))
                self._rows[table, part, when] = rows.only(_at(rows, step))
        return self._rows[table, part, when]

    def _frame(self, quantity: Quantity) -> pd.DataFrame:
        """The rows of a table that a quantity speaks of, one a run, step and layer."""
        if quantity.table in SLICED:  # a cohort that was not asked for the table has none
            held = self._tables.get(quantity.table)
            return sliced(conform(quantity.table, {}).to_pandas() if held is None else held, quantity)
        frame = self._tables[quantity.table]
        return frame[frame["split"] == quantity.split] if quantity.split else frame

    def _values(self, rows: Rows, quantity: Quantity) -> Reals:
        """Each row's value."""
        if quantity.table in SLICED:
            return rows.column("value")
        above = [self._power(rows, *each) for each in quantity.of if each[1] > 0]
        below = [self._power(rows, *each) for each in quantity.of if each[1] < 0]
        with np.errstate(all="ignore"):
            values = np.multiply.reduce(above)
            return transformed(values / np.multiply.reduce(below) if below else values, quantity.transform)

    def _power(self, rows: Rows, name: str, power: float) -> Reals:
        if name == "learning_rate":
            values = self._tables["runs"][name].to_numpy(np.float64)[rows.row_run]
        elif name == ERROR_SHARE:
            values = self._error_share(rows)
        else:
            values = rows.column(name)
        size = abs(power)
        return np.asarray(values if size == 1.0 else np.sqrt(values) if size == 0.5 else values**size)

    def _error_share(self, rows: Rows) -> Reals:
        chance, runs = self.chance_accuracy.to_numpy(np.float64), self._tables["runs"]
        known = runs["naive_loss"].to_numpy(np.float64, na_value=np.nan) if "naive_loss" in runs else np.nan * chance
        by_loss = loss_decides(runs).to_numpy(bool)[rows.row_run]
        with np.errstate(divide="ignore", invalid="ignore"):
            wrong = (1.0 - rows.column("accuracy")) / (1.0 - chance[rows.row_run])
            return np.asarray(np.where(by_loss | np.isnan(wrong), rows.column("loss") / known[rows.row_run], wrong))

    def _over_layers(self, rows: Rows, quantity: Quantity) -> Reals:
        """One number per block."""
        return np.concatenate([self._part_over_layers(part, quantity) for part in rows.parts()])

    def _part_over_layers(self, rows: Rows, quantity: Quantity) -> Reals:
        values = self._values(rows, quantity)
        if quantity.table not in WITH_LAYERS or not len(values):
            return values
        chosen = np.flatnonzero(rows.layers(quantity.layers))
        found = np.full(len(rows.starts), np.nan)
        if not len(chosen):
            return found
        values, block = values[chosen], rows.row_block[chosen]
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        if quantity.take == "slope":
            layer = rows.layer[chosen].astype(np.float64)
            taken = _slopes(np.log1p(layer) if quantity.on == "ln_layer" else layer, values, starts, block)
        elif quantity.weights:
            weights = rows.column(quantity.weights)[chosen]
            with np.errstate(all="ignore"):
                taken = np.add.reduceat(values * weights, starts) / np.add.reduceat(weights, starts)
        else:
            taken = _taken(quantity.take, values, starts, block)
            if quantity.whole and quantity.take != "first_less_last":
                # A layer that was not measured leaves the number unknown: what is left may be the better ones.
                taken = np.where(np.logical_or.reduceat(np.isnan(values), starts), np.nan, taken)
        found[block[starts]] = taken
        return found

    def _over_steps(self, rows: Rows, values: Reals, quantity: Quantity) -> Reals:
        """One number per run."""
        found = np.full(len(self.runs), np.nan)
        if not len(values):
            return found
        match quantity.step:
            case "mean" | "min" | "max":
                starts = np.flatnonzero(rows.first)
                found[rows.run[starts]] = _taken(quantity.step, values, starts, rows.run)
            case "change":
                with np.errstate(invalid="ignore"):  # a logarithm of 0 at both ends has no change
                    found[rows.run[rows.last]] = values[rows.last] - values[rows.first]
            case "area":
                _put_area(found, rows, values)
            case "rise":
                gain = np.where(rows.first, np.nan, np.diff(values, prepend=np.nan))
                starts = np.flatnonzero(rows.first)
                found[rows.run[starts]] = np.fmax.reduceat(gain, starts)
            case "first":
                self._put_first(found, rows, values, quantity)
            case _:
                found[rows.run] = values
        return found

    def _put_first(self, found: Reals, rows: Rows, values: Reals, quantity: Quantity) -> None:
        """The first step at a limit; infinity where a run has numbers and none is there."""
        if quantity.above == LEARNED:
            values = self._distance_to_learned(rows, values)
        found[rows.run[~np.isnan(values)]] = np.inf
        if quantity.smooth > 1:
            grouped = pd.Series(values).groupby(rows.run, sort=False).rolling(quantity.smooth).mean()
            values = grouped.reset_index(level=0, drop=True).sort_index().to_numpy(np.float64)
        if quantity.below is not None:
            there = values <= quantity.below
        else:
            there = values >= (0.0 if quantity.above in (LEARNED, None) else float(quantity.above))
        np.minimum.at(found, rows.run[there], rows.step[there].astype(np.float64))

    def _distance_to_learned(self, rows: Rows, accuracy: Reals) -> Reals:
        """By how much each row's accuracy, or its loss where that decides, is better than learned needs."""
        runs = self._tables["runs"]
        line = learned_accuracy(self.chance_accuracy, self._learned).to_numpy(np.float64)
        found = np.asarray(accuracy - line[rows.run])
        by_loss = loss_decides(runs).to_numpy(bool)[rows.run]
        if by_loss.any():
            most = learned_loss(runs, self._learned).to_numpy(np.float64)
            found[by_loss] = (most[rows.run] - rows.column("loss"))[by_loss]
        return found

    def _steps_first(self, quantity: Quantity) -> Reals:
        """Each layer's mean over the finite numbers of its steps from `since` on; then the layers' extreme."""
        whole = self._recorded(quantity)
        width, runs = int(whole.layer.max(initial=0)) + 1, len(self.runs)
        mean = np.full((runs, width), np.nan)
        for rows in whole.parts():
            values = self._values(rows, quantity)
            counted = (rows.row_step >= quantity.since) & np.isfinite(values) & rows.layers(quantity.layers)
            cell, first = (rows.row_run * width + rows.layer)[counted], int(rows.run.min(initial=runs))
            held = (int(rows.run.max(initial=first)) + 1 - first) * width
            count = np.bincount(cell - first * width, minlength=held)
            total = np.bincount(cell - first * width, weights=values[counted], minlength=held)
            known = np.flatnonzero(count)
            mean.ravel()[first * width + known] = total[known] / count[known]
        return np.asarray({"min": np.fmin, "max": np.fmax}[quantity.take].reduce(mean, axis=1))

    def _nonfinite(self, quantity: Quantity) -> Reals:
        """Whether a run met a NaN or an infinity; or at which step it did first: infinity if it completed."""
        events = self._tables["divergence_events"]
        events = events[events["kind"].isin([str(EventKind.NAN), str(EventKind.INFINITY)])]
        if quantity.step == "any":
            return np.asarray(self.runs.isin(events["run_id"]).astype(np.float64))
        first = events.groupby("run_id", sort=False, observed=True)["step"].min().astype(np.float64)
        completed = (self._tables["runs"]["status"] == RunStatus.COMPLETED).to_numpy()
        return np.where(completed, np.inf, first.reindex(self.runs).to_numpy(np.float64))


def _at(rows: Rows, step: int | str) -> np.ndarray:
    """The blocks at a step by its number, at a run's start, its end or both."""
    if isinstance(step, int):
        return np.asarray(rows.step == step)
    start, end = _ENDS[step]
    return np.asarray((rows.first & start) | (rows.last & end))


def _taken(take: str, values: Reals, starts: Indices, group: Indices) -> Reals:
    """What the values of each group become, groups one after the other from `starts`; NaN is passed over."""
    first, last = values[starts], values[np.append(starts[1:], len(values)) - 1]
    with np.errstate(all="ignore"):
        match take:
            case "min" | "max":
                return np.asarray((np.fmin if take == "min" else np.fmax).reduceat(values, starts))
            case "first_less_last":
                return np.asarray(first - last)
            case "ratio":
                return np.asarray(first / last)
            case "log_ratio":
                return log_ratio(first, last)
    if len(starts) == len(values):
        return values
    # Pandas adds with compensation: a mean does not depend on how many values there are.
    grouped = pd.Series(values).groupby(group, sort=False)
    return np.asarray((grouped.median() if take == "median" else grouped.mean()).to_numpy(np.float64))


def log_ratio(first: Reals, last: Reals) -> Reals:
    """log10(first / last) in decades; a first of 0 is -inf (it vanished), an infinite one +inf."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(first) - np.log10(last)
    return np.where(first == 0.0, -np.inf, np.where(np.isinf(first), np.inf, ratio))


def _slopes(x: Reals, y: Reals, starts: Indices, group: Indices) -> Reals:
    """Least-squares slope of each group over its finite values; NaN with fewer than two."""
    finite = np.isfinite(y)
    frame = pd.DataFrame({"x": x[finite], "y": y[finite]})
    grouped = frame.groupby(group[finite], sort=False)
    centred = frame - grouped.transform("mean")
    products = pd.DataFrame({"xy": centred["x"] * centred["y"], "xx": centred["x"] ** 2})
    sums = products.groupby(group[finite], sort=False).sum()
    slopes = sums["xy"] / sums["xx"].where(sums["xx"] > 0.0)
    return np.asarray(slopes.reindex(group[starts]).to_numpy(np.float64))


def _put_area(found: Reals, rows: Rows, values: Reals) -> None:
    """Mean by the trapezoidal rule over a run's span of steps; a single value is itself, NaN is left out."""
    known = ~np.isnan(values)
    code, step, value = rows.run[known], rows.step[known].astype(np.float64), values[known]
    same = code[1:] == code[:-1]
    runs = len(found)
    pieces = np.where(same, np.diff(step) * (value[1:] + value[:-1]) / 2.0, 0.0)
    area = np.bincount(code[1:], weights=pieces, minlength=runs)
    span = np.bincount(code[1:], weights=np.where(same, np.diff(step), 0.0), minlength=runs)
    count, alone = np.bincount(code, minlength=runs), np.bincount(code, weights=value, minlength=runs)
    mean = np.where(span > 0.0, area / np.where(span > 0.0, span, 1.0), alone / np.maximum(count, 1))
    found[count > 0] = mean[count > 0]


def measure(tables: Tables, measured: Measurements | None = None) -> pd.DataFrame:
    """The quantities of `OF_RUNS` and `chance_accuracy`, by `run_id` in the order of `runs`; NaN if not measured."""
    measured = measured or Measurements(tables)
    found = {each.name: measured.by_run(each) for each in OF_RUNS}
    return pd.DataFrame(found, index=measured.runs).assign(chance_accuracy=measured.chance_accuracy)


def seconds_per_step(timings: pd.DataFrame) -> pd.Series:
    """Training time of a cohort over its runs and its steps after the first, by cohort, in seconds."""
    cohorts = timings.set_index("cohort")
    return cohorts["train_seconds"] / (cohorts["runs"] * (cohorts["steps"] - 1).clip(lower=1))
