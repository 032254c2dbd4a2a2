"""What trained: a map of the suite, and from and down to which depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import pandas as pd

from bench.analysis import Outcome, at_best, deepest_trainable, onset
from bench.report.axes import ALL, Axis, MapLayout, level_label, map_layout
from bench.report.blocks import Figure, Panel, Place, Scale, Section, Sentence, Table, Text, based, blocks_of
from bench.report.frames import Frames
from bench.text import listed, plural, spoken

ACROSS = "initializer"
DOWN = ("normalization", "skip", "activation")  # the factors that decide how a signal travels, besides the initializer
MOST_ROWS = 36
ONSET = "most runs show the symptom at this depth and every greater one tried; in brackets: how many of them"
SAID = {"vanishing": "vanishes", "exploding": "explodes", "collapsed": "collapses"}


def section(frames: Frames) -> Section:
    """The map at each cell's best learning rate, and the tables by depth."""
    runs, said = _best_rates(frames)
    axes = [axis for axis in frames.axes if not said or axis.factor != "learning_rate"]
    judged = frames.labelled.loc[runs]
    grids = depth_grids(frames.worded, frames.axes)
    return Section(
        "map",
        "What trained",
        "Map",
        blocks_of(
            Text(said) if said else None,
            trainability(judged, map_layout(judged, axes)),
            Place("depths", grids) if grids else None,
        ),
        short=depth_sentences(frames.worded, frames.axes),
    )


def _best_rates(frames: Frames) -> tuple[pd.Index, str]:
    """The runs that the map shows, and which view that is: each cell at its best learning rate where it varies."""
    if "learning_rate" not in frames.varied:
        return frames.plain.index, ""
    best = at_best(frames.plain)
    rates = frames.plain["learning_rate"].nunique()
    edge = int(best[best["on_edge"]]["cell_key"].nunique())
    return best.index, (
        f"Each cell is shown at the best of its learning rates ({plural(rates, 'rate')} in the suite): the one with "
        f"the lowest median validation loss over replicates, a lost run counting as infinite. For "
        f"{plural(edge, 'cell')} it is the smallest or largest tried. Every other part of this page takes all runs, "
        "unless it says otherwise."
    )


def trainability(judged: pd.DataFrame, layout: MapLayout) -> Figure:
    """The share of runs that learned, over the map's axes, in panels."""
    x, y = layout.x, layout.y
    keys = [axis.factor for axis in (x, y) if axis]
    panels = []
    for title, rows in layout.facets.panels(judged):
        tiles = rows.assign(_x=_labels(rows, x), _y=_labels(rows, y), _learned=rows["outcome"] == Outcome.LEARNED)
        counted = tiles.groupby(["_x", "_y"], observed=True)["_learned"].agg(["sum", "size"]).reset_index()
        panels.append(Panel(title, counted.rename(columns={"_x": "x", "_y": "y", "sum": "learned", "size": "runs"})))
    pooled = f" A tile pools {listed([spoken(axis.factor) for axis in layout.pooled])}." if layout.pooled else ""
    return Figure(
        key="trainability",
        kind="tiles",
        title="Trainability map: share of runs that learned"
        + (f", by {listed([spoken(k) for k in keys])}" if keys else ""),
        scale=Scale(
            x_label=spoken(x.factor) if x else "",
            y_label=spoken(y.factor) if y else "",
            x_levels=x.levels if x else (ALL,),
            y_levels=y.levels if y else (ALL,),
        ),
        panels=tuple(panels),
        columns=layout.facets.columns,
        captions=(
            f"Each tile says how many of its runs learned; diverged and failed runs count as runs.{pooled} From the "
            "tables runs and evaluations.",
        ),
    )


def _labels(rows: pd.DataFrame, axis: Axis | None) -> object:
    return rows[axis.factor].astype(str) if axis else ALL


def depth_grids(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[Table, ...]:
    """Both tables; none where depth does not vary.

    A factor that is no row yet becomes one where what a table says depends on it, while the rows fit.

    Args:
        judged: what `judge` returned, `depth` a number, other factors as labels.
        axes: the factors that vary.
    """
    by_name = {axis.factor: axis for axis in axes}
    if "depth" not in by_name:
        return ()
    frame = judged.assign(_all=ALL)
    depths = ", ".join(by_name["depth"].levels)
    shown = [
        ("From which depth the gradient vanishes or explodes at initialization", _starts, _onset_text, "–",
         f"Most runs show the symptom at this depth and every greater one of those tried ({depths}); in brackets: in "
         "how many of the runs at these depths. A dash: at none, or not at the greatest."),
        ("The deepest network that learned", _ends, _deepest_text, "none",
         f"The greatest depth tried ({depths}) at which most runs learned; in brackets how many of the runs there. "
         "A plus: no deeper one was tried. “But not at”: shallower ones that did not learn."),
    ]  # fmt: skip
    grids = []
    for title, answers, text, empty, note in shown:
        down, across, pooled = _split(frame, axes, answers)
        by = _keys(down, across)
        texts = {key: text(rows) for key, rows in _grouped(answers(frame, by), by)}
        present = {key for key, _ in _grouped(frame[by], by)}
        said = f"{note} Pooled over {listed(pooled)}." if pooled else note
        grids.append(_grid(title, texts, empty, said, (down, across, present)))
    return tuple(grids)


Answers = Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame]  # rows with `_answer`, by columns


def _starts(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    found = onset(judged, by)
    return found.assign(_answer=found["pathology"] + " " + found["depth"].astype(str))


def _ends(judged: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    found = deepest_trainable(judged, by)
    return found.assign(_answer=found["deepest"].astype(str))


def _keys(down: Sequence[Axis], across: Axis | None) -> list[str]:
    return [axis.factor for axis in (*down, *([across] if across else []))] or ["_all"]


def _split(judged: pd.DataFrame, axes: Sequence[Axis], answers: Answers) -> tuple[list[Axis], Axis | None, list[str]]:
    """A table's rows and columns, among them the other factors on which it depends, and what it pools over."""
    by_name = {axis.factor: axis for axis in axes}
    across, pooled = by_name.get(ACROSS), []
    down = _rows([by_name[name] for name in DOWN if name in by_name])
    for axis in axes:
        if axis.factor in ("depth", ACROSS) or axis in down:
            continue
        depends = _depends(judged, axis.factor, _keys(down, across), answers)
        if depends and len(axis.levels) * prod(len(each.levels) for each in down) <= MOST_ROWS:
            down = [axis, *down]
        else:
            pooled.append(f"{spoken(axis.factor)}, on which it depends," if depends else spoken(axis.factor))
    return down, across, pooled


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


def _onset_text(rows: pd.DataFrame) -> str:
    parts = []
    for row in rows.to_dict("records"):
        since = "at every depth" if row["from_first"] else f"from {level_label(row['depth'])}"
        parts.append(f"{SAID[row['pathology']]} {since} ({row['shown']}/{row['runs']})")
    return ", ".join(parts)


def _deepest_text(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    if row["deepest"] != row["deepest"]:
        return f"none (0/{row['runs']})" if row["learned"] == 0 else f"none ({row['learned']}/{row['runs']})"
    plus = "+" if row["is_deepest_tried"] else ""
    holes = f", but not at {plural(int(row['holes']), 'shallower depth')}" if row["holes"] else ""
    return f"{int(row['deepest'])}{plus} ({row['learned']}/{row['runs']}){holes}"
