"""What every section is given: the tables, the runs as judged, and which factors vary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.analysis import Measurements, Tables, judge, remedies
from bench.report.axes import Axis, LineLayout, labelled, line_layout, varied_axes
from bench.results import Manifest
from bench.rules import RulesChoice, choose_rules


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
