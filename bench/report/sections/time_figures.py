"""The figures of the chapter on gradients through time: what is left by lag, its map over training, clipping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import floor, isfinite

import numpy as np
import pandas as pd

from bench.analysis.curves import thinned
from bench.analysis.estimates import with_lost_counted
from bench.analysis.recipes import LOSS_MARGIN, RATE
from bench.analysis.through_time import by_lag, horizons, kinds, lag_step, top_layer
from bench.quantities import quantity
from bench.report.axes import ALL, Axis
from bench.report.blocks import Figure, Panel, Scale
from bench.report.frames import Frames
from bench.report.headline import treatment
from bench.report.sections.network_words import varying
from bench.report.sections.time_kinds import Kind, kind_words, within
from bench.schema import RunStatus
from bench.text import integer, of, plural

MOST_SERIES, MOST_PANELS, MOST_MAPS, MOST_STEPS = 8, 12, 2, 24
DEEPEST, HIGHEST = -16.0, 8.0  # decades that are drawn
LAG, LEFT = "lag: steps before the loss", "gradient over lag 0's"


def lag_figure(found: Sequence[Kind], rows: pd.DataFrame, source: str) -> Figure:
    """What is left by lag at the start: a panel for each cell and a line for each start, or a panel for each kind."""
    first = top_layer(rows[rows["step"] == rows.groupby("run_id")["step"].transform("min")])
    lines = [(_panel(each), _series(each), _line(each, first)) for each in found]
    series = list(dict.fromkeys(name for _, name, _ in lines))
    captions = []
    if len(series) > MOST_SERIES or len({(panel, name) for panel, name, _ in lines}) < len(lines):
        shown = found if len(found) <= MOST_PANELS else [*found[: MOST_PANELS // 2], *found[-MOST_PANELS // 2 :]]
        lines, series = [(each.name, ALL, _line(each, first)) for each in shown], [ALL]
        left = len(found) - len(shown)
        captions += [f"{plural(left, 'kind')} in between: see the table below."] if left else []
    drawn = pd.concat([line for _, _, line in lines])
    finite = drawn[["median", "predicted"]].to_numpy(float)
    finite = finite[np.isfinite(finite)]
    low, high = (max(DEEPEST, float(np.floor(finite.min()))), min(HIGHEST, float(np.ceil(finite.max() + 0.2))))
    panels = tuple(
        Panel(title, pd.concat([line.assign(series=name) for panel, name, line in lines if panel == title]))
        for title in dict.fromkeys(panel for panel, _, _ in lines)
    )
    scale = Scale(
        LAG, LEFT, x_limits=(0.0, float(drawn["lag"].max())), y_limits=(min(low, -1.0), max(high, 0.5)),
        series=tuple(series),
    )  # fmt: skip
    reach = sum(not isfinite(each.reach) for each in found)
    title = f"{of(reach, len(found), 'kind')} of network {'keeps' if reach == 1 else 'keep'} 1 % of the first gradient"
    told = sum(not isinstance(each.theory, str) for each in found)
    dots = f" Dots: theory, for {of(told, len(found), 'kind')}." if told else " Theory says nothing of these networks."
    return Figure(
        "time-lags", "lags", f"{title} to the first time step", scale, panels, 3,
        "start" if len(series) > 1 else "", tuple(captions), source=source,
        subtitle=f"Gradient for the state before the first update, by lag. Line and band: median and range.{dots}",
    )  # fmt: skip


def _panel(kind: Kind) -> str:
    return kind.cell or ALL


def _series(kind: Kind) -> str:
    return kind.start or ("no gates" if kind.levels.get("cell") == "simple" else ALL)


def _line(kind: Kind, first: pd.DataFrame) -> pd.DataFrame:
    own = by_lag(first[first["run_id"].isin(kind.starts.index)], kind.runs, [])
    told = np.full(len(own), np.nan)
    if not isinstance(kind.theory, str):
        told = kind.theory.state[own["lag"].to_numpy(int)]
    return own.assign(predicted=told)[["lag", "median", "lower", "upper", "predicted"]]


def map_figure(frames: Frames, runs: pd.DataFrame, rows: pd.DataFrame, source: str) -> Figure | None:
    """The gradient by lag and step of the networks that ended best and worst; None where no run has two steps."""
    top = top_layer(rows[rows["run_id"].isin(runs["run_id"].astype(str))])
    several = top.groupby("run_id")["step"].nunique()
    known = runs[runs["run_id"].astype(str).map(several).fillna(0) > 1]
    varied = [axis.factor for axis in varying(frames, known)]
    chosen = best_and_worst(frames, known, kinds(varied))
    if not chosen:
        return None
    axes = {axis.factor: axis for axis in frames.axes}
    panels, ends = [], []
    for place, key in chosen:
        own = known[known["cell_key"] == key]
        found = lag_step(top, own, ["cell_key"])
        kept = thinned(found["step"].unique().tolist(), MOST_STEPS)
        words = kind_words({name: str(own[name].iloc[0]) for name in varied}, axes)
        panels.append(Panel(words, found[found["step"].isin(kept)].drop(columns="cell_key"), strip=place))
        ends.append((place, *_reach(top[top["run_id"].isin(own["run_id"].astype(str))])))
    finite = np.concatenate([panel.rows["median"].to_numpy(float) for panel in panels])
    finite = finite[np.isfinite(finite)]
    low = max(DEEPEST, float(np.floor(np.quantile(finite, 0.02)))) if len(finite) else -2.0
    high = float(np.ceil(finite.max())) if len(finite) else 0.0
    lost = int((runs[runs["cell_key"].isin([key for _, key in chosen])]["status"] != RunStatus.COMPLETED).sum())
    longest = int(top["lag"].max())
    said = [_moved(*each, longest) for each in dict.fromkeys((ends[0], ends[-1]))]
    lost_words = f"{plural(lost, 'run')} of those shown {'was' if lost == 1 else 'were'} lost"
    return Figure(
        "time-map", "lag_map", f"Over training the horizon of {', that of '.join(said)}",
        Scale("step, as recorded", "lag", x_limits=(min(low, high - 2.0), high)), tuple(panels), 2,
        captions=(
            f"Medians over the runs that were left. {lost_words}; hatched where more were lost than left. Recorded "
            "steps and lags stand at equal distances.",
        ),
        subtitle="Gradient for the state by lag and step, over that at lag 0 of the same step. Below: the loss.",
        source=source,
    )  # fmt: skip


def _moved(place: str, first: float, last: float, longest: int) -> str:
    """`the best network stays over 39 steps`, `the worst network goes from 9 to 12 steps`."""
    ends = within(first, longest), within(last, longest)
    went = f"stays {ends[0]}" if ends[0] == ends[1] else f"goes from {ends[0]} to {ends[1]}"
    return f"the {place.lower()} network {went} steps"


def best_and_worst(frames: Frames, runs: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, str]]:
    """Cells by the share that learned, then by their median score: the best and the worst two, of different kinds.

    Args:
        by: the factors that tell kinds apart.
    """
    own = frames.recipes.runs
    own = own[own["run_id"].isin(runs["run_id"])]
    if own.empty:
        return []
    better = own["score"].where(~own["values"], -own["score"])
    learned = (own["outcome"] == "learned").groupby(own["cell_key"], sort=False).mean()
    score = better.groupby(own["cell_key"], sort=False).median().fillna(-np.inf)
    ranked = pd.DataFrame({"learned": learned, "score": score}).sort_values(
        ["learned", "score"], ascending=False, kind="stable"
    )
    kind_of = {str(row["cell_key"]): tuple(str(row[name]) for name in by) for row in runs.to_dict("records")}
    kind = pd.Series({key: kind_of[str(key)] for key in ranked.index})
    each = MOST_MAPS if kind.nunique() >= 2 * MOST_MAPS else 1
    best = [str(key) for key in kind[~kind.duplicated()].index[:each]]
    left = kind[~kind.isin(kind[best])][::-1]
    worst = [str(key) for key in left[~left.duplicated()].index[:each]] or [str(kind.index[-1])]
    return [*(("Best", key) for key in best), *(("Worst", key) for key in worst[::-1] if key not in best)]


def _reach(top: pd.DataFrame) -> tuple[float, float]:
    """The median horizon at the first and at the last recorded step."""
    steps = top.groupby("run_id")["step"]
    first, last = (horizons(top[top["step"] == steps.transform(end)])["horizon"].median() for end in ("min", "max"))
    return float(first), float(last)


def rate_figure(frames: Frames, runs: pd.DataFrame, factor: str, key: str) -> Figure | None:
    """The final loss over the learning rate with and without clipping, or a warm-up; None where that does not vary."""
    axes, by_name = frames.axes, {axis.factor: axis for axis in frames.axes}
    if RATE not in by_name or factor not in by_name or runs[factor].nunique() < 2:
        return None
    others = [axis for axis in axes if axis.factor not in (RATE, factor)]
    loss = with_lost_counted(runs, quantity("final_validation_loss")).astype(np.float64)
    lost, rates = runs["status"] != RunStatus.COMPLETED, frames.plain.loc[runs.index, RATE].astype(np.float64)
    names = [axis.factor for axis in others]
    frame = runs.assign(_loss=loss, _lost=lost.astype(int), _rate=np.log10(rates))
    grouped = frame.groupby([*names, factor, "_rate"], observed=True, sort=True)
    cells = grouped.agg(
        median=("_loss", "median"), lower=("_loss", "min"), upper=("_loss", "max"), lost=("_lost", "sum"),
        runs=("_lost", "size"), naive=("naive_loss", "median"),
    ).reset_index()  # fmt: skip
    cells = cells[cells["median"].notna()]
    panels = tuple(_rate_panels(cells, others, factor))
    if not panels:
        return None
    logs = [np.log10(panel.rows[name].to_numpy(float).clip(1e-12)) for panel in panels for name in ("median", "upper")]
    finite = np.concatenate(logs)
    finite = finite[np.isfinite(finite)]
    limits = (floor(finite.min() * 4.0) / 4.0 - 0.25, float(np.ceil(finite.max() * 4.0) / 4.0) + 0.5)
    shown = tuple(_logged(panel) for panel in panels[:MOST_PANELS])
    left = len(panels) - len(shown)
    across = cells["_rate"]
    return Figure(
        key, "rate_curve", _rate_title(cells, names, by_name[factor]),
        Scale("learning rate", "final validation loss", x_limits=(float(across.min()), float(across.max())),
              y_limits=limits, series=by_name[factor].levels),
        shown, 3, treatment(factor),
        (f"{plural(left, 'more network')}: see the tables.",) if left else (),
        subtitle="Line and band: median and range over replicates, a lost run counting as infinite. Crosses: how many "
        "runs were lost.",
        source="Tables runs and evaluations; rule: docs/rules.md, Through time.",
    )  # fmt: skip


def _rate_panels(cells: pd.DataFrame, others: Sequence[Axis], factor: str) -> Iterator[Panel]:
    """A panel for each network that was trained with and without the factor, in the order of the levels."""
    others = [axis for axis in others if cells[axis.factor].astype(str).nunique() > 1]
    axes, by = {axis.factor: axis for axis in others}, [axis.factor for axis in others]
    for _, own in cells.groupby(by, observed=True, sort=True) if by else [((), cells)]:
        if own[factor].nunique() > 1:
            words = kind_words({name: str(own[name].iloc[0]) for name in by}, axes)
            names = ["median", "lower", "upper", "lost", "runs"]
            rows = own[names].assign(series=own[factor].astype(str), rate=own["_rate"])
            yield Panel(words, rows.reset_index(drop=True))


def _logged(panel: Panel) -> Panel:
    """Losses as powers of ten; an infinite one stays so."""
    logs = {name: np.log10(panel.rows[name].to_numpy(float).clip(1e-12)) for name in ("median", "lower", "upper")}
    return replace(panel, rows=panel.rows.assign(**logs))


def _rate_title(cells: pd.DataFrame, names: Sequence[str], axis: Axis) -> str:
    """At how many pairs of network and rate the median loss with a treatment is lower by a tenth of the naive loss."""
    without = "none" if "none" in axis.levels else axis.levels[0]
    other = next(level for level in axis.levels if level != without)
    keys = [*names, "_rate"]
    sides = [cells[cells[axis.factor].astype(str) == level] for level in (without, other)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", "_with"))
    margin = LOSS_MARGIN * pairs["naive"]
    with np.errstate(invalid="ignore"):
        gain = (pairs["median"] - pairs["median_with"]).fillna(0.0)  # both infinite: neither is better
    lower, higher = int((gain >= margin).sum()), int((-gain >= margin).sum())
    words = axis.change(other)
    return (
        f"With {words} the final loss is lower in {of(lower, len(pairs), 'pair')} of network and rate, higher in "
        f"{integer(higher)}"
    )
