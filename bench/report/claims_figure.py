"""What a claim's figure shows, as a frame: each replicate of each side, the effect, and the claimed region."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.claims import Judged, JudgedPart
from bench.analysis.claims.units import AGAINST, OF, PAIRED
from bench.report.claims_words import MARKS, readable
from bench.report.view import ChartGroup, Grid, Panel, Scale
from bench.text import number

SIDES = (OF, AGAINST)
_OVER = {"ratio": "ratio", "difference": "difference"}


def claim_figure(claim: Judged) -> ChartGroup:
    """A panel for each part: numbers per replicate, effect with interval, claimed region."""
    return ChartGroup(
        key=f"claim-{claim.id}",
        kind="claim",
        title=f"{claim.id}: {MARKS[claim.verdict]} {claim.verdict}",
        scale=Scale("", ""),
        panels=tuple(Panel(part.name, figure_rows(part)) for part in claim.parts),
    )


def figure_rows(part: JudgedPart) -> pd.DataFrame:
    """The rows of one panel.

    `what` is of, against, compared (one row per replicate each), effect or claimed; `value` with what is known of it
    between `low` and `high`, or the interval, or the region's edges (infinite where open); `unit`, and how the two
    sides are compared in `compare`. A ratio's rows are ratios.
    """
    units = part.units[part.units["side"].isin([*SIDES, *([PAIRED] if part.scale in _OVER else [])])]
    values = units[["value", "low", "high"]].astype(np.float64)
    compared = (units["side"] == PAIRED).to_numpy()
    if part.scale == "ratio":
        with np.errstate(over="ignore"):
            ratios = np.exp(values[compared])
        values[compared] = ratios.assign(low=ratios["low"].where(ratios["low"] > 0.0, -np.inf))  # 0: nothing is known
    names = dict(zip(SIDES, map(readable, part.sides), strict=False)) | {PAIRED: _compared(part)}
    rows = pd.DataFrame({
        "what": units["side"].replace({PAIRED: "compared"}).to_numpy(), "series": units["side"].map(names).to_numpy(),
        "replicate": units["replicate"].to_numpy(), **{name: values[name].to_numpy() for name in values},
        "unit": np.where(compared, part.unit, part.side_unit),
    })  # fmt: skip
    low, high = (edge if edge is not None else end for edge, end in ((part.least, -np.inf), (part.most, np.inf)))
    told = pd.DataFrame([
        ("effect", _effect(part), None, part.effect, part.low, part.high, part.unit),
        ("claimed", "claimed", None, np.nan, low, high, part.unit),
    ], columns=rows.columns)  # fmt: skip
    joined = pd.concat([rows.astype({"replicate": object}), told], ignore_index=True) if len(rows) else told
    return joined.assign(replicate=joined["replicate"].astype("Int64"), compare=part.scale)


def _compared(part: JudgedPart) -> str:
    return f"{_OVER.get(part.scale, 'difference')}, by replicate"


def _effect(part: JudgedPart) -> str:
    if np.isnan(part.effect) and np.isnan(part.low):
        return "no effect: too few numbers"
    if part.statistic == "each":
        return "median, and the range over replicates"
    kind = {"ratio": "geometric mean" if part.statistic == "mean" else "median", "share": "share",
            "difference of shares": "difference of shares"}  # fmt: skip
    return f"{kind.get(part.scale, part.statistic)} with {100 * part.level:g} % interval"


def number_tables(claim: Judged) -> tuple[Grid, ...]:
    """The numbers of the figure, a table for each part with a row for each replicate."""
    return tuple(_numbers(part) for part in claim.parts if len(part.units))


def _numbers(part: JudgedPart) -> Grid:
    rows = figure_rows(part)
    points = rows[rows["what"].isin([*SIDES, "compared"])]
    series = list(dict.fromkeys(points["series"]))
    told = {(row.replicate, row.series): _bounded(row.value, row.low, row.high) for row in points.itertuples()}
    lines = tuple(
        (str(replicate), *(told.get((replicate, name), "–") for name in series))
        for replicate in sorted(points["replicate"].unique())
    )
    unit = f" Unit: {part.side_unit}." if part.side_unit != "1" else ""
    caption = f"Numbers: {part.name}" if part.name else "Numbers"
    note = f"The mean over a replicate's runs.{unit}"
    return Grid(caption, ("replicate", *series), lines, tuple(range(1, len(series) + 1)), note)


def _bounded(value: float, low: float, high: float) -> str:
    """A number, or what is known of it."""
    if low == high or (np.isnan(value) and np.isfinite(low) and np.isfinite(high)):
        return number(value) if low == high else f"{number(low)} to {number(high)}"
    if np.isinf(low) and np.isinf(high):
        return "unknown"
    if np.isinf(high):
        return f"≥ {number(low)}"
    return f"≤ {number(high)}" if np.isinf(low) else f"{number(low)} to {number(high)}"
