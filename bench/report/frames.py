"""What every section is given: the tables, the runs as judged, and which factors vary."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import Measurements, Signs, Tables, causes_of, judge, remedies
from bench.analysis.causes import READ
from bench.analysis.recipes import Recipes, recipes
from bench.analysis.through_time import IN_TIME, TABLE, symptoms_in_time
from bench.analysis.verdicts import first_gradients
from bench.errors import SuiteError
from bench.factors import show
from bench.quantities import LAYERED, OF_RUNS, QUANTITIES
from bench.report.axes import Axis, LineLayout, labelled, level_label, line_layout, varied_axes
from bench.results import Manifest, read_tables
from bench.rules import RulesChoice, choose_rules

# What charts and theory read of the tables with layers once runs are judged; of activations the first step alone.
DRAWN = {
    "gradient_norms": {"layer_name", "preactivation_grad_norm", "weight_count"},
    "activations": {"mean", "std", "preactivation_mean_square", "pair_correlation", "token_cosine"},
}


def read_frames(folder: Path, manifest: Manifest) -> Frames:
    """A results folder's frames in little memory.

    Each table with layers is measured once it is read; then what nobody draws of it is dropped (`DRAWN`), unless the
    suite has claims, which may ask for any column.

    Raises:
        ResultsError: there are no results, or they cannot be read.
        SuiteError: the suite chose rule sets that are not known.
    """
    choice = choose_rules(manifest.verdicts)
    if "claims" in tomllib.loads(manifest.text):
        return Frames.of(read_tables(folder, reduce=lambda tables, table: tables[table]), manifest)
    conditions = [condition for each in choice.sets for rule in each.rules for condition in rule.conditions]
    conditions += [condition for each in choice.sets for condition in each.gate]
    asked = [*OF_RUNS, *(QUANTITIES[condition.measure] for condition in conditions)]
    columns = {table: set(names) for table, names in DRAWN.items()}
    for each in asked:
        if each.table in LAYERED:
            columns[each.table] |= {name for name, _ in each.of} | {each.weights}
    for table, names in READ.items():
        columns[table] |= set(names)
    measured: list[Measurements] = []
    signs: list[Signs] = []

    def reduce(tables: dict[str, pd.DataFrame], table: str) -> pd.DataFrame:
        if not measured:
            measured.append(Measurements(tables, choice.learned))
            signs.append(Signs(tables))
        measured[0].settle(table, asked)
        signs[0].settle(table)
        frame = tables[table]
        drawn = [name for name in frame if name in DRAWN[table] or name in ("run_id", "step", "layer_index")]
        return frame.loc[frame["step"] == 0, drawn] if table == "activations" else frame[drawn]

    tables = read_tables(folder, columns, reduce)
    return Frames.of(tables, manifest, measured[0], signs[0])


@dataclass(frozen=True)
class Frames:
    """A results folder's tables, and its runs as judged, in three views.

    Attributes:
        tables, manifest: as the folder holds them.
        choice: the rule sets that judge.
        measured: what they judge by.
        signs: where the rules of `analysis.causes` hold.
        axes: the factors that vary.
        plain: one row a run with its responses and verdicts, levels as in the tables; where time was recorded, with
            what its first gradient does along it (`IN_TIME`).
        worded: the same with words as ordered categories in the suite's order and numbers as such.
        labelled: the same with every varied factor as ordered labels.
    """

    tables: Tables
    manifest: Manifest
    choice: RulesChoice
    measured: Measurements
    signs: Signs
    axes: tuple[Axis, ...]
    plain: pd.DataFrame
    worded: pd.DataFrame
    labelled: pd.DataFrame

    @classmethod
    def of(
        cls, tables: Tables, manifest: Manifest, measured: Measurements | None = None, signs: Signs | None = None
    ) -> Frames:
        """Judge the runs, by what was `measured` of them and by their `signs`, if at hand.

        Raises:
            SuiteError: the suite chose rule sets that are not known.
        """
        choice = choose_rules(manifest.verdicts)
        axes, measured = varied_axes(tables["runs"], manifest), measured or Measurements(tables, choice.learned)
        plain = judge(tables, choice, measured)
        if len(tables.get(TABLE, ())):
            plain = plain.assign(**{IN_TIME: plain["run_id"].astype(str).map(symptoms_in_time(tables))})
        worded = labelled(plain, [axis for axis in axes if not axis.numeric])
        signs = signs or Signs(tables)
        return cls(tables, manifest, choice, measured, signs, axes, plain, worded, labelled(plain, axes))

    @property
    def varied(self) -> list[str]:
        """The factors that vary."""
        return [axis.factor for axis in self.axes]

    @cached_property
    def lines(self) -> LineLayout:
        """Colours and panels of the line charts, which show runs that were to learn, if any were."""
        kept = ~first_gradients(self.plain)
        return line_layout(self.labelled[kept] if kept.any() else self.labelled, self.axes)

    @cached_property
    def remedied(self) -> pd.DataFrame:
        """What each change of one level rescued; see `analysis.remedies`."""
        return remedies(self.labelled, self.varied, self.tables["timings"])

    @cached_property
    def recipes(self) -> Recipes:
        """The fewest changes with which networks train; see `analysis.recipes`.

        Raises:
            SuiteError: the manifest's `report` is not as `bench run` writes it.
        """
        levels = {axis.factor: axis.levels for axis in self.axes}
        return recipes(self.labelled, levels, self.tables["timings"], _asked(self.manifest))

    @cached_property
    def training(self) -> Frames:
        """The same of the runs that were to learn: those of one update, made for the gradient before it, are left out.

        These frames themselves where all are such, or none.
        """
        kept = ~first_gradients(self.plain)
        if kept.all() or not kept.any():
            return self
        plain = self.plain[kept].reset_index(drop=True)
        tables = dict(self.tables) | {"runs": self.tables["runs"][kept.to_numpy()].reset_index(drop=True)}
        axes = varied_axes(tables["runs"], self.manifest)
        worded = labelled(plain, [axis for axis in axes if not axis.numeric])
        return replace(self, tables=tables, axes=axes, plain=plain, worded=worded, labelled=labelled(plain, axes))

    @cached_property
    def causes(self) -> pd.DataFrame:
        """Why each run that did not learn, diverged or failed ended so; see `analysis.causes_of`."""
        return causes_of(self.tables, self.plain, self.signs.all())


def _asked(manifest: Manifest) -> dict[str, Any]:
    """The suite's `[report]`, with levels as the page labels them.

    Raises:
        SuiteError: the manifest holds something else.
    """
    written = manifest.report or {}
    ask, baseline = written.get("ask") or "", written.get("baseline") or {}
    levels = list(baseline.values()) if isinstance(baseline, Mapping) else [None]
    if not isinstance(ask, str) or not all(isinstance(each, str | int | float) for each in levels):
        raise SuiteError(f"manifest.json: report is not as `bench run` writes it: {show(dict(written))}.")
    return {"ask": ask, "baseline": {name: level_label(level) for name, level in baseline.items()}}
