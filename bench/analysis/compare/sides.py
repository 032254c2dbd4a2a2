"""A results folder's runs as a side of a comparison."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from bench.analysis.compare.model import Side
from bench.analysis.compare.starts import CURVE
from bench.analysis.compare.timing import timing_columns
from bench.analysis.quantities import Measurements
from bench.analysis.tables import Tables
from bench.analysis.verdicts import judge
from bench.quantities import LOSS, Quantity
from bench.rules import RulesChoice

FIRST_LOSS = Quantity("loss_start", "nat", "Training batch's loss at the first recorded step.", "loss_curves", LOSS,
                      step="start")  # fmt: skip

EARLY = 10  # steps, in which rounding has not grown yet


def side_of(name: str, tables: Tables, rules: RulesChoice, seed: int | None) -> Side:
    """The runs of a folder's tables, judged by the rules that both sides share."""
    measured = Measurements(tables, rules.learned)
    runs = judge(tables, rules, measured)
    early = {"loss_start": measured.by_run(FIRST_LOSS), "loss_early": _early(tables, runs), CURVE: _curve(tables, runs)}
    return Side(name, runs.assign(**early, **timing_columns(tables, runs)), seed)


def _early(tables: Tables, runs: pd.DataFrame) -> pd.Series:
    """Each run's training loss at the last recorded step of its first ten; NaN where none of those was recorded."""
    rows = tables["loss_curves"]
    rows = rows[(rows["step"] > 0) & (rows["step"] <= EARLY)].sort_values("step", kind="stable")
    return runs["run_id"].map(rows.groupby("run_id", observed=True)["loss"].last()).astype(float)


def _curve(tables: Tables, runs: pd.DataFrame) -> pd.Series:
    """A number that two runs share where all of their recorded training losses are equal to the bit; 0 without any."""
    rows = tables["loss_curves"]
    rows = rows[["run_id", "step", "loss"]].astype({"loss": float, "step": int})
    rows = rows.assign(code=pd.util.hash_pandas_object(rows[["step", "loss"]], index=False).astype("int64"))
    return runs["run_id"].map(rows.groupby("run_id", observed=True)["code"].sum()).fillna(0).astype("int64")


def own_sides(base: Side, candidate: Side) -> tuple[Side, Side]:
    """Two folders of one's own training: their seeds are not known, and what was not measured has something beside it.

    Unless both sides were validated losses are those of the training batch (`in_training`). Where the best constant
    answer is not known, the loss is over BASE's first one, by the median of its runs.
    """
    frames = [base.runs, candidate.runs]
    if not all(each["final_validation_loss"].notna().any() for each in frames):
        frames = [each.assign(final_validation_loss=each["final_train_loss"]) for each in frames]
    if not all(each["naive_loss"].notna().all() for each in frames):
        frames = [each.assign(naive_loss=base.runs["loss_start"].median()) for each in frames]
    one, two = (replace(side, runs=runs, seed=None, own=True)
                for side, runs in zip((base, candidate), frames, strict=True))  # fmt: skip
    return one, two


def in_training(*sides: pd.DataFrame) -> bool:
    """Whether no run has a validation loss but that of its training batch."""
    return all(each["final_validation_loss"].fillna(each["final_train_loss"]).equals(each["final_train_loss"])
               for each in sides)  # fmt: skip
