"""Gradients through time: how far back they reach in recurrent networks, by theory and as measured, and what it means.

The chapter is there where a recurrent network is; its figures by lag where `time_gradients` was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import pandas as pd

from bench.analysis import Outcome
from bench.analysis.recurrent import recurrent
from bench.analysis.through_time import horizons, lags
from bench.report.axes import Axis
from bench.report.blocks import Lead, Section, Sentence, Sentences, Table, Text, blocks_of
from bench.report.frames import Frames
from bench.report.sections.time_figures import lag_figure, map_figure, rate_figure
from bench.report.sections.time_kinds import Kind, kinds_of, per_network, within
from bench.schema import RunStatus
from bench.text import integer, number, of, plural, ratio, sentence, signed
from bench.theory.lags import Law

ID = "time"
MOST_WORDS = 25
MOST_ROWS, MOST_NAMED = 24, 4
LAWS = {
    Law.CHI: "growth per step, χ", Law.RADIUS: "spectral radius", Law.ARCSINE: "arcsine law",
    Law.GATES: "sum over gates",
}  # fmt: skip
GREW = 1.0  # decades at some lag over lag 0, from which on a gradient is said to grow
RULE = (
    "horizon: the smallest lag at which less than 1 % of the gradient at lag 0 is left; that for the cell state of an "
    "LSTM, for h of other cells"
)
ABSENT = Text(
    "How far back the gradients of these runs reach is not known: no suite records it unasked. Write "
    "`time_gradients = { log_spaced = 10 }` into `[record]`."
)
AT_EACH_STEP = Text(
    "These networks read a loss at every time step, so that each state has a loss of its own at lag 0 and no horizon."
)
INTRO = Text(
    "A recurrent network applies one layer at every time step, so a gradient passes it once for each step back. Lag is "
    "the number of steps from the loss. The horizon is where less than 1 % is left; what stood earlier in the sequence "
    "hardly moves the weights."
)
SOURCE = "From the table time_gradients and bench.theory, log10 in the CSV. Method: docs/theory.md, Through time."


def section(frames: Frames) -> Section | None:
    """What the runs of recurrent networks say; None where there are none."""
    runs = frames.labelled[recurrent(frames.plain).to_numpy(bool)]
    if runs.empty:
        return None
    rows = lags(frames.tables)
    found = kinds_of(frames, runs, rows)
    clipping = rate_figure(frames, runs, "clipping", "time-clipping")
    if found:
        blocks = blocks_of(
            Lead(lead(found)), INTRO, Sentences(said(runs, rows, found)), lag_figure(found, rows, SOURCE),
            horizon_table(found), theory_table(found), layer_table(found, rows),
            map_figure(frames, runs, rows, SOURCE), clipping, length_table(runs, frames.axes),
        )  # fmt: skip
    else:
        table = frames.tables.get("time_gradients")
        unknown = ABSENT if table is None or table.empty else AT_EACH_STEP
        blocks = blocks_of(Lead(_learned(runs)), unknown, clipping, length_table(runs, frames.axes))
    short = tuple(each.sentence for each in blocks if isinstance(each, Lead)) if found else ()
    return Section(ID, "Gradients through time", "Time", blocks, short)


def lead(found: Sequence[Kind]) -> Sentence:
    """How far back the first gradients of the best and of the worst kind reach, in at most 25 words."""
    best, worst = found[0], found[-1]
    networks = sum(len(each.starts) for each in found)
    lost = sum(int((each.runs["status"] != RunStatus.COMPLETED).sum()) for each in found)
    basis = f"{RULE}; medians over replicates, {plural(networks, 'network')}, {plural(lost, 'run')} later lost"
    text = f"First gradients reach {_back(best)} steps back"
    if (best.reach, best.longest) != (worst.reach, worst.longest):
        near = number(worst.reach) if worst.longest == best.longest and isfinite(worst.reach) else _back(worst)
        names = (f"a {each.name}" if each.name.startswith("simple") else each.name for each in (best, worst))
        named = f"{text} with {next(names)}; {near} with {next(names)}"
        text = f"First gradients reach {near} to {text.partition('reach ')[2]}"
        text = named if len(named.split()) <= MOST_WORDS else text
    return Sentence(f"{text}.", basis)


def _back(kind: Kind) -> str:
    """`all 39`, `24 of 39`."""
    return (
        f"{number(kind.reach)} of {integer(kind.longest)}" if isfinite(kind.reach) else f"all {integer(kind.longest)}"
    )


def _learned(runs: pd.DataFrame) -> Sentence:
    hits, lost = int((runs["outcome"] == Outcome.LEARNED).sum()), int((runs["status"] != RunStatus.COMPLETED).sum())
    text = f"{of(hits, len(runs), 'run')} of recurrent networks learned; {integer(lost)} were lost."
    return Sentence(text.replace("; 1 were", "; 1 was"), "a lost run did not learn")


def said(runs: pd.DataFrame, rows: pd.DataFrame, found: Sequence[Kind]) -> tuple[Sentence, ...]:
    """Whether networks learned what lies beyond their first horizon, what training did to it, and where one grows."""
    each = per_network(runs, rows)
    return tuple(item for item in (_beyond(each), _trained(each), *_grown(found)) if item is not None)


def _beyond(each: pd.DataFrame) -> Sentence | None:
    short = each["start"] <= each["longest"]
    learned = each["learned"] > each["runs"] / 2
    hits, far = int((short & learned).sum()), int((~short & learned).sum())
    parts = []
    if short.any():
        parts.append(
            f"{of(hits, int(short.sum()), 'network')} whose first horizon is shorter than the sequence learned"
        )
    if (~short).any():
        rest = of(far, int((~short).sum()), "" if parts else "network")
        parts.append(f"{rest} whose is not" if parts else f"{rest} learned; no horizon is shorter than the sequence")
    basis = f"learned: more than half of a network's runs; {plural(int(each['lost'].sum()), 'lost run')} did not"
    return Sentence(f"{', and '.join(parts)}.", basis) if parts else None


def _trained(each: pd.DataFrame) -> Sentence | None:
    later = each[each["later"]]
    if later.empty:
        return None
    longer, shorter = int((later["end"] > later["start"]).sum()), int((later["end"] < later["start"]).sum())
    text = (
        f"Training lengthened the horizon of {of(longer, len(later), 'network')} and shortened that of "
        f"{integer(shorter)}."
    )
    lost = plural(int(later["lost"].sum()), "lost run")
    return Sentence(text, f"from the first to the last recorded step, medians over replicates; {lost} with their last")


def _grown(found: Sequence[Kind]) -> list[Sentence]:
    grown = [each for each in found if float(each.starts["peak"].median()) > GREW]
    if not grown:
        return []
    most = max(grown, key=lambda each: float(each.starts["peak"].median()))
    lag, times = most.starts["peak_lag"].median(), 10.0 ** min(float(most.starts["peak"].median()), 300.0)
    head = f"In {of(len(grown), len(found), 'kind')} of network the first gradient grows through time"
    end = f"{ratio(times)} at lag {number(float(lag))}."
    text = f"{head}, most with {most.name}: {end}"
    if len(text.split()) > MOST_WORDS:
        text = f"{head}, up to {end}"
    return [Sentence(text, "the largest gradient at any lag over that at lag 0, more than ten times as large")]


def horizon_table(found: Sequence[Kind]) -> Table:
    """Every kind: its horizon as measured and as predicted, its peak, and how its runs ended."""
    lines = []
    for each in found[:MOST_ROWS]:
        ends = [
            within(float(value), each.longest) for value in (each.starts["horizon"].min(), each.starts["horizon"].max())
        ]
        peak, lag = float(each.starts["peak"].median()), float(each.starts["peak_lag"].median())
        learned = int((each.runs["outcome"] == Outcome.LEARNED).sum())
        lost = int((each.runs["status"] != RunStatus.COMPLETED).sum())
        lines.append((
            each.name, within(each.reach, each.longest), " to ".join(dict.fromkeys(ends)), each.told,
            signed(float(each.starts["left"].median())), _decades_told(each), f"{signed(peak)} at {number(lag)}",
            integer(len(each.starts)), of(learned, len(each.runs)), integer(lost),
        ))  # fmt: skip
    left = len(found) - len(lines)
    note = f"{plural(left, 'more kind')}: see the tables. " if left > 0 else ""
    heads = (
        "network", "horizon", "range", "predicted", "decades at the largest lag", "predicted decades", "largest",
        "networks", "learned", "lost",
    )  # fmt: skip
    return Table(
        "The horizon at the start, by kind of network", heads, tuple(lines), tuple(range(1, 10)),
        f"{note}Medians over one run a replicate, in the layer nearest the loss; learned and lost: of all runs of the "
        "kind, whatever their rate. Decades: log10 of the gradient over that at lag 0.",
    )  # fmt: skip


def theory_table(found: Sequence[Kind]) -> Table:
    """What theory rests on, and where it holds; or why there is none."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if isinstance(each.theory, str):
            told = "not predicted", each.theory
        else:
            told = LAWS[each.theory.law], each.theory.holds
        reasons.setdefault(told, []).append(each.name)
    rows = tuple((_several(names), law, sentence(why)) for (law, why), names in reasons.items())
    note = (
        "Of inputs theory reads their size, as measured, and whether most steps are blanks; else it takes them to be "
        "independent from step to step."
    )
    return Table("What theory says of them", ("network", "law", "holds for, or why not"), rows, (), note)


def _several(names: Sequence[str]) -> str:
    """Names that hold commas themselves."""
    more = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {integer(more)} more" if more > 0 else "")


def _decades_told(each: Kind) -> str:
    return "–" if isinstance(each.theory, str) else signed(float(each.theory.state[-1]))


def layer_table(found: Sequence[Kind], rows: pd.DataFrame) -> Table | None:
    """The horizon of every layer and direction, where there are several."""
    if rows["layer_index"].nunique() < 2 and rows["direction"].nunique() < 2:
        return None
    first = rows[rows["step"] == rows.groupby("run_id")["step"].transform("min")]
    reach = horizons(first)
    lines = []
    for each in found[:MOST_ROWS]:
        own = reach[reach["run_id"].isin(each.starts.index)]
        for (layer, direction), part in own.groupby(["layer_index", "direction"], sort=True):
            longest = int(part["longest"].max())
            ends = [within(float(value), longest) for value in (part["horizon"].min(), part["horizon"].max())]
            reached = within(float(part["horizon"].median()), longest)
            lines.append((each.name, integer(int(layer)), str(direction), reached, " to ".join(dict.fromkeys(ends))))
    heads = ("network", "layer", "direction", "horizon", "range")
    note = "Layer 0 is nearest the input. A lower layer is reached through the states of the upper ones as well."
    return Table("The horizon at the start, by layer", heads, tuple(lines), (1, 3, 4), note)


def length_table(runs: pd.DataFrame, axes: Sequence[Axis]) -> Table | None:
    """How many runs of each cell learned at each length of the sequences, where that varies."""
    by_name = {axis.factor: axis for axis in axes}
    data = by_name.get("dataset")
    if data is None:
        return None
    cell = by_name.get("cell")
    known = set(runs["dataset"].astype(str))
    datasets = [name for name in data.levels if name in known]
    lines = []
    for level in cell.levels if cell else ("",):
        own = runs[runs["cell"].astype(str) == level] if cell else runs
        texts = []
        for name in datasets:
            part = own[own["dataset"].astype(str) == name]
            gone = int((part["status"] != RunStatus.COMPLETED).sum())
            hits = int((part["outcome"] == Outcome.LEARNED).sum())
            texts.append(f"{of(hits, len(part))}{f', {integer(gone)} lost' if gone else ''}" if len(part) else "–")
        if len(own):
            lines.append((cell.change(level) if cell else "all networks", *texts))
    heads = ("cell", *datasets)
    return Table("Runs that learned, by cell and data", heads, tuple(lines), tuple(range(1, len(heads))))
