"""From which depth on a symptom shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.rules import PATHOLOGIES


def onset(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """For each group and pathology, the least depth from which most of its runs show it at initialization.

    "From which": at this depth and at every greater one tried, more than half of all runs, lost ones included. A group
    that shows a pathology at no depth, or not at the greatest, has no row for it.

    Args:
        judged: what `judge` returned, `depth` a number.
        by: the columns that make a group.

    Returns:
        Columns: `by`, pathology, depth, from_first (whether it is the least depth tried), shown and runs (over these
        depths).
    """
    keys = list(by)
    frame = judged[[*keys, "depth", "symptom_start"]]
    parts = []
    for symptom in PATHOLOGIES:
        flags = frame.assign(_shown=(frame["symptom_start"] == symptom).astype(int), _runs=1)
        cells = flags.groupby([*keys, "depth"], sort=False, observed=True, dropna=False)[["_shown", "_runs"]].sum()
        cells = cells.reset_index().sort_values("depth", ascending=False, kind="stable")
        most = (cells["_shown"] > cells["_runs"] / 2).astype(int)
        group = cells.groupby(keys, sort=False, observed=True, dropna=False).ngroup()
        kept = cells[most.groupby(group).cummin() == 1]
        least = cells.groupby(keys, sort=False, observed=True, dropna=False)["depth"].min().rename("_least")
        found = kept.groupby(keys, sort=False, observed=True, dropna=False).agg(
            depth=("depth", "min"), shown=("_shown", "sum"), runs=("_runs", "sum")
        )
        part = found.join(least).reset_index()
        parts.append(part.assign(pathology=str(symptom), from_first=part["depth"] == part["_least"]))
    columns = [*keys, "pathology", "depth", "from_first", "shown", "runs"]
    order = judged[keys].drop_duplicates().reset_index(drop=True)
    joined = pd.concat(parts, ignore_index=True)[columns]
    ranked = joined.merge(order.reset_index(names="_order"), on=keys, how="left")
    rank = ranked["pathology"].map({str(each): k for k, each in enumerate(PATHOLOGIES)}).astype(np.int64)
    return ranked.assign(_rank=rank).sort_values(["_order", "_rank"], kind="stable", ignore_index=True)[columns]
