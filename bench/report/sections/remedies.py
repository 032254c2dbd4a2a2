"""Which remedy helped: the best changes for each pathology, what they cost, and at which depth they do."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis import Outcome, Symptom, remedies_by
from bench.report.axes import level_label
from bench.report.blocks import Section, Sentence, Table, Text, based
from bench.report.frames import Frames
from bench.text import integer, of, plural, sentence, share_interval, signed, signed_range, spoken

MOST = 12
TOO_FEW = "Too few runs to tell which change rescues them."
WIDE = 0.5  # an interval of a share wider than this says nothing
MOST_BY_DEPTH = 8
_COLUMNS = (
    "change of one level to", "rescued", "share", "95 % interval", "gain in accuracy", "diverged", "time per step",
)  # fmt: skip
BASIS = (
    "rescued: of runs in cells of which most did not learn (with the symptom at initialization, or with "
    "none), those whose partner learned; a partner differs in one factor alone and has the same replicate; Wilson "
    "interval"
)


def section(frames: Frames) -> Section | None:
    """Tables; None where no pathological cell has a partner."""
    found = frames.remedied
    tables = remedy_grids(found)
    if "depth" in frames.varied:
        tables += depth_remedies(found, remedies_by(frames.worded, frames.varied, frames.tables["timings"], "depth"))
    if not tables:
        return None
    intro = Text(
        "Each cell of which most runs did not learn against the cells that differ from it in one level, replicate by "
        "replicate: same data order, same underlying draw. The best changes first. Cells that lie close together share "
        "partners, so the intervals are somewhat too narrow."
    )
    return Section("remedies", "Which remedy helped", "Remedies", (intro, *tables), short=remedy_sentences(found))


def lost_runs(pathology: object) -> str:
    """The runs of a pathology: `runs with vanishing gradients that did not learn`."""
    if pathology == Outcome.DIVERGED:
        return "runs without a symptom at initialization that diverged"
    if pathology == Outcome.NOT_LEARNED:
        return "runs without a symptom at initialization that did not learn"
    what = "collapsed activations" if pathology == Symptom.COLLAPSED else f"{pathology} gradients"
    return f"runs with {what} that did not learn"


def too_few(rows: pd.DataFrame) -> bool:
    """Whether no change has an interval that tells anything."""
    return bool((rows["rate_upper"] - rows["rate_lower"] > WIDE).all())


def remedy_grids(found: pd.DataFrame) -> tuple[Table, ...]:
    """The best remedies for each pathology."""
    grids = []
    for pathology, rows in found.groupby("pathology", sort=False):
        shown = rows.head(MOST)
        left = len(rows) - len(shown)
        more = f"{plural(left, 'more change')} rescued no larger share." if left else ""
        note = f"{TOO_FEW} {more}".strip() if too_few(rows) else more
        grids.append(
            Table(sentence(lost_runs(pathology))[:-1], _COLUMNS, tuple(_row(r) for r in shown.to_dict("records")),
                 (1, 2, 3, 4, 5, 6), note)
        )  # fmt: skip
    return tuple(grids)


def depth_remedies(found: pd.DataFrame, by_depth: pd.DataFrame) -> tuple[Table, ...]:
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
        title = f"{sentence(lost_runs(pathology))[:-1]}, by depth: how many were rescued"
        grids.append(Table(title, heads, tuple(lines), tuple(range(1, len(heads)))))
    return tuple(grids)


def remedy_sentences(found: pd.DataFrame) -> tuple[Sentence, ...]:
    """For each pathology what the best level of each factor rescued, and at what cost."""
    sentences = [
        Sentence(_said(lost_runs(pathology), rows), "", "#remedies")
        for pathology, rows in found.groupby("pathology", sort=False)
    ]
    return based(sentences, BASIS)


def _said(name: str, rows: pd.DataFrame) -> str:
    best = rows.drop_duplicates("factor").to_dict("records")  # the rows come best first
    parts = "; ".join(f"{spoken(row['factor'])} {row['level']} {_rescue(row)}" for row in best)
    if too_few(rows):
        return f"Too few {name} to tell which change rescues them: {parts}."
    if not any(row["rescued"] for row in best):
        return f"Of {name}, no single change of level in this suite rescued any."
    return f"Of {name}, one change rescued – {parts}."


def _rescue(row: dict[str, Any]) -> str:
    cost = f", ×{row['cost']:.2g} time per step" if pd.notna(row["cost"]) and abs(row["cost"] - 1.0) > 0.02 else ""
    return f"{of(row['rescued'], row['pairs'])} ({_interval(row)}){cost}"


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    gain = f"{signed(row['gain'])} ({signed_range(row['gain_lower'], row['gain_upper'])})"
    return (
        f"{spoken(row['factor'])} {row['level']}",
        f"{integer(row['rescued'])}/{integer(row['pairs'])}",
        f"{100 * row['rate']:.0f} %",
        _interval(row),
        gain,
        integer(row["diverged"]),
        f"×{row['cost']:.2f}" if pd.notna(row["cost"]) else "–",
    )


def _interval(row: dict[str, Any]) -> str:
    return share_interval(row["rate_lower"], row["rate_upper"])
