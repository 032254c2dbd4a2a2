"""A results folder's runs as a side of a comparison."""

from __future__ import annotations

from bench.analysis.compare.model import Side
from bench.analysis.quantities import Measurements
from bench.analysis.tables import Tables
from bench.analysis.verdicts import judge
from bench.quantities import LOSS, Quantity
from bench.rules import RulesChoice

FIRST_LOSS = Quantity("loss_start", "nat", "Training batch's loss at the first recorded step.", "loss_curves", LOSS,
                      step="start")  # fmt: skip


def side_of(name: str, tables: Tables, rules: RulesChoice, seed: int | None) -> Side:
    """The runs of a folder's tables, judged by the rules that both sides share."""
    measured = Measurements(tables, rules.learned)
    runs = judge(tables, rules, measured)
    return Side(name, runs.assign(loss_start=measured.by_run(FIRST_LOSS)), seed)
