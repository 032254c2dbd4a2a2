"""What the borders of images take: mean square and gradient by position at the start, and what theory says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.inside_theory import at_positions
from bench.analysis.through_time import drawn_once
from bench.analysis.within_layers import PLACES, corners, cuts, mean_squares
from bench.report.blocks import Figure, Panel, Scale, Sentence, Table
from bench.report.frames import Frames
from bench.report.sections.network_words import at_start, shortest, varying, words_of
from bench.text import integer, number, of, plural, ratio, sentence, shortened, signed

MOST_PANELS, MOST_ROWS = 12, 24
SQUARE, GRADIENT = "mean square, last layer", "gradient, first layer"
SHOWN = {"square": SQUARE, "gradient": GRADIENT}
TAKEN = 0.1  # decades: less over a cut is no border effect
MOST_LETTERS = 90  # of a panel's title
LEAST = 0.5  # decades that an axis spans at least
SOURCE = "From the table positions and bench.theory, log10 in the CSV. Method: docs/theory.md, Convolution."
BASIS = "medians over one run a replicate, before the first update; the middle: the central one to four positions"


@dataclass(frozen=True)
class Bordered:
    """Networks that are alike before the first update, and what their borders take.

    Attributes:
        name: their levels in words.
        runs: one run a replicate.
        cut: a cut through the middle: series, at (the column), median, lower, upper and predicted, in decades.
        corners: square and gradient, the medians at the corners, in decades over the middle.
        told: the same as predicted; empty where theory says nothing, for the `reason`.
    """

    name: str
    runs: tuple[str, ...]
    cut: pd.DataFrame
    corners: Mapping[str, float]
    told: Mapping[str, float]
    reason: str


def bordered(frames: Frames, runs: pd.DataFrame) -> list[Bordered]:
    """Every kind whose positions were recorded, that with the largest border effect first."""
    table = frames.tables.get(PLACES)
    if table is None or table.empty:
        return []
    known = runs[runs["run_id"].astype(str).isin(set(table["run_id"].astype(str)))]
    axes = at_start(varying(frames, known))
    by = [axis.factor for axis in axes]
    along, ends = cuts(frames.tables), corners(frames.tables)
    first_squares = mean_squares(frames.tables)
    plain = frames.tables["runs"].set_index("run_id", drop=False)
    found = []
    for _, own in known.groupby(by, observed=True, sort=True) if by else [((), known)]:
        ids = drawn_once(own, by)["run_id"].astype(str).tolist()
        run = {str(k): v for k, v in plain.loc[ids[0]].to_dict().items()}
        told = at_positions(run, first_squares.get(ids[0], np.nan))
        name = words_of(own.iloc[0], axes) if axes else "all networks"
        found.append(_kind(name, ids, (along, ends), told))
    finite = [each for each in found if np.isfinite(each.corners["square"])]  # a layer of zeros has no border to see
    return sorted(finite, key=lambda each: each.corners["square"])


def _kind(
    name: str, ids: list[str], measured: tuple[pd.DataFrame, pd.DataFrame],
    theory: tuple[pd.DataFrame, pd.DataFrame] | str,
) -> Bordered:  # fmt: skip
    own, own_ends = (rows[rows["run_id"].isin(ids)] for rows in measured)
    layers = {"square": int(own["layer_index"].max()), "gradient": int(own["layer_index"].min())}
    parts, at_corners, predicted = [], dict[str, float](), dict[str, float]()
    for short, layer in layers.items():
        rows = own[own["layer_index"] == layer].groupby("column")[short]
        part = rows.agg(median="median", lower="min", upper="max").reset_index().rename(columns={"column": "at"})
        at_corners[short] = float(own_ends[own_ends["layer_index"] == layer][short].median())
        line = pd.Series(dtype=float)
        if not isinstance(theory, str):
            cut, corner = (rows[rows["layer_index"] == layer] for rows in theory)
            line, told = cut.set_index("column")[short], float(corner[short].iloc[0])
            predicted |= {short: told} if np.isfinite(told) else {}
        parts.append(part.assign(series=SHOWN[short], predicted=part["at"].map(line).astype(float)))
    reason = theory if isinstance(theory, str) else ""
    return Bordered(name, tuple(ids), pd.concat(parts, ignore_index=True), at_corners, predicted, reason)


def border_sentence(found: Sequence[Bordered]) -> Sentence:
    """What the corners hold of the middle's mean square, of the kinds that lose most and least."""
    worst, best = found[0], found[-1]
    networks = sum(len(each.runs) for each in found)
    basis = f"{BASIS}; {plural(networks, 'network')} of {plural(len(found), 'kind')}"
    shown = ratio(10.0 ** worst.corners["square"])
    head = f"At the corners of the last layer the mean square is the middle's {shown}"
    if len(found) == 1:
        return Sentence(f"{head}.", basis)
    other = ratio(10.0 ** best.corners["square"])
    options = (
        f"{head} with {worst.name}, {other} with {best.name}.",
        f"{head} at worst, {other} at best, of {plural(len(found), 'kind')} of network.",
    )
    return Sentence(shortest(options), basis)


def theory_sentence(found: Sequence[Bordered]) -> Sentence | None:
    """How near the corners of the last layer come to what theory says of them."""
    told = [each for each in found if each.told]
    if not told:
        return None
    off = [abs(each.corners["square"] - each.told["square"]) for each in told]
    text = (
        f"Theory predicts the corners of {of(len(told), len(found), 'kind')} of network, off by "
        f"{number(float(np.median(off)), 2)} decades in the median and by {number(max(off), 2)} at most."
    )
    return Sentence(text, "log10 of the mean square at the corners of the last layer over that in the middle")


def border_figure(found: Sequence[Bordered]) -> Figure:
    """A cut through the middle of the images: mean square in the last layer, gradient in the first."""
    shown = list(found) if len(found) <= MOST_PANELS else [*found[: MOST_PANELS // 2], *found[-MOST_PANELS // 2 :]]
    left = len(found) - len(shown)
    drawn = pd.concat([each.cut for each in shown])
    finite = drawn[["median", "predicted"]].to_numpy(float)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
    spare = max(0.1, (LEAST - (high - low)) / 2.0)
    falls = sum(float(each.cut.loc[each.cut["series"] == SQUARE, "median"].min()) < -TAKEN for each in found)
    told = sum(bool(each.told) for each in found)
    dots = f" Dots: theory, for {of(told, len(found), 'kind')}." if told else " Theory says nothing of these networks."
    return Figure(
        "convolution-borders", "beside",
        f"The mean square falls towards the borders in {of(falls, len(found), 'kind')} of network",
        Scale(
            "column", "over the middle's", series=tuple(SHOWN.values()), y_limits=(low - spare, high + spare),
            x_limits=(0.0, float(drawn["at"].max())),
        ),
        tuple(Panel(shortened(each.name, MOST_LETTERS), each.cut) for each in shown), 3, "shown",
        (f"{plural(left, 'kind')} in between: see the table.",) if left else (),
        subtitle=f"A cut through the middle rows, before the first update. Line and band: median and range.{dots}",
        source=SOURCE,
    )  # fmt: skip


def border_table(found: Sequence[Bordered]) -> Table:
    """Every kind: its corners as measured and as predicted, or why not."""
    lines = []
    for each in found[:MOST_ROWS]:
        values = [
            signed(value) if value is not None else "–"
            for short in SHOWN
            for value in (each.corners[short], each.told.get(short))
        ]
        lines.append((each.name, *values, sentence(each.reason) if each.reason else "–", integer(len(each.runs))))
    left = len(found) - len(lines)
    more = f"{plural(left, 'more kind')}: see the tables. " if left > 0 else ""
    heads = (
        "network", "mean square, last layer", "predicted", "gradient, first layer", "predicted", "why not predicted",
        "networks",
    )  # fmt: skip
    return Table(
        "The corners over the middle, by kind of network", heads, tuple(lines), (1, 2, 3, 4, 6),
        f"{more}Decades: log10 of the value at the "
        "corners over that in the middle; of a sequence at its ends. Medians over one run a replicate.",
    )  # fmt: skip
