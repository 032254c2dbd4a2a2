"""Which factors vary, their levels in the suite's order, and where each goes: axes, colours and panels.

Depth and activation come first where they vary. Panels go to the factors that change the share of runs that learned
most, on equal terms, so that what is pooled or held is what matters least. Everything is bounded and said in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.analysis import Outcome, matched
from bench.analysis.comparison import factor_columns
from bench.analysis.parts import depth_unit, row_unit
from bench.factors import FACTORS, absent_of, default_level
from bench.report.blocks import Figure, Panel
from bench.report.headline import level_words
from bench.results import Manifest
from bench.text import UNKNOWN, exactly, listed, spoken

ALL = "all runs"  # the panel, series or level where nothing varies

MAP_PANELS, LINE_PANELS, SERIES = 24, 12, 8
_Y_FIRST = ("depth", "width", "steps", "batch_size", "learning_rate")
_X_FIRST = ("activation", "initializer", "normalization", "skip", "optimizer")


@dataclass(frozen=True)
class Axis:
    """A factor that varies: its name and its levels as labels, numbers ascending, words in the suite's order.

    `unit` is what a depth counts in this suite.
    """

    factor: str
    levels: tuple[str, ...]
    numeric: bool
    unit: str = "layer"

    def words(self, level: str) -> str:
        """A level as what is chosen: `batch normalization`, `a skip connection`, `no clipping`, `rate 0.01`."""
        return level_words(self.factor, level, self.levels, self.unit)

    def change(self, level: str) -> str:
        """The same where it names a row, without an article."""
        return self.words(level).removeprefix("a ").removeprefix("an ")


def varied_axes(runs: pd.DataFrame, manifest: Manifest) -> tuple[Axis, ...]:
    """One axis per factor with more than one level in `runs`, in the order of the table's columns.

    A factor that has one level in each architecture goes with that: what only one of them has is no change of others.
    """
    axes: list[Axis] = []
    for factor in factor_columns(runs):
        numeric = bool(is_numeric_dtype(runs[factor]))
        found = runs[factor].drop_duplicates()
        if numeric:
            levels = [level_label(value) for value in sorted(found.dropna())]
        else:
            known = [level_label(label) for label in manifest.factors.get(factor, ())]
            present = {level_label(value) for value in found}
            levels = [label for label in known if label in present] + sorted(present - set(known))
        if found.isna().any() and numeric:
            levels.append(level_label(None))
        if len(levels) > 1 and not _goes_with_architecture(runs, factor):
            axes.append(Axis(factor, tuple(levels), numeric, depth_unit(runs)))
    return tuple(axes)


def _goes_with_architecture(runs: pd.DataFrame, factor: str) -> bool:
    if factor == "architecture" or "architecture" not in runs or runs["architecture"].nunique() < 2:
        return False
    return bool((runs.groupby("architecture", observed=True)[factor].nunique(dropna=False) == 1).all())


def level_label(value: object) -> str:
    """A level as text: 0.01, 32, he_normal; `–` for none recorded."""
    if value is None or value != value:
        return UNKNOWN
    return exactly(value) if isinstance(value, float) else str(value)  # no two levels have one label


def level_title(axis: Axis, level: str) -> str:
    """A level over a panel: a number or `none` with its factor, a word alone."""
    if axis.numeric or level == "none":
        return f"{spoken(axis.factor)} {level}"
    return level.replace("(", " (")  # where a long title may break


def labelled(frame: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """The frame with each axis's column as an ordered category of its labels."""
    columns = {
        axis.factor: pd.Categorical(
            [level_label(value) for value in frame[axis.factor].tolist()], categories=list(axis.levels), ordered=True
        )
        for axis in axes
    }
    return frame.assign(**columns)


@dataclass(frozen=True)
class Facets:
    """Up to two axes whose combinations are panels: the first runs across, the second down."""

    axes: tuple[Axis, ...]

    @property
    def factors(self) -> list[str]:
        """The factors' names."""
        return [axis.factor for axis in self.axes]

    @property
    def columns(self) -> int:
        """How many panels stand side by side where there is room."""
        return min(4, len(self.axes[0].levels)) if self.axes else 1

    def panels(self, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Title and rows of each panel that has any."""
        for strip, title, rows in self.strips(frame):
            yield Panel(title, rows, strip=strip).name, rows

    def strips(self, frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """The same with the level that runs down apart: it heads the panels of a row."""
        if not self.axes:
            yield "", "", frame
            return
        across, down = self.axes[0], self.axes[1] if len(self.axes) > 1 else None
        for lower in down.levels if down else ("",):
            for level in across.levels:
                rows = frame[frame[across.factor] == level]
                if down:
                    rows = rows[rows[down.factor] == lower]
                if len(rows):
                    yield down.change(lower) if down else "", level_title(across, level), rows


@dataclass(frozen=True)
class MapLayout:
    """The trainability map; runs that differ only in the `pooled` axes share a tile."""

    x: Axis | None
    y: Axis | None
    facets: Facets
    pooled: tuple[Axis, ...]


@dataclass(frozen=True)
class LineLayout:
    """Line charts; of each `held` axis one level is shown."""

    colour: Axis | None
    facets: Facets
    held: tuple[tuple[Axis, str], ...]
    dropped: tuple[str, ...]  # levels of the colour's factor beyond the number of colours
    unit: str = "layer"  # what tables have a row for: of transformers a sub-layer

    @property
    def held_words(self) -> str:
        """The levels that are held: `32 layers, no clipping and momentum`."""
        return listed([axis.words(level) for axis, level in self.held])

    def shown(self, judged: pd.DataFrame) -> pd.DataFrame:
        """The runs that the line charts show."""
        for axis, level in self.held:
            judged = judged[judged[axis.factor] == level]
        return judged[~judged[self.colour.factor].isin(self.dropped)] if self.colour else judged

    def usual(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
        """The rows of the panel with Keras's defaults, or else the first, and its levels in words."""
        words = []
        for axis in self.facets.axes:
            present = set(frame[axis.factor].astype(str))
            level = usual_level(axis)
            level = level if level in present else next((each for each in axis.levels if each in present), level)
            frame = frame[frame[axis.factor] == level]
            words.append(axis.words(level))
        return frame, ", ".join(words)

    @property
    def by(self) -> list[str]:
        """The columns to group runs by; `_all`, which `grouped` adds, where nothing varies."""
        return [*([self.colour.factor] if self.colour else []), *self.facets.factors] or ["_all"]

    def grouped(self, judged: pd.DataFrame) -> pd.DataFrame:
        """The runs shown, with every column of `by`."""
        runs = self.shown(judged)
        return runs.assign(_all=ALL) if self.by == ["_all"] else runs

    @property
    def series(self) -> tuple[str, ...]:
        """What the colours stand for."""
        return tuple(level for level in self.colour.levels if level not in self.dropped) if self.colour else (ALL,)

    def panels(self, frame: pd.DataFrame) -> Iterator[Panel]:
        """Each panel, with the colour's level as `series`."""
        for strip, title, rows in self.facets.strips(frame):
            series = rows[self.colour.factor].astype(str) if self.colour else ALL
            yield Panel(title, rows.assign(series=series), strip=strip)

    def figure(self, frame: pd.DataFrame, drawn: Figure) -> Figure:
        """The figure with a panel for each of the layout's, its colours, and captions on what is held or left out."""
        panels = tuple(self.panels(frame))
        captions = [*drawn.captions]
        if self.held:
            captions.append(f"Shown: {self.held_words}; the tables hold the rest.")
        if self.dropped:
            captions.append(f"Left out for want of colours: {listed(self.dropped)}.")
        scale, columns = replace(drawn.scale, series=self.series), self.facets.columns
        legend = spoken(self.colour.factor) if self.colour else ""
        return replace(
            drawn, scale=scale, panels=panels, columns=columns, legend_title=legend, captions=tuple(captions)
        )


def learned_spread(judged: pd.DataFrame, axis: Axis, axes: Sequence[Axis]) -> float:
    """Largest minus smallest share of runs that learned over the levels of a factor, on equal terms; 0 if none is."""
    others = [other.factor for other in axes if other is not axis]
    runs = matched(judged, axis.factor, others)
    if runs.empty:
        return 0.0
    shares = (runs["outcome"] == Outcome.LEARNED).groupby(runs[axis.factor], observed=True).mean()
    return float(shares.max() - shares.min())


def by_effect(judged: pd.DataFrame, axes: Sequence[Axis]) -> list[Axis]:
    """The axes, those first that change the share of runs that learned most; ties in the order given."""
    return sorted(axes, key=lambda axis: -learned_spread(judged, axis, axes))


def map_layout(judged: pd.DataFrame, axes: Sequence[Axis]) -> MapLayout:
    """Axes and panels of the trainability map for a suite that varies `axes`."""
    y = _preferred([axis for axis in axes if axis.numeric], _Y_FIRST)
    x = _preferred([axis for axis in axes if axis is not y], _X_FIRST)
    if y is None:  # no number varies: two words make the map
        y = _preferred([axis for axis in axes if axis is not x], _X_FIRST)
    ranked = [axis for axis in by_effect(judged, axes) if axis not in (x, y)]
    facets = _facets(ranked, MAP_PANELS)
    return MapLayout(x, y, facets, tuple(axis for axis in ranked if axis not in facets.axes))


def line_layout(judged: pd.DataFrame, axes: Sequence[Axis]) -> LineLayout:
    """Colours and panels of the line charts; layers have no meaning across depths, so depth is held at its deepest."""
    free = [axis for axis in axes if axis.factor != "depth"]
    colour = _preferred(free, ("activation",)) if free else None
    ranked = [axis for axis in by_effect(judged, axes) if axis in free and axis is not colour]
    if colour is not None and colour.factor != "activation":
        colour, *ranked = [axis for axis in by_effect(judged, axes) if axis in free]
    facets = _facets(ranked, LINE_PANELS)
    held: list[tuple[Axis, str]] = []
    left = judged
    for axis in axes:
        if axis is not colour and axis not in facets.axes:
            level = held_level(axis, left)
            held.append((axis, level))
            left = left[left[axis.factor] == level]
    return LineLayout(colour, facets, tuple(held), colour.levels[SERIES:] if colour else (), row_unit(left))


def held_level(axis: Axis, left: pd.DataFrame) -> str:
    """The deepest; else the absent treatment; else the suite's first; among the levels that still have runs."""
    present = set(left[axis.factor].astype(str))
    levels = [level for level in axis.levels if level in present] or list(axis.levels)
    if axis.factor == "depth":
        return levels[-1]
    return absent_of(levels)


def usual_level(axis: Axis) -> str:
    """Keras's default where it is among the levels; else the absent treatment; else the suite's first."""
    factor = FACTORS.get(axis.factor)
    known = [level_label(factor.default) if factor else "", "none"]
    if factor and factor.default == "none":  # some architectures have a level of their own in its place
        known += [level_label(default_level(factor, [each.name])) for each in FACTORS["architecture"].levels]
    return next((level for level in known if level in axis.levels), axis.levels[0])


def _preferred(axes: Sequence[Axis], names: Sequence[str]) -> Axis | None:
    by_name = {axis.factor: axis for axis in axes}
    found = [by_name[name] for name in names if name in by_name]
    return found[0] if found else (axes[0] if axes else None)


def _facets(ranked: Sequence[Axis], most: int) -> Facets:
    """The first axes whose combinations stay within `most` panels; two at most."""
    chosen: list[Axis] = []
    panels = 1
    for axis in ranked:
        if len(chosen) < 2 and panels * len(axis.levels) <= most:
            chosen.append(axis)
            panels *= len(axis.levels)
    return Facets(tuple(sorted(chosen, key=lambda axis: len(axis.levels), reverse=True)))
