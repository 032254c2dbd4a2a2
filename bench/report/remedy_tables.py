"""The remedies as tables and as sentences, one for each pathology."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis import Symptom
from bench.report.levels import level_label
from bench.report.view import Grid, Sentence, based
from bench.text import integer, of, plural, share_interval, signed, spoken

MOST = 12
FEWEST = 10  # pairs, below which the answer ranks no remedies
MOST_BY_DEPTH = 8
_COLUMNS = (
    "change of one level to",
    "rescued",
    "share",
    "95 % interval",
    "gain in accuracy",
    "diverged",
    "time per step",
)
BASIS = (
    "rescued: of runs in pathological cells (most replicates show the symptom at initialization, most did not learn), "
    "those whose partner learned; a partner differs in one factor alone and has the same replicate; Wilson interval"
)


def remedy_grids(found: pd.DataFrame) -> tuple[Grid, ...]:
    """The best remedies for each pathology."""
    grids = []
    for pathology, rows in found.groupby("pathology", sort=False):
        shown = rows.head(MOST)
        left = len(rows) - len(shown)
        note = f"{plural(left, 'more change')} rescued no larger share." if left else ""
        grids.append(
            Grid(_name(pathology).capitalize(), _COLUMNS, tuple(_row(r) for r in shown.to_dict("records")),
                 (1, 2, 3, 4, 5, 6), note)
        )  # fmt: skip
    return tuple(grids)


def depth_remedies(found: pd.DataFrame, by_depth: pd.DataFrame) -> tuple[Grid, ...]:
    """For each pathology how many runs the best changes rescued at each depth.

    Args:
        found: what `remedies` returned, which says which changes are best.
        by_depth: what `remedies_by` returned, by depth.
    """
    grids = []
    for pathology, rows in found.groupby("pathology", sort=False):
        own = by_depth[by_depth["pathology"] == pathology]
        depths = sorted(own["depth"].unique())
        if len(depths) < 2:
            continue
        cells = {(r["factor"], r["level"], r["depth"]): r for r in own.to_dict("records")}
        lines = []
        for row in rows.head(MOST_BY_DEPTH).to_dict("records"):
            said = [cells.get((row["factor"], row["level"], depth)) for depth in depths]
            texts = ["–" if r is None else f"{r['rescued']}/{r['pairs']} ({_interval(r)})" for r in said]
            lines.append((f"{spoken(row['factor'])} {row['level']}", *texts))
        heads = ("change of one level to", *(f"depth {level_label(depth)}" for depth in depths))
        title = f"{_name(pathology).capitalize()} by depth: runs rescued"
        grids.append(Grid(title, heads, tuple(lines), tuple(range(1, len(heads)))))
    return tuple(grids)


def remedy_sentences(found: pd.DataFrame) -> tuple[Sentence, ...]:
    """For each pathology what the best level of each factor rescued, and at what cost."""
    sentences = [
        Sentence(_said(_name(pathology), rows), "", "#remedies")
        for pathology, rows in found.groupby("pathology", sort=False)
    ]
    return based(sentences, BASIS)


def _said(name: str, rows: pd.DataFrame) -> str:
    best = rows.drop_duplicates("factor").to_dict("records")  # the rows come best first
    if rows["pairs"].max() < FEWEST:
        return f"Too few runs with {name} did not learn to tell which change rescues them."
    if not any(row["rescued"] for row in best):
        return f"Runs with {name}: no single change of level in this suite rescued any."
    parts = [f"{spoken(row['factor'])} {row['level']} {_rescue(row)}" for row in best]
    return f"Of runs with {name} that did not learn, one change rescued – {'; '.join(parts)}."


def _rescue(row: dict[str, Any]) -> str:
    cost = f", ×{row['cost']:.2g} time per step" if pd.notna(row["cost"]) and abs(row["cost"] - 1.0) > 0.02 else ""
    return f"{of(row['rescued'], row['pairs'])} ({_interval(row)}){cost}"


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    gain = f"{signed(row['gain'])} ({signed(row['gain_lower'])} to {signed(row['gain_upper'])})"
    return (
        f"{spoken(row['factor'])} {row['level']}",
        f"{integer(row['rescued'])}/{integer(row['pairs'])}",
        f"{100 * row['rate']:.0f} %",
        _interval(row),
        gain,
        integer(row["diverged"]),
        f"×{row['cost']:.2f}" if pd.notna(row["cost"]) else "–",
    )


def _name(pathology: object) -> str:
    return "collapsed activations" if pathology == Symptom.COLLAPSED else f"{pathology} gradients"


def _interval(row: dict[str, Any]) -> str:
    return share_interval(row["rate_lower"], row["rate_upper"])
