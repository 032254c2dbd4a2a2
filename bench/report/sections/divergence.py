"""What diverged: where runs left the finite numbers, how long they stayed, and which cells did."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis import survival
from bench.report.axes import ALL, Axis
from bench.report.blocks import Figure, Panel, Scale, Section, Sentence, Table, Text, blocks_of
from bench.report.frames import Frames
from bench.schema import RunStatus
from bench.text import integer, listed, of, plural, span, spoken

MOST_EVENT_ROWS = 40

MOST_SERIES = 8


def section(frames: Frames) -> Section:
    """How many runs, then charts and a table if there are any."""
    events, judged = frames.tables["divergence_events"], frames.labelled
    blocks = blocks_of(
        Text(divergence_text(events, judged)),
        divergence(events, int(frames.plain["depth"].max())),
        survival_chart(judged, frames.axes),
        event_table(events, judged),
    )
    short = level_sentences(judged, frames.axes)
    return Section("events", "What diverged", "Divergence", blocks, short=short)


def level_sentences(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[Sentence, ...]:
    """Which levels the runs had that left the finite numbers; nothing where none did."""
    gone = judged[judged["status"] == RunStatus.DIVERGED]
    if gone.empty:
        return ()
    only, most = [], []
    for axis in axes:
        shares = pd.crosstab(judged[axis.factor].astype(str), judged["status"] == RunStatus.DIVERGED)
        lost = shares[True].reindex(list(axis.levels)).fillna(0).astype(int)
        runs = shares.sum(axis=1).reindex(lost.index).fillna(0).astype(int)
        levels = lost.index[lost > 0].tolist()
        if len(levels) < len(lost):
            only.append(f"{spoken(axis.factor)} {listed(levels)}")
        rate = lost / runs.clip(lower=1)
        worst = str(rate.idxmax())
        most.append((float(rate.max() - rate.min()), f"{spoken(axis.factor)} {worst} ({of(lost[worst], runs[worst])})"))
    text = f"{of(len(gone), len(judged), 'run')} left the finite numbers"
    if only:
        text += f", all with {listed(only)}"
    if most and max(most)[0] > 0.0:
        text += f"; most often with {max(most, key=lambda each: each[0])[1]}"
    return (Sentence(f"{text}.", "outcome diverged, by the levels of the factors that vary", "#events"),)


def divergence_text(events: pd.DataFrame, judged: pd.DataFrame) -> str:
    """How many runs met a NaN or an infinity, and how many passed their loss limit."""
    ends = events[events["kind"] != "loss_limit"]
    crossed = events[events["kind"] == "loss_limit"]["run_id"].nunique()
    first = f"{of(ends['run_id'].nunique(), len(judged), 'run')} met a NaN or an infinity."
    if ends.empty:
        first = f"None of {integer(len(judged))} runs met a NaN or an infinity."
    limit = "their loss limit (ten times the loss at the start or at chance) and went on"
    return f"{first} {integer(crossed)} crossed {limit}."


def divergence(events: pd.DataFrame, depth: int) -> Figure | None:
    """Where runs left the finite numbers: step and layer of each event, by tensor."""
    ends = events[events["kind"] != "loss_limit"]
    if ends.empty:
        return None
    rows = ends.assign(layer=ends["layer_index"].astype(float), series=ends["tensor"].astype(str))
    return Figure(
        key="divergence",
        kind="events",
        title="Where runs left the finite numbers",
        scale=Scale(
            x_label="step",
            y_label="layer",
            x_limits=(0.0, float(max(10, rows["step"].max()))),
            y_limits=(0.0, float(max(depth, 1))),
            series=tuple(dict.fromkeys(rows["series"])),
        ),
        panels=(Panel("", rows[["step", "layer", "series", "kind"]]),),
        legend_title="first bad tensor",
        captions=(
            "One mark a run, at the step and layer at which a NaN or an infinity was first seen. From the table "
            "divergence_events.",
        ),
    )


def survival_chart(judged: pd.DataFrame, axes: Sequence[Axis]) -> Figure | None:
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
    frame = judged.assign(series=judged[axis.factor].astype(str) if axis else ALL)
    curves = survival(frame, ["series"])
    present = set(curves["series"])
    series = tuple(level for level in axis.levels if level in present) if axis else (ALL,)
    by = f", by {spoken(axis.factor)}" if axis else ""
    low = float(curves["lower"].min())
    return Figure(
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


def event_table(events: pd.DataFrame, judged: pd.DataFrame) -> Table | None:
    """Cells with diverged runs: how many, when, where first."""
    ends = events[events["kind"] != "loss_limit"].merge(judged[["run_id", "cell_key"]], on="run_id")
    if ends.empty:
        return None
    sizes = judged.groupby("cell_key").size()
    rows = []
    for cell, group in ends.groupby("cell_key", sort=False):
        layers = group["layer_index"].dropna().astype(int)
        seen = sorted({f"{kind} in the {tensor}" for kind, tensor in zip(group["kind"], group["tensor"], strict=True)})
        where = _span(layers) if len(layers) else "–"
        rows.append((str(cell), f"{len(group)}/{sizes[cell]}", _span(group["step"]), listed(seen), where))
    rows.sort(key=lambda row: (-int(row[1].partition("/")[0]), row[0]))
    left = len(rows) - MOST_EVENT_ROWS
    note = f"{plural(left, 'more cell')}: see the table divergence_events." if left > 0 else ""
    columns = ("cell", "diverged", "step", "first bad tensor", "layer")
    return Table("Cells with diverged runs", columns, tuple(rows[:MOST_EVENT_ROWS]), (1, 2, 4), note)


def _span(values: pd.Series) -> str:
    return span(int(values.min()), int(values.max()))
