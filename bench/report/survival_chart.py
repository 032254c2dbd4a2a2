"""How long runs stay finite, by the factor that decides it most."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis import survival
from bench.report.levels import Axis
from bench.report.view import ChartGroup, Panel, Scale
from bench.schema import RunStatus
from bench.text import spoken

MOST_SERIES = 8


def survival_chart(judged: pd.DataFrame, axes: Sequence[Axis]) -> ChartGroup | None:
    """Kaplan and Meier's curves by the factor whose levels differ most in their share of diverged runs.

    None where no run diverged.

    Args:
        judged: what `judge` returned, varied factors as labels.
        axes: the factors that vary.
    """
    gone = judged["status"] == RunStatus.DIVERGED
    if not gone.any():
        return None

    def spread(axis: Axis) -> float:
        shares = gone.groupby(judged[axis.factor], observed=True).mean()
        return float(shares.max() - shares.min())

    fitting = [axis for axis in axes if len(axis.levels) <= MOST_SERIES]
    axis = max(fitting, key=spread, default=None)
    frame = judged.assign(series=judged[axis.factor].astype(str) if axis else "all runs")
    curves = survival(frame, ["series"])
    present = set(curves["series"])
    series = tuple(level for level in axis.levels if level in present) if axis else ("all runs",)
    by = f", by {spoken(axis.factor)}" if axis else ""
    low = float(curves["lower"].min())
    return ChartGroup(
        key="survival",
        kind="survival",
        title=f"Runs still finite{by}",
        scale=Scale("step", "share of runs", x_limits=(0.0, float(max(1, curves["step"].max()))),
                    y_limits=(max(0.0, low - 0.03), 1.005), series=series),
        panels=(Panel("", curves),),
        legend_title=spoken(axis.factor) if axis else "",
        captions=(
            "Kaplan and Meier's estimate: a run that ended finite counts as censored at its last step, not as one that "
            "would never diverge. Band: 95 % interval at each step. From the tables runs and divergence_events.",
        ),
    )  # fmt: skip
