"""What settings are called: the levels that tell them apart, in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from bench.analysis.mean_field import SETTINGS
from bench.report.axes import ALL, Axis, level_label


def setting_titles(
    runs: pd.DataFrame, ranked: pd.DataFrame, axes: Sequence[Axis], factors: Collection[str] = SETTINGS
) -> dict[int, str]:
    """The levels of a setting's factors that vary, in words, but for treatments that it lacks."""
    known = [axis for axis in axes if axis.factor in factors]
    levels = runs.set_index("run_id").loc[ranked["run_id"], [axis.factor for axis in known]]
    words = [
        ", ".join(
            axis.words(label) for axis, label in zip(known, map(level_label, row), strict=True) if label != "none"
        )
        for row in levels.itertuples(index=False)
    ]
    return {int(setting): said or ALL for setting, said in zip(ranked["setting"], words, strict=True)}
