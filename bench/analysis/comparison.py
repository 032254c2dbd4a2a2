"""Fair comparison: each cell at the level of its tuned factors, such as the learning rate, that suits it best.

One learning rate for all favours the networks that happen to like it. Choosing by the validation data on which runs
are then compared flatters each choice, the more so the more candidates there were: `chosen_from` says how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.estimates import median_interval, with_lost_counted
from bench.analysis.tables import coded_levels
from bench.quantities import Better, quantity
from bench.schema import FACTOR_COLUMNS


def factor_columns(judged: pd.DataFrame) -> list[str]:
    """The columns that hold factors, in the schema's order."""
    return [name for name in FACTOR_COLUMNS if name in judged.columns]


def at_best(
    judged: pd.DataFrame, tuned: Sequence[str] = ("learning_rate",), by: str = "best_validation_loss"
) -> pd.DataFrame:
    """The runs of each cell at its best level of the tuned factors.

    A candidate is judged by the median of a quantity over all its runs, lost ones included: an infinite loss, or
    accuracy at chance. Which is better, the quantity says; a candidate without a measured run comes last. Of equal
    candidates the one with the smaller tuned level is chosen, such as the smaller learning rate; if all of them
    diverged it is the smallest.

    Args:
        judged: what `judge` returned.
        tuned: columns of factors; numbers, or words, which come in the order of `coded_levels`.
        by: the name of a quantity that is better when higher or lower.

    Returns:
        The chosen runs in their order in `judged`, with `chosen_from`, the number of candidates, and `on_edge`: a
        tuned number that varied is the smallest or largest tried, so that a better one may lie beyond, or there was
        a single candidate.

    Raises:
        ValueError: the quantity has no better and worse.
    """
    wanted = quantity(by)
    if wanted.better not in (Better.HIGHER, Better.LOWER):
        raise ValueError(f"{by} has no better and worse: choose a validation loss or accuracy")
    if judged.empty:
        return judged.assign(chosen_from=pd.Series(dtype=np.int64), on_edge=pd.Series(dtype=bool))
    names = list(tuned)
    context = [name for name in factor_columns(judged) if name not in names]
    sign = -1.0 if wanted.better is Better.HIGHER else 1.0
    keyed = pd.DataFrame(
        {
            "_context": _codes(judged, context),
            "_candidate": _codes(judged, names),
            "_value": sign * with_lost_counted(judged, wanted),
        }
    )
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(judged[name].dtype)]
    ranks = {name: judged[name] if name in numbers else coded_levels(judged[name])[0] for name in names}
    choices = _choices(keyed.assign(**ranks), names, numbers)
    found = keyed.reset_index(drop=True).merge(choices, on="_context", how="left")
    kept = (found["_candidate"] == found["_chosen"]).to_numpy()
    chosen = found[kept]
    return judged[kept].assign(chosen_from=chosen["chosen_from"].to_numpy(), on_edge=chosen["on_edge"].to_numpy())


def _choices(keyed: pd.DataFrame, names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """For each `_context` its `_chosen` candidate, `chosen_from` and `on_edge`, which only numbers have."""
    medians = median_interval(keyed, ["_context", "_candidate"], "_value")[["_context", "_candidate", "median"]]
    levels = keyed.drop_duplicates(["_context", "_candidate"])[["_context", "_candidate", *names]]
    candidates = medians.merge(levels, on=["_context", "_candidate"]).fillna({"median": np.inf})
    grouped = candidates.groupby("_context")
    single = grouped["_candidate"].transform("size") == 1
    edge = single.copy()
    for name in numbers:
        low, high = grouped[name].transform("min"), grouped[name].transform("max")
        edge |= (low < high) & ((candidates[name] == low) | (candidates[name] == high))
    candidates = candidates.assign(on_edge=edge, chosen_from=grouped["_candidate"].transform("size"))
    ranked = candidates.sort_values(["_context", "median", *names], kind="stable")
    best = ranked.drop_duplicates("_context")
    return best.rename(columns={"_candidate": "_chosen"})[["_context", "_chosen", "chosen_from", "on_edge"]]


def _codes(judged: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """A number for each combination of levels; all 0 without a column."""
    if not names:
        return pd.Series(0, index=judged.index)
    return judged.groupby(list(names), sort=False, observed=True, dropna=False).ngroup()
