"""From which score on a run counts as learned: the best constant answer's, and whether loss or accuracy decides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.tables import Tables
from bench.factors import FACTORS, OWN, DataKind, DatasetLevel, level_name
from bench.rules import LearnedRule


def chance_accuracy(tables: Tables) -> pd.Series:
    """What the best constant answer gets right: the largest class's share of a dataset's validation rows, by run.

    Results that are older than that column have the median validation accuracy at step 0 of the dataset's runs
    instead, and 0 where step 0 was not evaluated; of one's own training it is not known then. Runs of one's own may be
    of any data: each has its own.
    """
    runs = tables["runs"].set_index("run_id")
    if naive_is_known(runs):
        known = runs["naive_accuracy"].astype(np.float64).groupby(runs["dataset"], observed=True).max()
        found = runs["dataset"].map(known).astype(np.float64)
        return found.where(runs["dataset"] != OWN, runs["naive_accuracy"].astype(np.float64))
    rows = tables["evaluations"]
    untrained = rows[(rows["step"] == 0) & (rows["split"] == "validation")].set_index("run_id")["accuracy"]
    median = untrained.groupby(runs["dataset"].reindex(untrained.index), observed=True).median()
    chance = runs["dataset"].map(median).astype(np.float64)
    return chance.where(runs["dataset"] == OWN, chance.fillna(0.0))


def naive_is_known(runs: pd.DataFrame) -> bool:
    """Whether the best constant answer was recorded: results of an older version do not hold it."""
    return "naive_loss" in runs and bool(runs["naive_loss"].notna().any())


def learned_accuracy(chance: pd.Series, rule: LearnedRule) -> pd.Series:
    """The final validation accuracy from which a run counts as learned."""
    return chance + rule.learned_share * (1.0 - chance)


def loss_decides(runs: pd.DataFrame) -> pd.Series:
    """Whether it is the loss that says if a run learned: where targets are values, or each step has a class.

    At each step, accuracy counts what is always the same as much as what is asked for. Results that are older than the
    column `targets` have the accuracy of a class at each step only in tasks.
    """
    known = runs["naive_loss"].notna() if "naive_loss" in runs else pd.Series(False, index=runs.index)
    score = "chance_accuracy" if "chance_accuracy" in runs else "naive_accuracy"
    values = known & (runs[score].isna() if score in runs else True)
    asked = [level is not None and level.asks is DataKind.CLASSES_EACH for level in levels_of(runs)]
    each = pd.Series(asked, index=runs.index, dtype=bool)
    if "targets" in runs:
        each = each.mask(runs["targets"].notna(), runs["targets"] == str(DataKind.CLASSES_EACH))
    return values | (known & each)


def learned_loss(runs: pd.DataFrame, rule: LearnedRule) -> pd.Series:
    """The final validation loss up to which a run counts as learned, where the loss decides.

    A task asks for more than the rule where the rule's share is what a part of its input tells
    (`DatasetLevel.learned_share`), or names a loss itself (the column `learned_loss`).
    """
    asked = [level.learned_share if level is not None else 0.0 for level in levels_of(runs)]
    found = (1.0 - np.fmax(asked, rule.learned_share)) * runs["naive_loss"].astype(np.float64)
    return named_loss(runs).fillna(found)


def named_loss(runs: pd.DataFrame) -> pd.Series:
    """The loss that a task names itself; NaN elsewhere, and in results that are older than the column."""
    known = "learned_loss" in runs
    return runs["learned_loss"].astype(np.float64) if known else pd.Series(np.nan, index=runs.index)


def levels_of(runs: pd.DataFrame) -> list[DatasetLevel | None]:
    """The level of each run's dataset; None of one from outside."""
    labels = runs["dataset"].astype(str).fillna("") if "dataset" in runs else pd.Series("", index=runs.index)
    found = {label: FACTORS["dataset"].level(level_name(label)) for label in labels.unique()}
    known = {label: level for label, level in found.items() if isinstance(level, DatasetLevel)}
    return [known.get(label) for label in labels]
