"""What every section is given: the tables, the runs as judged, and which factors vary."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from bench.analysis import Measurements, Tables, judge, remedies
from bench.quantities import LAYERED, OF_RUNS, QUANTITIES
from bench.report.axes import Axis, LineLayout, labelled, line_layout, varied_axes
from bench.results import Manifest
from bench.rules import RulesChoice, choose_rules

# What charts and theory read of the large tables, beside what rules and quantities ask for.
DRAWN = {
    "gradient_norms": {"layer_name", "preactivation_grad_norm", "weight_count"},
    "activations": {"mean", "std", "preactivation_mean_square", "pair_correlation"},
}
SAMPLE = 1000  # rows that tell at once that a column needs its 64 bits


def columns_for(manifest: Manifest) -> dict[str, set[str]] | None:
    """What a page needs of the tables with layers; None, all of it, where claims may name any column.

    Raises:
        SuiteError: the suite chose rule sets that are not known.
    """
    if "claims" in tomllib.loads(manifest.text):
        return None
    rules = [rule for each in choose_rules(manifest.verdicts).sets for rule in each.rules]
    asked = [*OF_RUNS, *(QUANTITIES[condition.measure] for rule in rules for condition in rule.conditions)]
    found = {table: set(columns) for table, columns in DRAWN.items()}
    for each in asked:
        if each.table in LAYERED:
            found[each.table] |= {name for name, _ in each.of} | {each.weights}
    return found


def compact(tables: Tables) -> dict[str, pd.DataFrame]:
    """The same numbers in as few bytes as hold them exactly: tables with layers have millions of rows."""
    return {name: _compact(frame) if name in LAYERED else frame for name, frame in tables.items()}


def _compact(frame: pd.DataFrame) -> pd.DataFrame:
    narrow: Mapping[str, type] = {"i": np.int32, "f": np.float32}
    for name in frame.columns:
        kind = frame[name].dtype.kind
        if kind in narrow and _fits(frame[name].iloc[:SAMPLE], narrow[kind]) and _fits(frame[name], narrow[kind]):
            frame[name] = frame[name].astype(narrow[kind])
    return frame


def _fits(column: pd.Series, kind: type) -> bool:
    """Whether a narrower type holds every number of a column exactly."""
    given = column.to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(given.astype(kind), given, equal_nan=given.dtype.kind == "f"))


@dataclass(frozen=True)
class Frames:
    """A results folder's tables, and its runs as judged, in three views.

    Attributes:
        tables, manifest: as the folder holds them.
        choice: the rule sets that judge.
        measured: what they judge by.
        axes: the factors that vary.
        plain: one row a run with its responses and verdicts, levels as in the tables.
        worded: the same with words as ordered categories in the suite's order and numbers as such.
        labelled: the same with every varied factor as ordered labels.
    """

    tables: Tables
    manifest: Manifest
    choice: RulesChoice
    measured: Measurements
    axes: tuple[Axis, ...]
    plain: pd.DataFrame
    worded: pd.DataFrame
    labelled: pd.DataFrame

    @classmethod
    def of(cls, tables: Tables, manifest: Manifest) -> Frames:
        """Judge the runs.

        Raises:
            SuiteError: the suite chose rule sets that are not known.
        """
        choice = choose_rules(manifest.verdicts)
        axes, measured = varied_axes(tables["runs"], manifest), Measurements(tables, choice.learned)
        plain = judge(tables, choice, measured)
        worded = labelled(plain, [axis for axis in axes if not axis.numeric])
        return cls(tables, manifest, choice, measured, axes, plain, worded, labelled(plain, axes))

    @property
    def varied(self) -> list[str]:
        """The factors that vary."""
        return [axis.factor for axis in self.axes]

    @cached_property
    def lines(self) -> LineLayout:
        """Colours and panels of the line charts."""
        return line_layout(self.labelled, self.axes)

    @cached_property
    def remedied(self) -> pd.DataFrame:
        """What each change of one level rescued; see `analysis.remedies`."""
        return remedies(self.labelled, self.varied, self.tables["timings"])
