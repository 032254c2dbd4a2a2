"""Where the gradient went: its norm by layer, and by layer and step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

import numpy as np
import pandas as pd

from bench.analysis import Moment, Tables, gradient_profile
from bench.analysis.curves import layer_step
from bench.analysis.recurrent import layered, recurrent
from bench.report.axes import ALL, Axis, LineLayout, held_level, level_title
from bench.report.blocks import Figure, Lead, Panel, Scale, Section, Sentence, Text
from bench.report.frames import Frames
from bench.report.sections.flow import KEPT, flow_of
from bench.schema import RunStatus
from bench.text import integer, listed, of, plural, sentence

DECADES_AROUND = 0.5  # room above and below the curves
BANDS = "Median over runs; band: range of up to five runs, of more a 95 % interval of the median."
SOURCE = "From the table gradient_norms, log10 in the CSV. Rule: keeps the gradient, docs/rules.md."
PANELS = 24
LOW_TAIL, HIGH_TAIL = 0.02, 0.005  # shares of the medians that may lie beyond the colours
LEAST_SPAN, MOST_SPAN = 2.0, 16.0  # decades of the colours: what is far below has vanished, however far


def section(frames: Frames) -> Section | None:
    """The profiles at the first and the last recorded step, and the maps of everything between.

    None where no network has layers to compare.
    """
    if not layered(frames.plain).any():
        return None
    of_time = " Of a recurrent layer it is that of all time steps, taken as one vector."
    intro = Text(
        "The back-propagated signal, layer by layer. A level line is a healthy network. A line that falls towards the "
        "input (to the left) is a vanishing gradient, one that rises towards it an exploding one."
        f"{of_time if recurrent(frames.plain).any() else ''}"
    )
    given = (frames.tables, frames.labelled, frames.lines)
    said = flow_sentence(*given)
    blocks = (*([Lead(said)] if said else []), *gradient_flow(*given), intro, heatmaps(*given))
    return Section("gradients", "Where the gradient went", "Gradients", blocks)


def flow_sentence(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> Sentence | None:
    """What becomes of the gradient on its way back through the network, at the start, from Keras's defaults."""
    runs = layout.grouped(judged)
    flow = flow_of(gradient_profile(tables, runs, layout.by, Moment.START), layout)
    if flow is None:
        return None
    own, _ = layout.usual(runs)
    lost = int((own["status"] != RunStatus.COMPLETED).sum())
    basis = (
        f"median norm at the first hidden layer over the last's at step 0, {plural(len(own), 'run')}, {integer(lost)} "
        f"later lost; kept: within a factor of ten; {layout.held_words}"
    )
    return Sentence(flow.sentence(), basis, "")


def gradient_flow(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> tuple[Figure, ...]:
    """The pre-activation gradient norm over layers, at the first and at the last recorded step, on one scale."""
    runs, by = layout.grouped(judged), layout.by
    profiles = {moment: gradient_profile(tables, runs, by, moment) for moment in Moment}
    frames = {moment: _log10(profile) for moment, profile in profiles.items()}
    limits = _limits(pd.concat(frames.values()))
    figures = []
    for moment, frame in frames.items():
        when = "at the start" if moment is Moment.START else "at the end of training"
        flow = flow_of(profiles[moment], layout)
        found = flow.title() if flow else "No gradient was measured"
        title = sentence(f"{when}, {found[:1].lower()}{found[1:]}")[:-1]
        deepest = float(max(1, frame["layer_index"].max() if len(frame) else 1))
        scale = Scale(
            f"{hidden_unit(layout)} (0: input side)", "gradient norm", x_limits=(0.0, deepest), y_limits=limits
        )
        drawn = f"Norm of the gradient with respect to pre-activations. {BANDS}"
        figure = Figure(f"gradients-{moment}", "profile", title, scale, (), subtitle=drawn, source=SOURCE)
        figures.append(layout.figure(frame, figure))
    return tuple(figures)


def heatmaps(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> Figure:
    """At most 24 maps, over the colours and panels of the line charts; `scale.x_limits` is the range of the colours.

    Where these make more cells, an axis of the panels is held at one level, and a caption says which. The common
    colour bar is `charts.heatmap.colour_bar(group.scale)`.
    """
    axes, spare = _axes(layout)
    runs, held = layout.shown(judged), [*layout.held]
    for axis in spare:
        held.append((axis, held_level(axis, runs)))
        runs = runs[runs[axis.factor] == held[-1][1]]
    by = [axis.factor for axis in axes] or ["_all"]
    frame = layer_step(tables, runs.assign(_all=ALL), by)
    limits = _colours(frame)
    panels = tuple(_panels(frame, axes, layout.dropped))
    return Figure(
        key="heatmaps",
        kind="heatmap",
        title=_kept_title(panels),
        scale=Scale(
            x_label="step, as recorded",
            y_label=hidden_unit(layout),
            x_limits=limits,
            y_limits=(0.0, float(frame["layer_index"].max()) if len(frame) else 1.0),
        ),
        panels=panels,
        columns=min(4, len(axes[0].levels)) if axes else 1,
        captions=_captions(frame, limits, held, runs),
        subtitle="Norm of the pre-activations' gradient by layer and step.",
        source=SOURCE,
    )


def hidden_unit(layout: LineLayout) -> str:
    """What the networks' rows are: hidden layers, of transformers sub-layers."""
    return "hidden layer" if layout.unit == "layer" else layout.unit


def _kept_title(panels: Sequence[Panel]) -> str:
    """In how many maps the gradient is kept at the first and at the last step; a lost map does not keep it."""
    counts, steps = [], []
    for place in (0, -1):
        kept = 0
        for panel in panels:
            rows = panel.rows
            steps.append(int(rows["step"].iloc[place]) if len(rows) else 0)
            now = rows[rows["step"] == rows["step"].iloc[place]].sort_values("layer_index") if len(rows) else rows
            first, last = (float(now["median"].iloc[end]) if len(now) else np.nan for end in (0, -1))
            there = len(now) and not (now["lost"] > now["measured"]).any()
            kept += bool(there and np.isfinite([first, last]).all() and abs(first - last) <= KEPT)
        counts.append(kept)
    when = [
        f"{integer(kept)} at step {integer(end(steps, default=0))}"
        for kept, end in zip(counts, (min, max), strict=True)
    ]
    return f"Of {plural(len(panels), 'network')}, {' and '.join(when)} keep the gradient within a factor of ten"


def _log10(profile: pd.DataFrame) -> pd.DataFrame:
    """Norms as powers of ten; a norm of 0 has none and is left out of the line."""
    with np.errstate(divide="ignore"):
        logs: Mapping[str, pd.Series] = {c: np.log10(profile[c]) for c in ("median", "lower", "upper")}
    return profile.assign(**{name: values.replace([np.inf, -np.inf], np.nan) for name, values in logs.items()})


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    values = frame["median"].dropna()
    if values.empty:
        return (-1.0, 1.0)
    return (float(np.floor(values.min() - DECADES_AROUND)), float(np.ceil(values.max() + DECADES_AROUND)))


def _axes(layout: LineLayout) -> tuple[list[Axis], list[Axis]]:
    """The axes whose combinations are the maps, and those that must be held to keep within the number of maps."""
    colour = [layout.colour] if layout.colour else []
    facets = list(layout.facets.axes)
    choices = [facets, *([axis] for axis in facets), []]
    counted = {index: prod(len(axis.levels) for axis in [*colour, *kept]) for index, kept in enumerate(choices)}
    best = max((index for index in counted if counted[index] <= PANELS), key=lambda index: (counted[index], -index))
    kept = choices[best]
    return [*colour, *kept], [axis for axis in facets if axis not in kept]


def _panels(frame: pd.DataFrame, axes: Sequence[Axis], dropped: Sequence[str]) -> Iterator[Panel]:
    """The first axis runs across, so that its levels stand side by side."""
    if not axes:
        yield Panel("", frame)
        return
    across, *down = axes
    for levels in product(*(axis.levels for axis in (*down, across))):
        rows = frame
        for axis, level in zip((*down, across), levels, strict=True):
            rows = rows[rows[axis.factor].astype(str) == level]
        if len(rows) and levels[-1] not in dropped:
            names = [level_title(axis, level) for axis, level in zip((*down, across), levels, strict=True)]
            yield Panel(names[-1], rows.reset_index(drop=True), strip=" · ".join(names[:-1]))


def _colours(frame: pd.DataFrame) -> tuple[float, float]:
    """Whole decades that hold the medians but for their tails, counted from the top."""
    finite = frame["median"].replace([np.inf, -np.inf], np.nan).dropna()
    if finite.empty:
        return (-LEAST_SPAN / 2.0, LEAST_SPAN / 2.0)
    high = np.ceil(finite.quantile(1.0 - HIGH_TAIL))
    low = max(np.floor(finite.quantile(LOW_TAIL)), high - MOST_SPAN)
    short = np.ceil(max(0.0, LEAST_SPAN - (high - low)) / 2.0)
    return float(low - short), float(high + short)


def _captions(
    frame: pd.DataFrame, limits: tuple[float, float], held: list[tuple[Axis, str]], runs: pd.DataFrame
) -> tuple[str, ...]:
    lost = int((runs["status"] != RunStatus.COMPLETED).sum())
    beyond = int(((frame["median"] < limits[0]) | (frame["median"] > limits[1])).sum())
    captions = [
        "Median of the log10 norm over the runs that were left at that step; hatched where more runs were lost than "
        f"left. {plural(lost, 'run')} of {integer(len(runs))} shown {'was' if lost == 1 else 'were'} lost. Recorded "
        "steps stand at equal distances; layer 0, nearest the input, is at the bottom."
    ]
    if beyond:
        share = f"{of(beyond, len(frame))} pairs of layer and step"
        captions.append(f"{share} lie beyond the colours and have the colour of the nearer end.")
    if held:
        captions.append(f"Shown: {listed([axis.words(level) for axis, level in held])}.")
    return tuple(captions)
