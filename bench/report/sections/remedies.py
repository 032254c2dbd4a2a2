"""Which remedy helped: the share of lost runs that each change rescued, what it costs, and where it hurts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import Outcome, Symptom, remedies_by, setbacks
from bench.analysis.learned import loss_decides
from bench.analysis.through_time import EXPLODING, VANISHING
from bench.factors import ABSENT
from bench.report.axes import Axis, level_label
from bench.report.blocks import Figure, Lead, Panel, Scale, Section, Sentence, Table, Text, based, blocks_of, numbers
from bench.report.charts.forest import POOLED
from bench.report.frames import Frames
from bench.text import integer, listed, number, of, plural, sentence, share_interval, signed, signed_range, spoken

MOST = 12
MOST_ROWS = 7  # of a panel
MOST_SERIES = 8
MOST_WORDS = 25  # of a sentence
MOST_HARMS = 2  # of which the chapter speaks; the table has all
TOO_FEW = "Too few runs to tell which change rescues them."
WIDE = 0.5  # an interval of a share wider than this says nothing
MOST_BY_DEPTH = 8
OF_THEMSELVES = (  # factors whose levels need no other word
    "normalization", "skip", "cell", "recurrent_initializer", "gate_bias", "truncate", "clipping", "regularization",
)  # fmt: skip
_COLUMNS = (
    "change of one level to", "rescued", "share", "95 % interval", "gain in accuracy", "diverged", "time per step",
)  # fmt: skip
BASIS = (
    "rescued: of runs in cells of which most did not learn (with the symptom at initialization, or with "
    "none), those whose partner learned; a partner differs in one factor alone and has the same replicate; Wilson "
    "interval"
)
INTRO = (
    "A cell of which most runs did not learn stands against the cells that differ from it in one level, replicate by "
    "replicate. These share data order and underlying draw. The best changes first. Cells that lie close together "
    "share partners, so the intervals are somewhat too narrow."
)
SOURCE = "Tables runs, evaluations and timings; rule: docs/rules.md, Remedies."
WHOM = {
    str(Symptom.VANISHING): ("Vanishing gradients", "with vanishing gradients"),
    str(Symptom.EXPLODING): ("Exploding gradients", "with exploding gradients"),
    str(Symptom.COLLAPSED): ("Collapsed activations", "with collapsed activations"),
    VANISHING: ("Gradients that vanish through time", "whose gradient vanishes through time"),
    EXPLODING: ("Gradients that explode through time", "whose gradient explodes through time"),
    str(Outcome.DIVERGED): ("No symptom at the start, diverged", "that diverged without a symptom"),
    str(Outcome.NOT_LEARNED): ("No symptom at the start, did not learn", "without a symptom"),
}


def section(frames: Frames) -> Section | None:
    """A forest plot and tables; None where no pathological cell has a partner."""
    frames = frames.training
    found, axes = frames.remedied, {axis.factor: axis for axis in frames.axes}
    if found.empty:
        return None
    harm = setbacks(frames.labelled, frames.varied)
    timings = frames.tables["timings"]
    by_depth = remedies_by(frames.worded, frames.varied, timings, "depth") if "depth" in axes else None
    by = next((name for name in ("activation", "depth") if name in axes and len(axes[name].levels) <= MOST_SERIES), "")
    parts = remedies_by(frames.worded, frames.varied, timings, by) if by else None
    values = bool(loss_decides(frames.plain).all())
    said = harm_text(harm, axes, values)
    blocks = blocks_of(
        Lead(lead(found, axes)),
        Text(said) if said else None,
        forest(found, axes, parts, by),
        numbers(
            Text(INTRO),
            *remedy_grids(found),
            *(depth_remedies(found, by_depth) if by_depth is not None else ()),
            harm_table(harm, axes, values),
        ),
    )
    return Section("remedies", "Which remedy helped", "Remedies", blocks, short=remedy_sentences(found, axes))


def lost_runs(pathology: object) -> str:
    """The runs of a pathology: `runs with vanishing gradients that did not learn`."""
    if pathology == Outcome.DIVERGED:
        return "runs without a symptom at initialization that diverged"
    if pathology == Outcome.NOT_LEARNED:
        return "runs without a symptom at initialization that did not learn"
    if pathology in (VANISHING, EXPLODING):
        return f"runs that did not learn and {WHOM[str(pathology)][1]}"
    what = "collapsed activations" if pathology == Symptom.COLLAPSED else f"{pathology} gradients"
    return f"runs with {what} that did not learn"


def too_few(rows: pd.DataFrame) -> bool:
    """Whether no change has an interval that tells anything."""
    return bool((rows["rate_upper"] - rows["rate_lower"] > WIDE).all())


def lead(found: pd.DataFrame, axes: Mapping[str, Axis]) -> Sentence:
    """For each pathology the change that surely rescued the largest share, in at most 25 words."""
    told = found[found["rate_upper"] - found["rate_lower"] <= WIDE]
    clauses: list[str] = []
    for pathology, rows in told.groupby("pathology", sort=False):
        best = rows.loc[rows["rate_lower"].idxmax()]
        if best["rescued"]:
            verb, runs = ("rescued ", " runs") if not clauses else ("", "")
            share = of(int(best["rescued"]), int(best["pairs"]))
            clauses.append(f"{_subject(best, axes, not clauses)} {verb}{share}{runs} {WHOM[str(pathology)][1]}")
    if told.empty:
        return Sentence("Too few runs failed to learn to tell which change rescues them.", BASIS)
    if not clauses:
        return Sentence("No single change of level rescued any run that did not learn.", BASIS)
    text = _while_short(clauses, ", ")
    return Sentence(sentence(text))


def _while_short(clauses: Sequence[str], joint: str) -> str:
    """As many clauses, from the first, as a sentence holds."""
    text = clauses[0]
    for clause in clauses[1:]:
        longer = f"{text}{joint}{clause}"
        if len(longer.split()) > MOST_WORDS:
            break
        text = longer
    return text


def _subject(row: Mapping[str, Any] | pd.Series, axes: Mapping[str, Axis], first: bool = True) -> str:
    """A change as a subject: `batch normalization`, `learning rate 0.01`; where it is the first, `activation tanh`."""
    axis = axes[row["factor"]]
    if axis.factor in OF_THEMSELVES or not (first or axis.numeric):
        return axis.words(row["level"])
    return f"{spoken(axis.factor)} {row['level'] if axis.numeric else axis.words(row['level'])}"


def forest(
    found: pd.DataFrame, axes: Mapping[str, Axis], parts: pd.DataFrame | None = None, by: str = ""
) -> Figure | None:
    """A panel for each pathology, a row for each change: the best level of each factor, and others that rescued any.

    Args:
        found: what `remedies` returned.
        axes: the factors that vary, by name.
        parts: the same by the levels of `by`: small marks below each row.
    """
    groups = [(str(pathology), rows) for pathology, rows in found.groupby("pathology", sort=False)]
    shown = [(name, rows) for name, rows in groups if not too_few(rows)]
    if not shown:
        return None
    panels = tuple(Panel(WHOM[name][0], _forest_rows(rows, axes, parts, by)) for name, rows in shown)
    marks = f"; small marks: by the {spoken(by)} it had" if by else ""
    return Figure(
        key="remedies-forest",
        kind="forest",
        title=_title(shown[0][1], axes, WHOM[shown[0][0]][1]),
        scale=Scale("share rescued", "rescued · time per step", series=axes[by].levels if by else ()),
        panels=panels,
        columns=3,
        legend_title=spoken(by) if by else "",
        subtitle=(
            "Of runs that did not learn, the share whose partner, changed in one level, learned; 95 % interval"
            f"{marks}. Beside it: time per step relative to without."
        ),
        source=SOURCE,
    )


def _title(rows: pd.DataFrame, axes: Mapping[str, Axis], whom: str) -> str:
    sure = rows[rows["rate_lower"] > 0.5].to_dict("records")
    if not sure:
        return f"No single change surely rescues most runs {whom}"
    said = listed([_subject(row, axes, not index) for index, row in enumerate(sure)], 3)
    return sentence(f"{said} {'rescues' if len(sure) == 1 else 'rescue'} most runs {whom}")[:-1]


def _forest_rows(
    rows: pd.DataFrame, axes: Mapping[str, Axis], parts: pd.DataFrame | None, by: str
) -> pd.DataFrame:  # fmt: skip
    best = rows.drop_duplicates("factor")  # the rows come best first
    others = rows[~rows.index.isin(best.index) & (rows["rescued"] > 0)]
    chosen = pd.concat([best.head(MOST_ROWS), others.head(max(0, MOST_ROWS - len(best)))]).sort_index()
    made = []
    for row in chosen.to_dict("records"):
        name = axes[row["factor"]].change(row["level"])
        cost = f" · × {number(row['cost'], 2)}" if pd.notna(row["cost"]) else ""
        bounds = (row["rate"], row["rate_lower"], row["rate_upper"])
        made.append((name, POOLED, *bounds, f"{integer(row['rescued'])}/{integer(row['pairs'])}{cost}"))
        if parts is not None:
            own = parts[(parts["pathology"] == row["pathology"]) & (parts["factor"] == row["factor"])
                        & (parts["level"] == row["level"])]  # fmt: skip
            made += [
                (name, level_label(part[by]), part["rate"], np.nan, np.nan, f"{part['rescued']}/{part['pairs']}")
                for part in own.to_dict("records")
            ]
    return pd.DataFrame(made, columns=["row", "series", "value", "lower", "upper", "numbers"])


def harm_text(harm: pd.DataFrame, axes: Mapping[str, Axis], values: bool) -> str:
    """The remedies that lowered some networks, and the one each lowered most; of values, by their loss."""
    rows = harm[(harm["lowered"] > 0) & harm["reference"].isin(ABSENT)].drop_duplicates("factor").head(MOST_HARMS)
    said: list[str] = []
    for row in rows.to_dict("records"):
        whom = f" {row['at']}" if row["at"] else ""
        where = f", most at {axes['depth'].words(str(row['worst']['depth']))}" if "depth" in row["worst"] else ""
        unit = "" if said else "share of the naive loss removed " if values else "accuracy "
        ends = f"({unit}{number(row['from'], 2)} to {number(row['to'], 2)})"
        text = f"{_subject(row, axes)} lowered{whom} in {of(row['lowered'], row['networks'])} networks{where} {ends}"
        said.append(sentence(text))
    return f"Remedies hurt, too. {' '.join(said)}" if said else ""


def harm_table(harm: pd.DataFrame, axes: Mapping[str, Axis], values: bool) -> Table | None:
    """Every change that raised or lowered a network in all of its replicates."""
    rows = harm[(harm["lowered"] > 0) | (harm["raised"] > 0)]
    if rows.empty:
        return None
    lines = []
    for row in rows.to_dict("records"):
        worst = "–"
        if row["worst"]:
            levels = listed([axes[name].change(level) for name, level in row["worst"].items()], 12)
            worst = f"{number(row['from'], 2)} to {number(row['to'], 2)}: {levels}"
        change = f"{spoken(row['factor'])} {row['reference']} → {row['level']}"
        lines.append(
            (change, row["at"] or "all", *map(integer, (row["networks"], row["raised"], row["lowered"])), worst)
        )
    what = "share of the naive loss that is gone" if values else "final validation accuracy"
    note = f"In every replicate, and by the margin in the median; rule: docs/rules.md, Remedies. Score: {what}."
    heads = ("change", "with", "networks", "raised", "lowered", "lowered most")
    return Table("Where a change helps and where it hurts", heads, tuple(lines), (2, 3, 4), note)


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


def remedy_sentences(found: pd.DataFrame, axes: Mapping[str, Axis]) -> tuple[Sentence, ...]:
    """For each pathology what the best level of each factor rescued."""
    said = [
        Sentence(_said(lost_runs(pathology), rows, axes), "", "#remedies")
        for pathology, rows in found.groupby("pathology", sort=False)
    ]
    return based(said, BASIS)


def _said(name: str, rows: pd.DataFrame, axes: Mapping[str, Axis]) -> str:
    best = rows.sort_values("rate_lower", ascending=False, kind="stable").drop_duplicates("factor")
    if too_few(rows):
        return f"Too few {name} to tell which change rescues them."
    if not best["rescued"].any():
        return f"No single change of level in this suite rescued any of the {name}."
    shares = [
        f"{_subject(row, axes)} {'' if index else 'rescued '}{of(row['rescued'], row['pairs'])}"
        for index, row in enumerate(best[best["rescued"] > 0].to_dict("records"))
    ]
    return f"{_while_short([f'Of {name}, {shares[0]}', *shares[1:]], ', ')}."


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
