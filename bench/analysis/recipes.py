"""Recipes: the fewest changes from a baseline with which a network trains, by rules that docs/rules.md states.

A cell *trains* where every replicate does: it learned, and ends near the best cell of the same data. Changes count by
factor, optimizer and learning rate as one, for an update rule and its rate belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.analysis.estimates import clustered_wilson, with_lost_counted
from bench.analysis.learned import loss_decides
from bench.analysis.quantities import seconds_per_step
from bench.analysis.verdicts import Outcome
from bench.factors import FACTORS, ArchitectureLevel, default_level, level_name
from bench.quantities import quantity
from bench.text import exactly

ACCURACY_MARGIN = 0.05  # below the best cell's accuracy
LOSS_MARGIN = 0.1  # of the naive loss, above the best cell's loss: for values
RATE = "learning_rate"
ADAM = {"adam": 0.001, "adamw": 0.001, "rmsprop": 0.001}  # Keras's default rates; its SGD has 0.01
Levels = Mapping[str, Sequence[str]]  # of each factor that varies, as labels, in the suite's order


class Reached(StrEnum):
    """How far the best cell of a row comes."""

    TRAINS = "trains"
    LEARNED = "learned"  # every replicate learned, none of the cells trains
    NONE = "none"
    UNMEASURED = "unmeasured"  # no final score was recorded


@dataclass(frozen=True)
class Trial:
    """A cell: what it changes of the baseline, how its runs ended, and its time per step over the baseline's."""

    changes: tuple[tuple[str, str], ...]  # (factor, its new level)
    runs: int
    trained: int
    learned: int
    diverged: int
    failed: int
    median: float  # of the final accuracy, or for values of the final loss; lost runs count by their quantity's rule
    worst: float
    loss: float
    seconds: float
    interval: tuple[float, float]  # Wilson's, of the share that trained
    cost: float = np.nan

    @property
    def trains(self) -> bool:
        """Whether every replicate does."""
        return 0 < self.runs == self.trained

    @property
    def learned_all(self) -> bool:
        """Whether every replicate learned."""
        return 0 < self.runs == self.learned

    @property
    def reached(self) -> Reached:
        """How far it comes."""
        if self.trains:
            return Reached.TRAINS
        return Reached.LEARNED if self.learned_all else Reached.NONE

    @property
    def moved(self) -> int:
        """How many changes that is."""
        return len({"optimizer" if factor == RATE else factor for factor, _ in self.changes})


@dataclass(frozen=True)
class Recipe:
    """The best of a row (a level of the asked factor at a depth): `best`, `ties` with as few changes, `untouched`."""

    level: str
    depth: str
    reached: Reached
    best: Trial
    ties: tuple[Trial, ...]
    untouched: Trial | None
    trials: tuple[Trial, ...]

    @property
    def stands(self) -> bool:
        """Whether it trains untouched."""
        return self.untouched is not None and self.untouched.trains


@dataclass(frozen=True)
class Recipes:
    """All rows, and what they were judged by.

    Attributes:
        ask: the factor whose levels are rows; "" where none is.
        levels, depths: of the rows, in order; ("",) where there is only one.
        baseline: the level from which each other factor's changes count.
        bar: the score from which a run trains, by data set. `best` is that of the best cell.
        runs: every judged run, with `trained`.
        dataset: the data of the rows.
        of_values: whether scores are losses.
    """

    ask: str
    levels: tuple[str, ...]
    depths: tuple[str, ...]
    baseline: Mapping[str, str]
    bar: Mapping[str, float]
    best: Mapping[str, float]
    rows: tuple[Recipe, ...]
    runs: pd.DataFrame
    dataset: str
    of_values: bool

    def row(self, level: str, depth: str) -> Recipe | None:
        """The recipe of a level at a depth; None where nothing was tried."""
        return next((each for each in self.rows if (each.level, each.depth) == (level, depth)), None)


def recipes(
    judged: pd.DataFrame, levels: Levels, timings: pd.DataFrame, report: Mapping[str, object] | None = None
) -> Recipes:
    """The recipes of judged runs.

    Args:
        judged: what `judge` returned, with every factor of `levels` as labels.
        levels: the factors that vary.
        timings: the table of that name.
        report: `ask` and `baseline` (as labels), where the suite names them.
    """
    chosen = dict(report or {})
    named = {str(k): str(v) for k, v in dict(chosen.get("baseline") or {}).items()}  # type: ignore[call-overload]
    ask = str(chosen.get("ask") or "") if chosen.get("ask") in levels else asked(judged, levels)
    baseline = baseline_of({name: levels[name] for name in levels if name not in (ask, "depth")}, judged, named)
    runs, bars, best = with_trained(judged)
    own = runs
    if "dataset" in baseline:
        own = runs[runs["dataset"].astype(str) == baseline["dataset"]]
    own = own.assign(_baseline=own["architecture"].astype(str) if "architecture" in own else "")
    each = {name: baseline_within(baseline, name, levels, named) for name in own["_baseline"].unique()}
    cells = _cells(own, each, timings, ask, "depth" in levels and ask != "depth")
    found = [_recipe(level, depth, trials) for (level, depth), trials in cells.items()]
    order = {each: place for place, each in enumerate(levels.get(ask, ()))}
    depths = {each: place for place, each in enumerate(levels.get("depth", ()))}
    found.sort(key=lambda each: (order.get(each.level, 0), depths.get(each.depth, 0)))
    data = str(own["dataset"].iloc[0]) if len(own) else ""
    return Recipes(
        ask, tuple(dict.fromkeys(each.level for each in found)),
        tuple(sorted({each.depth for each in found}, key=lambda each: depths.get(each, 0))),
        baseline, bars, best, tuple(found), runs, data, _of_values(own),
    )  # fmt: skip


def asked(judged: pd.DataFrame, levels: Levels) -> str:
    """Activation, or else the first factor that varies in words; "" where none does."""
    words = [name for name in levels if not _is_number(name, judged)]
    return "activation" if "activation" in levels else words[0] if words else ""


def baseline_of(levels: Levels, judged: pd.DataFrame, named: Mapping[str, str]) -> dict[str, str]:
    """Each factor's level from which changes count: the suite's, or Keras's default, or the suite's first."""
    found = {}
    architectures = judged["architecture"].unique() if "architecture" in judged else ()
    for name, known in levels.items():
        default = "adam" if name == "optimizer" else _spelt(default_level(FACTORS[name], architectures))
        found[name] = named.get(name) or (default if default in known else known[0])
    if RATE in found and RATE not in named:
        optimizer = found.get("optimizer") or str(judged["optimizer"].iloc[0])
        usual = _spelt(ADAM.get(level_name(optimizer), 0.01))
        held = judged[judged["optimizer"].astype(str) == optimizer]
        there = [each for each in levels[RATE] if each in set(held[RATE].astype(str))] or list(levels[RATE])
        found[RATE] = usual if usual in there else there[0]
    return found


def baseline_within(
    baseline: Mapping[str, str], architecture: str, levels: Levels, named: Mapping[str, str]
) -> dict[str, str]:
    """The baseline of one architecture among others: its own default, or the absent level, of what it alone has."""
    own = FACTORS["architecture"].level(level_name(architecture))
    if not isinstance(own, ArchitectureLevel):
        return dict(baseline)
    found = dict(baseline)
    for name in baseline:
        level = FACTORS[name].default if name in own.unused else own.defaults.get(name)
        if level is not None and _spelt(level) in levels[name] and (name in own.unused or name not in named):
            found[name] = _spelt(level)
    return found


def _is_number(name: str, judged: pd.DataFrame) -> bool:
    return FACTORS[name].number is not None if name in FACTORS else is_numeric_dtype(judged[name].dtype)


def _spelt(level: object) -> str:
    return exactly(level) if isinstance(level, float) else str(level)


def _of_values(judged: pd.DataFrame) -> bool:
    return bool(len(judged) and loss_decides(judged).all())


def with_trained(
    judged: pd.DataFrame, known_bars: Mapping[str, float] | None = None
) -> tuple[pd.DataFrame, dict[str, float], dict[str, float]]:
    """The runs with their score and whether they trained; of each data set the bar and the best cell's median.

    `known_bars` are those of other results, by which these are judged.
    """
    accuracy = with_lost_counted(judged, quantity("final_validation_accuracy")).astype(np.float64)
    loss = with_lost_counted(judged, quantity("final_validation_loss")).astype(np.float64)
    values = loss_decides(judged).to_numpy(bool)
    # Of several losses on one data set each counts by its share of its naive loss.
    scale = judged.groupby("dataset", observed=True)["naive_loss"].transform("max") / judged["naive_loss"]
    loss = loss * scale.astype(np.float64).where(values, 1.0).fillna(1.0)
    runs = judged.assign(score=np.where(values, loss, accuracy), _loss=loss, values=values)
    known = runs[runs["score"].notna()]
    medians = known.groupby(["dataset", "cell_key"], observed=True)["score"].median()
    bars, best, given = {}, {}, dict(known_bars or {})
    trained = pd.Series(False, index=runs.index)
    learned = runs["outcome"] == Outcome.LEARNED
    for data, own in runs.groupby("dataset", observed=True):
        cells = medians.loc[medians.index.get_level_values(0) == data]
        if cells.empty:
            continue
        if bool(own["values"].all()):
            best[str(data)] = float(cells.min())
            bar = best[str(data)] + LOSS_MARGIN * float(own["naive_loss"].max())
            bars[str(data)] = given.get(str(data), bar)
            good = own["score"] <= bars[str(data)]
        else:
            best[str(data)] = float(cells.max())
            bars[str(data)] = given.get(str(data), best[str(data)] - ACCURACY_MARGIN)
            good = own["score"] >= bars[str(data)] - 1e-9  # as far as floats are the numbers that they show
        trained[own.index] = good
    return runs.assign(trained=trained & learned), bars, best


def _cells(
    runs: pd.DataFrame, baselines: Mapping[str, Mapping[str, str]], timings: pd.DataFrame, ask: str, deep: bool
) -> dict[tuple[str, str], tuple[Trial, ...]]:
    """Every cell as a trial, by level and depth."""
    seconds = runs["cohort"].map(seconds_per_step(timings)).astype(np.float64)
    rows: dict[tuple[str, str], list[Trial]] = {}
    for _, cell in runs.assign(_seconds=seconds).groupby("cell_key", sort=False, observed=True):
        first = cell.iloc[0]
        baseline = baselines[str(first["_baseline"])]
        changes = tuple(
            (name, str(first[name])) for name in baseline if name != "dataset" and str(first[name]) != baseline[name]
        )
        outcome, score = cell["outcome"].value_counts(), cell["score"]
        trained = int(cell["trained"].sum())
        trial = Trial(
            changes, len(cell), trained, int(outcome.get(Outcome.LEARNED, 0)), int(outcome.get(Outcome.DIVERGED, 0)),
            int(outcome.get(Outcome.FAILED, 0)), float(score.median()),
            float(score.max() if bool(cell["values"].all()) else score.min()), float(cell["_loss"].median()),
            float(cell["_seconds"].median()), clustered_wilson(trained, len(cell), len(cell)),
        )  # fmt: skip
        rows.setdefault((str(first[ask]) if ask else "", str(first["depth"]) if deep else ""), []).append(trial)
    return {key: tuple(_costed(trials)) for key, trials in rows.items()}


def _costed(trials: Sequence[Trial]) -> list[Trial]:
    base = next((each.seconds for each in trials if not each.changes), np.nan)
    return [replace(each, cost=each.seconds / base if base > 0 else np.nan) for each in trials]


def _recipe(level: str, depth: str, trials: Sequence[Trial]) -> Recipe:
    """The trial with the fewest changes of those that train, or learn; else the best tried."""
    untouched = next((each for each in trials if not each.changes), None)
    trains = [each for each in trials if each.trains]
    learned = [each for each in trials if each.learned_all]
    if all(np.isnan(each.median) for each in trials):
        reached, ranked = Reached.UNMEASURED, list(trials)
    elif trains or learned:
        reached = Reached.TRAINS if trains else Reached.LEARNED
        ranked = sorted(trains or learned, key=lambda each: (each.moved, _last(each.loss), _last(each.seconds)))
    else:
        reached = Reached.NONE
        ranked = sorted(trials, key=lambda each: (-each.trained, -each.learned, _last(each.loss), each.moved))
    ties = ranked[1:] if reached in (Reached.TRAINS, Reached.LEARNED) else []
    same = tuple(each for each in ties if each.moved == ranked[0].moved)
    return Recipe(level, depth, reached, ranked[0], same, untouched, tuple(trials))


def _last(value: float) -> float:
    return np.inf if np.isnan(value) else value
