"""Which factor goes where: axes and panels of the map, colours and panels of the line charts, and what is left.

Depth and activation come first where they vary. Panels go to the factors that change the share of runs that learned
most, on equal terms, so that what is pooled or held is what matters least. Everything is bounded and said in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis import Outcome, matched
from bench.report.levels import Axis

MAP_PANELS, LINE_PANELS, SERIES = 24, 12, 8
_Y_FIRST = ("depth", "width", "steps", "batch_size", "learning_rate")
_X_FIRST = ("activation", "initializer", "normalization", "skip", "optimizer")


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
    return LineLayout(colour, facets, tuple(held), colour.levels[SERIES:] if colour else ())


def shown(judged: pd.DataFrame, layout: LineLayout) -> pd.DataFrame:
    """The runs that the line charts show."""
    for axis, level in layout.held:
        judged = judged[judged[axis.factor] == level]
    if layout.colour:
        judged = judged[~judged[layout.colour.factor].isin(layout.dropped)]
    return judged


def held_level(axis: Axis, left: pd.DataFrame) -> str:
    """The deepest; else the absent treatment; else the suite's first; among the levels that still have runs."""
    present = set(left[axis.factor].astype(str))
    levels = [level for level in axis.levels if level in present] or list(axis.levels)
    if axis.factor == "depth":
        return levels[-1]
    return "none" if "none" in levels else levels[0]


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
