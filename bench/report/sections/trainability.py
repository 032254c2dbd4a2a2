"""What trained: a map of the suite, from and down to which depth, and at which learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import pandas as pd

from bench.analysis import Outcome, at_best, deepest_trainable, onset
from bench.report.axes import ALL, Axis, MapLayout, by_effect, level_label, map_layout
from bench.report.blocks import (
    Figure,
    Lead,
    Panel,
    Place,
    Scale,
    Section,
    Sentence,
    Table,
    Text,
    based,
    blocks_of,
    numbers,
)  # fmt: skip
from bench.report.frames import Frames
from bench.report.sections.onsets import depth_strip, rate_strip
from bench.text import integer, listed, of, plural, sentence, spoken

ACROSS = "initializer"
DOWN = ("normalization", "skip", "activation")  # the factors that decide how a signal travels, besides the initializer
MOST_ROWS = 36
MOST_CLAUSES, MOST_WORDS = 2, 25  # of the first sentence
ONSET = "most runs show the symptom at this depth and every greater one tried; in brackets: how many of them"
AT_BEST = "each cell at its best learning rate; lost runs count as runs"
SAID = {"vanishing": "vanishes", "exploding": "explodes", "collapsed": "collapses"}


def section(frames: Frames) -> Section:
    """The map at each cell's best learning rate, strips by depth and by rate, and the deepest that learned."""
    frames = frames.training
    runs, said = _best_rates(frames)
    axes = [axis for axis in frames.axes if not said or axis.factor != "learning_rate"]
    judged, by_name = frames.labelled.loc[runs], {axis.factor: axis for axis in frames.axes}
    grids = depth_grids(frames.worded, frames.axes)
    figure, table, killed = rate_strip(frames.plain, by_name)
    return Section(
        "map",
        "What trained",
        "Map",
        blocks_of(
            Lead(
                lead(judged, axes, f"{'each cell at its best learning rate; ' if said else ''}lost runs count as runs")
            ),
            trainability(judged, map_layout(judged, axes), killed),
            numbers(Text(said) if said else None, figure, table, Place("depths", grids) if grids else None),
        ),
        short=depth_sentences(frames.worded, frames.axes),
    )


def lead(judged: pd.DataFrame, axes: Sequence[Axis], basis: str = "") -> Sentence:
    """How many runs learned at the least and the greatest depth, and with which level of a factor most and fewest."""
    learned = judged["outcome"] == Outcome.LEARNED
    clauses: list[str] = []
    ranked = by_effect(judged, axes)
    for axis in sorted(ranked, key=lambda each: each.factor != "depth"):
        shares = learned.groupby(judged[axis.factor].astype(str)).agg(["sum", "size"])
        shares = shares.reindex(list(axis.levels)).dropna().astype(int)
        rate = shares["sum"] / shares["size"]
        if len(shares) < 2 or rate.max() == rate.min() or len(clauses) == MOST_CLAUSES:
            continue
        best = rate.idxmax()
        first, last = (shares.index[0], shares.index[-1]) if axis.numeric else (best, rate.idxmin())
        counts = {level: (int(shares.loc[level, "sum"]), int(shares.loc[level, "size"])) for level in shares.index}
        joint = "at" if axis.numeric else "with"
        if clauses:
            clauses.append(f"of all runs, {joint} {axis.words(best)} {of(*counts[best])}")
        else:
            said = f"{joint} {axis.words(first)} {of(*counts[first], 'run')} learned"
            clauses.append(f"{said}, {joint} {axis.words(last)} {of(*counts[last])}")
    if not clauses:
        clauses = [f"{of(int(learned.sum()), len(judged), 'run')} learned"]
    text = clauses[0] if len(clauses) == 1 or len(" ".join(clauses).split()) > MOST_WORDS else "; ".join(clauses)
    return Sentence(sentence(text) if text[0].islower() else f"{text}.", basis)


def _best_rates(frames: Frames) -> tuple[pd.Index, str]:
    """The runs that the map shows, and which view that is: each cell at its best learning rate where it varies."""
    if "learning_rate" not in frames.varied:
        return frames.plain.index, ""
    best = at_best(frames.plain)
    rates = frames.plain["learning_rate"].nunique()
    edge = int(best[best["on_edge"]]["cell_key"].nunique())
    return best.index, (
        f"The map shows each cell at the best of its learning rates ({plural(rates, 'rate')} in the suite). That "
        f"is the one with the lowest median validation loss over replicates, a lost run counting as infinite. For "
        f"{plural(edge, 'cell')} it is the smallest or largest tried. Every other part of this page takes all runs, "
        "unless it says otherwise."
    )


def trainability(judged: pd.DataFrame, layout: MapLayout, killed: str = "") -> Figure:
    """The share of runs that learned, over the map's axes, in panels; `killed` says what greater rates do."""
    x, y = layout.x, layout.y
    panels = []
    for title, rows in layout.facets.panels(judged):
        tiles = rows.assign(_x=_labels(rows, x), _y=_labels(rows, y), _learned=rows["outcome"] == Outcome.LEARNED)
        counted = tiles.groupby(["_x", "_y"], observed=True)["_learned"].agg(["sum", "size"]).reset_index()
        panels.append(Panel(title, counted.rename(columns={"_x": "x", "_y": "y", "sum": "learned", "size": "runs"})))
    pooled = f"; it pools {listed([spoken(axis.factor) for axis in layout.pooled])}" if layout.pooled else ""
    more = f" {killed}" if killed else ""
    return Figure(
        key="trainability",
        kind="tiles",
        title=_map_title(panels, y),
        scale=Scale(
            x_label=spoken(x.factor) if x else "",
            y_label=spoken(y.factor) if y else "",
            x_levels=x.levels if x else (ALL,),
            y_levels=y.levels if y else (ALL,),
        ),
        panels=tuple(panels),
        columns=layout.facets.columns,
        subtitle=f"Each tile: how many of its runs learned, lost ones included{pooled}.{more}",
        source="Tables runs and evaluations; rule: docs/rules.md, Outcomes.",
    )


def _map_title(panels: Sequence[Panel], y: Axis | None) -> str:
    """How many tiles hold no run that learned, or only such, at the last level down."""
    tiles = pd.concat([panel.rows for panel in panels])
    where = ""
    if y and y.numeric:
        tiles = tiles[tiles["y"].astype(str) == y.levels[-1]]
        where = f" at {y.words(y.levels[-1])}"
    if len(tiles) == 1:
        return f"{of(int(tiles['learned'].sum()), int(tiles['runs'].sum()), 'run')} learned{where}"
    every, none = int((tiles["learned"] == tiles["runs"]).sum()), int((tiles["learned"] == 0).sum())
    return f"Of {plural(len(tiles), 'tile')}{where}, every run learned in {integer(every)}, none in {integer(none)}"


def _labels(rows: pd.DataFrame, axis: Axis | None) -> object:
    return rows[axis.factor].astype(str) if axis else ALL


def depth_grids(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[Figure | Table, ...]:
    """The strip of what most runs show at the start, and the deepest that learned; none where depth does not vary.

    A factor that is no row yet becomes one where what is said depends on it, while the rows fit.

    Args:
        judged: what `judge` returned, `depth` a number, other factors as labels.
        axes: the factors that vary.
    """
    by_name = {axis.factor: axis for axis in axes}
    if "depth" not in by_name:
        return ()
    frame = judged.assign(_all=ALL)
    down, across, pooled = _split(frame, axes, _starts)
    strip = depth_strip(frame, by_name, down, across, pooled)
    down, across, pooled = _split(frame, axes, _ends)
    by = _keys(down, across)
    texts = {key: _deepest_text(rows) for key, rows in _grouped(_ends(frame, by), by)}
    present = {key for key, _ in _grouped(frame[by], by)}
    note = (
        f"The greatest depth tried ({', '.join(by_name['depth'].levels)}) at which most runs learned; in brackets how "
        "many of the runs there. A plus: no deeper one was tried. “But not at”: shallower ones that did not "
        f"learn.{pooled}"
    )
    deepest = _grid("The deepest network that learned", texts, "none", note, (down, across, present))
    return (strip, deepest) if strip else (deepest,)


Answers = Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]  # rows with `_answer`, by columns


def _starts(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    found = onset(judged, by)
    return found.assign(_answer=found["pathology"] + " " + found["depth"].astype(str))


def _ends(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    found = deepest_trainable(judged, by)
    return found.assign(_answer=found["deepest"].astype(str))


def _keys(down: Sequence[Axis], across: Axis | None) -> list[str]:
    return [axis.factor for axis in (*down, *([across] if across else []))] or ["_all"]


def _split(judged: pd.DataFrame, axes: Sequence[Axis], answers: Answers) -> tuple[list[Axis], Axis | None, str]:
    """A table's rows and columns, among them the other factors on which it depends, and in words what it pools over."""
    by_name = {axis.factor: axis for axis in axes}
    across = by_name.get(ACROSS)
    pooled: list[str] = []
    matter: list[str] = []
    down = _rows([by_name[name] for name in DOWN if name in by_name])
    for axis in axes:
        if axis.factor in ("depth", ACROSS) or axis in down:
            continue
        depends = _depends(judged, axis.factor, _keys(down, across), answers)
        if depends and len(axis.levels) * prod(len(each.levels) for each in down) <= MOST_ROWS:
            down = [axis, *down]
        else:
            pooled.append(spoken(axis.factor))
            matter += [spoken(axis.factor)] if depends else []
    though = f", though it depends on {listed(matter)}" if matter else ""
    return down, across, f" Pooled over {listed(pooled)}{though}." if pooled else ""


def _depends(judged: pd.DataFrame, factor: str, keys: Sequence[str], answers: Answers) -> bool:
    """Whether what a table says differs between a factor's levels in any of its cells."""
    found = answers(judged, [*keys, factor])
    said = {key: frozenset(rows["_answer"]) for key, rows in _grouped(found, [*keys, factor])}
    cells: dict[tuple[str, ...], set[frozenset[str]]] = {}
    for key, _ in _grouped(judged[[*keys, factor]], [*keys, factor]):
        cells.setdefault(key[:-1], set()).add(said.get(key, frozenset()))
    return any(len(each) > 1 for each in cells.values())


def depth_sentences(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[Sentence, ...]:
    """Which activations and initializers vanish, explode or collapse, and from which depth, without a remedy."""
    by_name = {axis.factor: axis for axis in axes}
    keys = [name for name in ("activation", ACROSS) if name in by_name]
    if "depth" not in by_name or not keys:
        return ()
    treatments = [axis for axis in axes if axis.factor in ("normalization", "skip") and "none" in axis.levels]
    for axis in treatments:
        judged = judged[judged[axis.factor] == "none"]
    found = onset(judged, keys)
    without = f"Without {listed([spoken(axis.factor) for axis in treatments])}, t" if treatments else "T"
    sentences = []
    for symptom, said in SAID.items():
        rows = found[found["pathology"] == symptom]
        if len(rows):
            subject = "samples collapse" if said == "collapses" else f"gradient {said}"
            text = f"{without}he {subject} at initialization with {'; '.join(_pairs(rows, keys, by_name))}."
            sentences.append(Sentence(text, "", "#depths"))
    return based(sentences, ONSET)


def _pairs(rows: pd.DataFrame, keys: Sequence[str], axes: dict[str, Axis]) -> list[str]:
    """`sigmoid, any initializer, from 4 (27/27)`, levels with the same onset together."""
    parts = []
    for first, group in rows.sort_values(keys, kind="stable").groupby(keys[0], sort=False, observed=True):
        for depth, same in group.groupby("depth", sort=True):
            counts = f"from {level_label(depth)} ({same['shown'].sum()}/{same['runs'].sum()})"
            levels = [str(level) for level in same[keys[-1]]] if len(keys) > 1 else []
            among = f"any {spoken(keys[-1])}" if len(levels) == len(axes[keys[-1]].levels) else listed(levels)
            parts.append(f"{first}{f', {among},' if levels else ''} {counts}")
    return parts


def _rows(axes: list[Axis]) -> list[Axis]:
    """As many of the axes as fit, those nearest to the activation first."""
    while len(axes) > 1 and prod(len(axis.levels) for axis in axes) > MOST_ROWS:
        axes = axes[1:]
    return axes


def _grouped(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    grouped = frame.groupby(list(by), sort=False, observed=True, dropna=False)
    return [(tuple(level_label(level) for level in key), rows) for key, rows in grouped]


def _grid(
    title: str, texts: dict[tuple[str, ...], str], empty: str, note: str,
    layout: tuple[Sequence[Axis], Axis | None, set[tuple[str, ...]]],
) -> Table:  # fmt: skip
    down, across, present = layout
    columns = across.levels if across else (ALL,)
    rows = []
    for levels in product(*(axis.levels for axis in down)):
        keys = [(*levels, level) if across else (levels or (ALL,)) for level in columns]
        if any(key in present for key in keys):
            cells = [texts.get(key, empty) if key in present else "not run" for key in keys]
            rows.append((*levels, *cells))
    heads = (*(spoken(axis.factor) for axis in down), *columns)
    return Table(title, heads, tuple(rows), note=note)


def _deepest_text(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    if row["deepest"] != row["deepest"]:
        return f"none (0/{row['runs']})" if row["learned"] == 0 else f"none ({row['learned']}/{row['runs']})"
    plus = "+" if row["is_deepest_tried"] else ""
    holes = f", but not at {plural(int(row['holes']), 'shallower depth')}" if row["holes"] else ""
    return f"{int(row['deepest'])}{plus} ({row['learned']}/{row['runs']}){holes}"
