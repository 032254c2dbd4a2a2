"""From which depth on a signal is lost, and from which learning rate on nothing learns: strip charts and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.analysis import Outcome, Symptom, rates, symptom_by_depth
from bench.analysis.recipes import RATE
from bench.report.axes import ALL, Axis, level_label
from bench.report.blocks import Figure, Panel, Scale, Table
from bench.text import integer, listed, number, of, plural, spoken

STATES = ("no symptom", "vanishing", "exploding", "collapsed", "no majority")
ENDS = ("most learned", "most did not learn", "most diverged")
MOST_LINES = 60  # of a panel
MOST_PANELS = 12
MOST_NAMED = 4
MOST_RATES = 40  # rows of the table
SOURCE = "Tables runs and gradient_norms; rule: docs/rules.md, The tables by depth."


def depth_strip(
    judged: pd.DataFrame, axes: Mapping[str, Axis], down: Sequence[Axis], across: Axis | None, note: str
) -> Figure | None:
    """What most runs show at initialization, from the least depth to the greatest; None where depth does not vary.

    Args:
        judged: what `judge` returned, `depth` a number, other factors as labels.
        axes: the factors that vary, by name.
        down: the factors on which it depends: the last makes groups of lines, the others panels.
        across: the factor that makes the lines of a group.
        note: what the chart pools.
    """
    group = down[-1] if down else None
    facets = list(down[:-1])
    keys = [axis.factor for axis in (*down, *([across] if across else []))]
    found = symptom_by_depth(judged.assign(_all=ALL), keys or ["_all"])
    named = found.assign(
        group=_words(found, group),
        row=_words(found, across),
        x=[level_label(depth) for depth in found["depth"]],
        state=[
            STATES[-1] if pd.isna(each) else STATES[0] if each == Symptom.HEALTHY else str(each)
            for each in found["symptom"]
        ],
    )
    named = named.sort_values("group", key=lambda column: column.map(_order(group)), kind="stable")
    panels = _panels(named, facets, across)
    if not panels:
        return None
    depths = axes["depth"].levels
    present = {state for panel in panels for state in panel.rows["state"]}
    last = max((k for k, state in enumerate(STATES) if state in present), default=0)
    return Figure(
        key="onset",
        kind="strip",
        title=_depth_title(named, axes["depth"], facets),
        scale=Scale("depth", "", x_levels=depths, series=STATES[: last + 1]),
        panels=panels,
        columns=4,
        legend_title="most runs at the start",
        subtitle=f"Symptom of more than half of the runs at initialization, lost runs included.{note}",
        source=SOURCE,
    )  # fmt: skip


def _words(found: pd.DataFrame, axis: Axis | None) -> list[str]:
    return [axis.change(str(level)) for level in found[axis.factor]] if axis else [""] * len(found)


def _order(axis: Axis | None) -> dict[str, int]:
    return {axis.change(level): place for place, level in enumerate(axis.levels)} if axis else {"": 0}


def _panels(named: pd.DataFrame, facets: Sequence[Axis], across: Axis | None) -> tuple[Panel, ...]:
    """A panel for each combination of the facets that was run, its lines in the order of the levels."""
    place = _order(across)
    each = pd.DataFrame({axis.factor: named[axis.factor].astype(str) for axis in facets}, index=named.index)
    # Those that were run, not the product: a suite of several architectures has millions that were not.
    found = {tuple(levels) for levels in each.drop_duplicates().to_numpy()} if facets else {()}
    if len(found) > MOST_PANELS:
        return ()
    panels = []
    for levels in sorted(found, key=lambda levels: [a.levels.index(b) for a, b in zip(facets, levels, strict=True)]):
        own = named[(each == list(levels)).all(axis=1)] if facets else named
        own = own.assign(_row=own["row"].map(place) if across else 0)
        groups = own["group"].drop_duplicates().tolist()
        own = own.assign(_group=own["group"].map(groups.index)).sort_values(["_group", "_row"], kind="stable")
        if len(own[["group", "row"]].drop_duplicates()) > MOST_LINES:
            return ()
        title = " · ".join(axis.change(level) for axis, level in zip(facets, levels, strict=True))
        panels.append(Panel(title, own[["group", "row", "x", "state", "part", "runs"]].reset_index(drop=True)))
    return tuple(panels)


def _depth_title(named: pd.DataFrame, depth: Axis, facets: Sequence[Axis]) -> str:
    """Which lines show no symptom at the greatest depth, without a remedy where there is one."""
    own, without, deepest = named[named["x"] == depth.levels[-1]], "", depth.words(depth.levels[-1])
    treatments = [axis for axis in facets if "none" in axis.levels]
    for axis in treatments:
        own = own[own[axis.factor].astype(str) == "none"]
    if treatments:
        names = [axis.words("none").removeprefix("no ") for axis in treatments]
        without = f" without {' or '.join(names)}"
    names = [" ".join(filter(None, pair)) for pair in zip(own["group"], own["row"], strict=True)]
    kept = [name for name, state in zip(names, own["state"], strict=True) if state == STATES[0]]
    where = f"At {deepest}{without}"
    if not names:
        return f"What most runs show at the start, to {deepest}"
    if not kept:
        return f"{where} no start is free of symptoms in most runs"
    if len(kept) == len(names):
        return f"{where} no start shows a symptom"
    if len(kept) <= MOST_NAMED:
        return f"{where} only {listed(kept)} {'starts' if len(kept) == 1 else 'start'} without a symptom"
    return f"{where} {of(len(kept), len(names))} starts show no symptom"


def rate_strip(judged: pd.DataFrame, axes: Mapping[str, Axis]) -> tuple[Figure | None, Table | None, str]:
    """How each network that was run at several learning rates ended at each, the best and the one that kills.

    Returns:
        A chart, unless there are too many networks; a table; and a sentence. Nothing where the rate does not vary.
    """
    if RATE not in axes:
        return None, None, ""
    found = rates(judged)
    if found.empty:
        return None, None, ""
    varied = [axis for name, axis in axes.items() if name != RATE and found[name].nunique() > 1]
    learned = found[found["best_learned"] > found["best_runs"] / 2]
    killed = int(learned["kills"].notna().sum())
    said = f"A greater rate kills {of(killed, len(learned))} networks that learned at their best one"
    if not len(learned):
        said = f"None of {plural(len(found), 'network')} learned at any of its rates"
    elif not killed:
        said = f"No greater rate tried kills any of {plural(len(learned), 'network')} that learned at their best one"
    return _rate_figure(judged, found, axes, varied, said), _rate_table(found, varied), f"{said}."


def _rate_figure(
    judged: pd.DataFrame, found: pd.DataFrame, axes: Mapping[str, Axis], varied: Sequence[Axis], title: str
) -> Figure | None:
    by_name = {axis.factor: axis for axis in varied}
    group = by_name.get("activation")
    others = [axis for axis in varied if axis is not group]
    line = by_name.get("depth") or next(iter(others), None)
    facets = [axis for axis in others if axis is not line]
    names = [axis.factor for axis in varied]
    context = [name for name in found.columns if name in judged.columns]  # fixed here, though varied elsewhere, too
    runs = judged.merge(found[context], on=context) if context else judged
    ends = runs.assign(_learned=runs["outcome"] == Outcome.LEARNED, _gone=runs["outcome"] == Outcome.DIVERGED)
    cells = ends.groupby([*names, RATE], sort=True, observed=True, dropna=False).agg(
        learned=("_learned", "sum"), gone=("_gone", "sum"), runs=("_learned", "size")
    ).reset_index()  # fmt: skip
    most = cells["learned"] > cells["runs"] / 2
    gone = cells["gone"] > cells["runs"] / 2
    labels = {axis.factor: cells[axis.factor].map(level_label) for axis in varied}
    cells = cells.assign(
        **labels,
        x=cells[RATE].map(level_label),
        state=[ENDS[0] if learns else ENDS[2] if lost else ENDS[1] for learns, lost in zip(most, gone, strict=True)],
        part=cells["learned"].where(most, cells["gone"].where(gone, cells["runs"] - cells["learned"])),
    )
    cells = cells.assign(group=_words(cells, group), row=_words(cells, line))
    order = _order(group)
    cells = cells.sort_values("group", key=lambda column: column.map(order), kind="stable")
    panels = _panels(cells, facets, line)
    if not panels:
        return None
    return Figure(
        key="rates",
        kind="strip",
        title=title,
        scale=Scale("learning rate", "", x_levels=axes[RATE].levels, series=ENDS),
        panels=panels,
        columns=4,
        legend_title="runs",
        subtitle="Networks that were run at two rates or more; an empty place was not run.",
        source="Tables runs and evaluations; rule: docs/rules.md, Rates.",
    )


def _rate_table(found: pd.DataFrame, varied: Sequence[Axis]) -> Table:
    lines = []
    for row in found.head(MOST_RATES).to_dict("records"):
        levels = tuple(axis.change(level_label(row[axis.factor])) for axis in varied)
        best = f"{number(row['best'])} ({integer(row['best_learned'])}/{integer(row['best_runs'])})"
        kills = f"{number(row['kills'])} ({integer(int(row['kills_learned']))}/{integer(int(row['kills_runs']))})"
        lines.append((*levels, best, kills if row["kills"] == row["kills"] else "none tried"))
    left = len(found) - len(lines)
    note = "In brackets how many runs learned there; rule: docs/rules.md, Rates."
    heads = (*(spoken(axis.factor) for axis in varied), "best rate", "rate that kills")
    more = f" {plural(left, 'more network')}: see the tables." if left else ""
    return Table("The best learning rate and the one that kills", heads, tuple(lines), note=f"{note}{more}")
