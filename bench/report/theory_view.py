"""Mean-field theory beside measurement: sentences, charts, the ranking with its causes, and what has no prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis import (
    CAUSES,
    Moment,
    Tables,
    disagreement,
    expected_by_chance,
    independent_runs,
    moved,
    predictions,
    settings,
    theory_of,
)
from bench.analysis.mean_field import SETTINGS
from bench.report.levels import Axis, level_label, level_title
from bench.report.theory_charts import theory_charts
from bench.report.view import Definition, Grid, Sentence, TheorySection
from bench.text import integer, listed, number, of, percent, plural, signed

MOST_NETWORKS = 160  # whose predictions a page computes: a tenth of a second each
MOST_ROWS, MOST_REASONS = 16, 8
INSIDE = (
    "band: from the lowest to the highest of 95 % of networks of this width; counted are the hidden layers but the "
    "last, and of runs that theory cannot tell apart one a replicate; layers of a network go together, "
    "and all settings of a replicate share its draws"
)
PARTED = (
    "a setting parts where more than half of its networks have a total outside the band; the cause is the first in "
    "the list below whose condition holds"
)


def theory_view(tables: Tables, axes: Sequence[Axis]) -> TheorySection | None:
    """The section's data; None where there is no prediction for any run."""
    theory = theory_of(tables, MOST_NETWORKS)
    rows = predictions(tables, theory)
    found = disagreement(rows)
    if found.empty:
        return None
    drawn, ranked = independent_runs(tables, found), settings(tables, theory, found)
    later = predictions(tables, theory, Moment.END)
    kept = [frame[frame["run_id"].isin(drawn.index)] for frame in (rows, later)]
    titles = setting_titles(tables["runs"], ranked, axes)
    return TheorySection(
        short=_short(drawn, ranked),
        sentences=(*_coverage(drawn), *_parted(ranked), *_moved(moved(rows, later)), *_without(theory.runs)),
        charts=theory_charts(ranked, kept[0], kept[1], titles),
        ranking=_ranking(ranked, titles),
        causes=_causes(ranked),
        unpredicted=_unpredicted(theory.runs),
    )


def setting_titles(runs: pd.DataFrame, ranked: pd.DataFrame, axes: Sequence[Axis]) -> dict[int, str]:
    """The levels of a setting's factors that vary, in words."""
    known = [axis for axis in axes if axis.factor in SETTINGS]
    levels = runs.set_index("run_id").loc[ranked["run_id"], [axis.factor for axis in known]]
    words = [
        " · ".join(level_title(axis, level_label(level)) for axis, level in zip(known, row, strict=True))
        for row in levels.itertuples(index=False)
    ]
    return {int(setting): said or "all runs" for setting, said in zip(ranked["setting"], words, strict=True)}


def _short(drawn: pd.DataFrame, ranked: pd.DataFrame) -> tuple[Sentence, ...]:
    inside, layers, parted = int(drawn["layers_inside"].sum()), int(drawn["layers"].sum()), int(ranked["parted"].sum())
    text = (
        f"Mean-field theory, told nothing but the levels, has {percent(inside, layers)} of layers in its band of 95 % "
        f"at initialization; {of(parted, len(ranked))} settings part from it."
    )
    return (Sentence(text, "", "#theory"),)


def _coverage(drawn: pd.DataFrame) -> tuple[Sentence, ...]:
    inside, layers, totals = int(drawn["layers_inside"].sum()), int(drawn["layers"].sum()), int(drawn["inside"].sum())
    text = (
        f"Before the first update {of(inside, layers)} layers of {plural(len(drawn), 'network')} lie in their bands "
        f"({percent(inside, layers)}), and {of(totals, len(drawn))} totals, the first hidden layer over the last "
        f"({percent(totals, len(drawn))}). The bands are meant to hold 95 %."
    )
    return (Sentence(text, INSIDE),)


def _parted(ranked: pd.DataFrame) -> tuple[Sentence, ...]:
    apart = ranked[ranked["parted"]]
    by_chance = f"by chance alone it would be {number(round(expected_by_chance(ranked), 1))}"
    if apart.empty:
        return (Sentence(f"None of {plural(len(ranked), 'setting')} parts from theory; {by_chance}.", PARTED),)
    causes = [f"{cause} ({integer(int(count))})" for cause, count in apart["cause"].value_counts(sort=True).items()]
    text = f"{of(len(apart), len(ranked))} settings part from theory: {listed(causes)}; {by_chance}."
    return (Sentence(text, PARTED),)


def _moved(table: pd.DataFrame) -> tuple[Sentence, ...]:
    start, end = table.to_dict("records")
    if not end["layers"] or not start["layers"]:
        return ()
    text = (
        f"Training moves the weights, and theory speaks of weights as drawn: of the {plural(int(end['runs']), 'run')} "
        f"with a later step {percent(int(start['layers_inside']), int(start['layers']))} of layers lie in the band at "
        f"step 0 and {percent(int(end['layers_inside']), int(end['layers']))} at the last recorded step."
    )
    return (Sentence(text, "all runs; a diverged run with its last recorded step"),)


def _without(runs: pd.DataFrame) -> tuple[Sentence, ...]:
    missing = int((runs["reason"] != "").sum())
    if not missing:
        return (Sentence(f"All {plural(len(runs), 'run')} have a prediction.", ""),)
    return (Sentence(f"{of(missing, len(runs))} runs have no prediction, for the reasons below.", ""),)


def _ranking(ranked: pd.DataFrame, titles: dict[int, str]) -> Grid:
    rows = tuple(
        (
            titles[int(row.setting)], signed(row.predicted), f"{signed(row.low)} to {signed(row.high)}",
            departed(float(row.measured)), departed(float(row.departure)), f"{row.outside}/{row.compared}",
            percent(int(row.layers_inside), int(row.layers)), row.cause or "–",
        )
        for row in ranked.head(MOST_ROWS).itertuples()
    )  # fmt: skip
    left = ranked.iloc[MOST_ROWS:]
    note = "Totals in decades; departure from the middle of the band in half widths, the median over replicates."
    if len(left):
        note += f" {plural(len(left), 'more setting')}, {integer(int(left['parted'].sum()))} of them parted."
    heads = ("setting", "predicted", "band", "measured", "departure", "outside", "layers inside", "cause")
    return Grid("Where theory and measurement part", heads, rows, (1, 2, 3, 4, 5, 6), note)


def departed(value: float) -> str:
    """A departure or a total with its sign; ±∞ where a gradient is 0."""
    return signed(value) if np.isfinite(value) else ("+∞" if value > 0 else "−∞")


def _causes(ranked: pd.DataFrame) -> tuple[Definition, ...]:
    counts = ranked["cause"].value_counts()
    return tuple(
        Definition(cause.name, f"{cause.rule[0].upper()}{cause.rule[1:]}.", plural(int(counts.get(cause.name, 0)),
                   "setting")) for cause in CAUSES
    )  # fmt: skip


def _unpredicted(runs: pd.DataFrame) -> Grid | None:
    counts = runs.loc[runs["reason"] != "", "reason"].value_counts()
    if counts.empty:
        return None
    rows = tuple((str(reason), integer(int(count))) for reason, count in counts.head(MOST_REASONS).items())
    left = counts.iloc[MOST_REASONS:]
    note = f"{plural(int(left.sum()), 'more run')} for {plural(len(left), 'other reason')}." if len(left) else ""
    return Grid("Runs without a prediction", ("why", "runs"), rows, (1,), note)
