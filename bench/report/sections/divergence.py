"""What diverged: where runs left the finite numbers, how long they stayed, and which cells did."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis import survival
from bench.report.axes import ALL, Axis
from bench.report.blocks import (
    Figure,
    Lead,
    Panel,
    Scale,
    Section,
    Sentence,
    Table,
    Text,
    based,
    blocks_of,
    numbers,
    sentences,
)  # fmt: skip
from bench.report.frames import Frames
from bench.report.sections.why import RULE, Why, cause_table, causes_found, commonest
from bench.schema import EventKind, RunStatus
from bench.text import UNKNOWN, integer, listed, of, plural, span, spoken

MOST_EVENT_ROWS = 40

MOST_SERIES = 8
MOST_WORDS = 25  # of a sentence
BASIS = "outcome diverged, by the levels of the factors that vary"


def section(frames: Frames) -> Section:
    """How many runs, then charts and a table if there are any."""
    events, judged = frames.tables["divergence_events"], frames.labelled
    short = level_sentences(judged, frames.axes)
    why = causes_found(frames, judged.loc[judged["status"] == RunStatus.DIVERGED, "run_id"])
    first = short[0] if short else Sentence(f"None of {plural(len(judged), 'run')} left the finite numbers.", BASIS)
    blocks = blocks_of(
        Lead(first),
        divergence(events, int(frames.plain["depth"].max())),
        numbers(
            Text(divergence_text(events, judged)),
            sentences((*short[1:], *_commonest(why))),
            cause_table(why, "Why runs diverged") if why else None,
            survival_chart(judged, frames.axes),
            event_table(events, judged),
        ),
    )
    return Section("events", "What diverged", "Divergence", blocks, short=short)


def _commonest(why: Sequence[Why]) -> tuple[Sentence, ...]:
    """The commonest cause of the runs that diverged."""
    said = commonest(why)
    return (Sentence(f"Of the runs that diverged: {said[0].lower()}{said[1:]}", RULE, "#causes"),) if said else ()


def level_sentences(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[Sentence, ...]:
    """How many runs left the finite numbers, most often with which level, and which levels all of them had."""
    gone = judged[judged["status"] == RunStatus.DIVERGED]
    if gone.empty:
        return ()
    only: list[str] = []
    most: list[tuple[float, str]] = []
    for axis in axes:
        shares = pd.crosstab(judged[axis.factor].astype(str), judged["status"] == RunStatus.DIVERGED)
        lost = shares[True].reindex(list(axis.levels)).fillna(0).astype(int)
        runs = shares.sum(axis=1).reindex(lost.index).fillna(0).astype(int)
        levels = lost.index[lost > 0].tolist()
        if len(levels) < len(lost):
            only.append(_or([axis.words(level) for level in levels]))
        rate = lost / runs.clip(lower=1)
        worst = str(rate.idxmax())
        most.append((float(rate.max() - rate.min()), f"with {axis.words(worst)} ({of(lost[worst], runs[worst])})"))
    text = f"{of(len(gone), len(judged), 'run')} left the finite numbers"
    if most and max(most)[0] > 0.0:
        text += f", most often {max(most, key=lambda each: each[0])[1]}"
    while len(" ".join(only).split()) > MOST_WORDS - 5:
        only.remove(max(only, key=lambda each: len(each.split())))
    every = (Sentence(f"{'All of them' if len(gone) > 1 else 'It'} had {listed(only, 12)}."),) if only else ()
    return based((Sentence(f"{text}.", "", "#events"), *every), BASIS)


def _or(levels: Sequence[str]) -> str:
    """`relu or gelu`, `rate 0.01 or 0.1`, `16 or 32 layers`: what the levels share is said once."""
    words = [level.split(" ") for level in levels]
    if len(levels) > 1 and all(len(each) == 2 for each in words):
        if len({each[0] for each in words}) == 1:
            return f"{words[0][0]} {' or '.join(each[1] for each in words)}"
        if len({each[1] for each in words}) == 1:
            return f"{' or '.join(each[0] for each in words)} {words[0][1]}"
    return " or ".join(levels)


def divergence_text(events: pd.DataFrame, judged: pd.DataFrame) -> str:
    """How many runs met a NaN or an infinity, and how many passed their loss limit."""
    ends = _ends(events)
    crossed = events[events["kind"] == "loss_limit"]["run_id"].nunique()
    first = f"{of(ends['run_id'].nunique(), len(judged), 'run')} met a NaN or an infinity."
    if ends.empty:
        first = f"None of {integer(len(judged))} runs met a NaN or an infinity."
    limit = "their loss limit (ten times the loss at the start or at chance) and went on"
    skipping = events[events["kind"] == str(EventKind.SKIPPED_STEP)]["run_id"].nunique()
    skipped = f" {plural(skipping, 'run')} skipped steps by a loss scale, which is no divergence." if skipping else ""
    return f"{first} {integer(crossed)} crossed {limit}.{skipped}"


def _ends(events: pd.DataFrame) -> pd.DataFrame:
    """The events that end a run."""
    return events[events["kind"].isin([str(EventKind.NAN), str(EventKind.INFINITY)])]


def divergence(events: pd.DataFrame, depth: int) -> Figure | None:
    """Where runs left the finite numbers: step and layer of each event, by tensor."""
    ends = _ends(events)
    if ends.empty:
        return None
    rows = ends.assign(layer=ends["layer_index"].astype(float), series=ends["tensor"].astype(str))
    return Figure(
        key="divergence",
        kind="events",
        title=_when(rows),
        scale=Scale(
            x_label="step",
            y_label="layer",
            x_limits=(0.0, float(max(10, rows["step"].max()))),
            y_limits=(0.0, float(max(depth, 1))),
            series=tuple(dict.fromkeys(rows["series"])),
        ),
        panels=(Panel("", rows[["step", "layer", "series", "kind"]]),),
        legend_title="first bad tensor",
        subtitle="One mark a run: step and layer at which a NaN or an infinity was first seen.",
        source="Table divergence_events; rule: docs/rules.md, Outcomes.",
    )


def _when(rows: pd.DataFrame) -> str:
    steps = rows["step"]
    first, last = int(steps.min()), int(steps.max())
    if first == last:
        return f"{plural(len(rows), 'run')} left the finite numbers at step {integer(first)}"
    half = int(steps.quantile(0.5, interpolation="higher"))
    early = of(int((steps <= half).sum()), len(rows), "run")
    return f"{early} were lost by step {integer(half)}, the last at step {integer(last)}"


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
        title=_least(curves, axis),
        scale=Scale("step", "share of runs", x_limits=(0.0, float(max(1, curves["step"].max()))),
                    y_limits=(max(0.0, low - 0.03), 1.005), series=series),
        panels=(Panel("", curves),),
        legend_title=spoken(axis.factor) if axis else "",
        subtitle=(
            f"Runs still finite{by}, by Kaplan and Meier's estimate. A run that ended finite counts as censored at its "
            "last step, not as one that would never diverge. Band: 95 % interval at each step."
        ),
        source="Tables runs and divergence_events.",
    )  # fmt: skip


def _least(curves: pd.DataFrame, axis: Axis | None) -> str:
    """With which level the fewest runs stayed finite."""
    last = curves.groupby("series", sort=False).tail(1)
    row = last.loc[last["surviving"].idxmin()]
    stayed, runs = int(row["runs"] - row["diverged"]), int(row["runs"])
    if axis is None:
        return f"{of(stayed, runs)} runs stayed finite"
    return f"Fewest runs stayed finite with {axis.words(str(row['series']))}: {of(stayed, runs)}"


def event_table(events: pd.DataFrame, judged: pd.DataFrame) -> Table | None:
    """Cells with diverged runs: how many, when, where first."""
    ends = _ends(events).merge(judged[["run_id", "cell_key"]], on="run_id")
    if ends.empty:
        return None
    sizes = judged.groupby("cell_key").size()
    rows = []
    for cell, group in ends.groupby("cell_key", sort=False):
        layers = group["layer_index"].dropna().astype(int)
        seen = sorted({f"{kind} in the {tensor}" for kind, tensor in zip(group["kind"], group["tensor"], strict=True)})
        times = group["time"].dropna().astype(int) if "time" in group else layers[:0]
        where = tuple(_span(each) if len(each) else UNKNOWN for each in (layers, times))
        rows.append((str(cell), f"{len(group)}/{sizes[cell]}", _span(group["step"]), listed(seen), *where))
    rows.sort(key=lambda row: (-int(row[1].partition("/")[0]), row[0]))
    left = len(rows) - MOST_EVENT_ROWS
    note = f"{plural(left, 'more cell')}: see the table divergence_events." if left > 0 else ""
    columns = ("cell", "diverged", "step", "first bad tensor", "layer", "time step")
    kept = 6 if any(row[5] != UNKNOWN for row in rows) else 5  # without sequences there is no time
    shown = tuple(row[:kept] for row in rows[:MOST_EVENT_ROWS])
    return Table("Cells with diverged runs", columns[:kept], shown, (1, 2, 4, 5)[: kept - 2], note)


def _span(values: pd.Series) -> str:
    return span(int(values.min()), int(values.max()))
