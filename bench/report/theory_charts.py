"""Which settings the section on theory shows as charts, and the rows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.report.view import ChartGroup, Panel, Scale

MOST_PANELS, MOST_REPLICATES = 6, 8
SERIES = ("predicted, with its band", "measured at step 0, a line a replicate", "at the last recorded step, median")
X_LABEL = "hidden layer (0 nearest the input)"
READ = (
    "Above: log10 of the pre-activation gradient's norm over the last hidden layer's. Below: the same less the "
    "prediction, enlarged. Band: 95 % of networks of this width. Each panel has its own scale."
)


def theory_charts(
    ranked: pd.DataFrame, rows: pd.DataFrame, later: pd.DataFrame, titles: Mapping[int, str]
) -> tuple[ChartGroup, ...]:
    """The settings furthest from theory, at least one for each cause, and the most typical ones.

    Args:
        ranked: what `settings` returned.
        rows: what `predictions` returned for the drawn runs.
        later: the same at the last recorded step.
        titles: a setting's levels in words.
    """
    worst = furthest(ranked)
    common = typical(ranked[~ranked["setting"].isin(worst)])
    groups: list[ChartGroup] = []
    for key, title, chosen in (
        ("theory-furthest", "Furthest from theory", worst),
        ("theory-typical", "Typical agreement", common),
    ):
        if chosen:
            panels = tuple(Panel(titles[each], _rows(rows, later, each)) for each in chosen)
            scale = Scale(X_LABEL, "log10 ratio", series=SERIES if len(later) else SERIES[:2])
            groups.append(ChartGroup(key, "theory", title, scale, panels, 3, "lines", (_caption(key), *_read(groups))))
    return tuple(groups)


def furthest(ranked: pd.DataFrame) -> list[int]:
    """The first setting of each cause, then the others in their order; those that part come first."""
    first = ranked[ranked["parted"]].drop_duplicates("cause")["setting"].tolist()
    rest = [each for each in ranked["setting"] if each not in first]
    chosen = set((first + rest)[:MOST_PANELS])
    return [int(each) for each in ranked["setting"] if each in chosen]


def typical(ranked: pd.DataFrame) -> list[int]:
    """Of settings in groups by their predicted total, the one in each whose departure is nearest the group's median."""
    known = ranked[np.isfinite(ranked["departure"])].sort_values("predicted", kind="stable")
    chosen = []
    for places in np.array_split(np.arange(len(known)), MOST_PANELS):
        group = known.iloc[places]
        size = group["departure"].abs()
        near = (size - size.median()).abs().sort_values(kind="stable")
        chosen += [int(group.loc[place, "setting"]) for place in near.index[:1]]
    return chosen


def _read(before: Sequence[ChartGroup]) -> tuple[str, ...]:
    """How to read the panels, once."""
    return ("Read as the figure above.",) if before else (READ,)


def _caption(key: str) -> str:
    if key == "theory-typical":
        return (
            "The other settings in groups, from the smallest to the largest predicted total; of each group the one "
            "whose departure from the middle of its band is nearest the median."
        )
    return "At least one setting for each cause, then those whose total is furthest from the middle of its band."


def _rows(rows: pd.DataFrame, later: pd.DataFrame, setting: int) -> pd.DataFrame:
    own = rows[rows["setting"] == setting]
    drawn = own["run_id"].drop_duplicates().tolist()
    told = own[own["run_id"] == drawn[0]][["layer_index", "predicted", "low", "high"]]
    parts: Sequence[pd.DataFrame] = [
        told.rename(columns={"predicted": "value"}).assign(kind="predicted", replicate=-1),
        *(
            own[own["run_id"] == run][["layer_index", "measured"]]
            .rename(columns={"measured": "value"})
            .assign(kind="measured", replicate=number)
            for number, run in enumerate(drawn[:MOST_REPLICATES])
        ),
        later[later["setting"] == setting]
        .groupby("layer_index", as_index=False)["measured"]
        .median()
        .rename(columns={"measured": "value"})
        .assign(kind="trained", replicate=-1),
    ]
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    found["value"] = found["value"].replace([np.inf, -np.inf], np.nan)
    return found[["kind", "replicate", "layer_index", "value", "low", "high"]]
