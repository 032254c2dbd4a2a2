"""From frames to chart groups: which rows each small chart shows, and the scale they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis import Moment, Outcome, Tables, gradient_profile, loss_bands
from bench.report.layout import Facets, LineLayout, MapLayout, shown
from bench.report.levels import Axis, level_title
from bench.report.view import ChartGroup, Panel, Scale
from bench.text import listed, spoken

ALL = "all runs"
DECADES_AROUND = 0.5  # room above and below the curves
LOSS_CEILING = 3.0  # times the largest median of the first step: beyond it a curve is off the chart


def trainability(judged: pd.DataFrame, layout: MapLayout) -> ChartGroup:
    """The share of runs that learned, over the map's axes, in panels."""
    x, y = layout.x, layout.y
    keys = [axis.factor for axis in (x, y) if axis]
    panels = []
    for title, rows in _panels(judged, layout.facets):
        tiles = rows.assign(_x=_labels(rows, x), _y=_labels(rows, y), _learned=rows["outcome"] == Outcome.LEARNED)
        counted = tiles.groupby(["_x", "_y"], observed=True)["_learned"].agg(["sum", "size"]).reset_index()
        panels.append(Panel(title, counted.rename(columns={"_x": "x", "_y": "y", "sum": "learned", "size": "runs"})))
    pooled = f" A tile pools {listed([spoken(axis.factor) for axis in layout.pooled])}." if layout.pooled else ""
    return ChartGroup(
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


def gradient_flow(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> tuple[ChartGroup, ...]:
    """The pre-activation gradient norm over layers, at the first and at the last recorded step, on one scale."""
    runs = shown(judged, layout)
    by = _by(layout)
    frames = {moment: _log10(gradient_profile(tables, _with_all(runs, by), by, moment)) for moment in Moment}
    limits = _limits(pd.concat(frames.values()))
    groups = []
    for moment, frame in frames.items():
        when = "at initialization" if moment is Moment.START else "at the end of training"
        groups.append(
            ChartGroup(
                key=f"gradients-{moment}",
                kind="profile",
                title=f"Pre-activation gradient norm by layer, {when}",
                scale=Scale(
                    x_label="hidden layer (0 nearest the input)",
                    y_label="log10 gradient norm",
                    x_limits=(0.0, float(max(1, frame["layer_index"].max() if len(frame) else 1))),
                    y_limits=limits,
                    series=_series(layout),
                ),
                panels=tuple(Panel(t, _as_series(rows, layout)) for t, rows in _panels(frame, layout.facets)),
                columns=layout.facets.columns,
                legend_title=spoken(layout.colour.factor) if layout.colour else "",
                captions=_line_captions(layout, "Median over runs; band: from the lowest to the highest of few runs, "
                                        "a 95 % interval of the median where there are six or more. From the table "
                                        "gradient_norms."),
            )
        )  # fmt: skip
    return tuple(groups)


def losses(tables: Tables, judged: pd.DataFrame, layout: LineLayout) -> ChartGroup:
    """Training loss over steps; a run that was lost counts as infinite from then on."""
    by = _by(layout)
    bands = loss_bands(tables, _with_all(shown(judged, layout), by), by)
    finite = bands.loc[np.isfinite(bands["median"]), "median"]
    start = bands[bands["step"] == bands["step"].min()]["median"].replace(np.inf, np.nan)
    top = float(np.nanmin([finite.max(), LOSS_CEILING * np.nanmedian(start)])) if len(finite) else 1.0
    bottom = float(np.log10(max(finite.min(), 1e-4))) if len(finite) else -1.0
    for column in ("median", "lower", "upper"):
        bands[column] = np.log10(bands[column].clip(lower=1e-6))
    return ChartGroup(
        key="losses",
        kind="curve",
        title="Loss of the training batch",
        scale=Scale(
            x_label="step",
            y_label="log10 cross-entropy (nat)",
            x_limits=(0.0, float(max(1, bands["step"].max() if len(bands) else 1))),
            y_limits=(bottom - 0.1, float(np.log10(max(top, 1e-3))) + 0.2),
            series=_series(layout),
        ),
        panels=tuple(Panel(title, _as_series(rows, layout)) for title, rows in _panels(bands, layout.facets)),
        columns=layout.facets.columns,
        legend_title=spoken(layout.colour.factor) if layout.colour else "",
        captions=_line_captions(layout, "Median and band over runs as above. A run that diverged counts as infinite "
                                "from then on, so a median never shows the survivors alone. From the table "
                                "loss_curves."),
    )  # fmt: skip


def divergence(events: pd.DataFrame, depth: int) -> ChartGroup | None:
    """Where runs left the finite numbers: step and layer of each event, by tensor."""
    ends = events[events["kind"] != "loss_limit"]
    if ends.empty:
        return None
    rows = ends.assign(layer=ends["layer_index"].astype(float), series=ends["tensor"].astype(str))
    return ChartGroup(
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


def _by(layout: LineLayout) -> list[str]:
    return [*([layout.colour.factor] if layout.colour else []), *layout.facets.factors] or ["_all"]


def _with_all(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A column to group by where nothing varies."""
    return runs.assign(_all=ALL) if list(by) == ["_all"] else runs


def _panels(frame: pd.DataFrame, facets: Facets) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and rows of each panel: the second axis runs down, the first across."""
    if not facets.axes:
        yield "", frame
        return
    across, down = facets.axes[0], facets.axes[1] if len(facets.axes) > 1 else None
    for lower in down.levels if down else ("",):
        for level in across.levels:
            rows = frame[frame[across.factor] == level]
            if down:
                rows = rows[rows[down.factor] == lower]
            names = [level_title(across, level), *([level_title(down, lower)] if down else [])]
            if len(rows):
                yield " · ".join(names), rows


def _labels(rows: pd.DataFrame, axis: Axis | None) -> object:
    return rows[axis.factor].astype(str) if axis else ALL


def _series(layout: LineLayout) -> tuple[str, ...]:
    return tuple(level for level in layout.colour.levels if level not in layout.dropped) if layout.colour else (ALL,)


def _as_series(rows: pd.DataFrame, layout: LineLayout) -> pd.DataFrame:
    return rows.assign(series=rows[layout.colour.factor].astype(str) if layout.colour else ALL)


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


def _line_captions(layout: LineLayout, first: str) -> tuple[str, ...]:
    captions = [first]
    if layout.held:
        held = [f"{spoken(axis.factor)} {level}" for axis, level in layout.held]
        captions.append(f"Shown: {listed(held)}; the tables hold the rest.")
    if layout.dropped:
        captions.append(f"Left out for want of colours: {listed(layout.dropped)}.")
    return tuple(captions)
