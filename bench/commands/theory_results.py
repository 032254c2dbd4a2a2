"""`bench theory RESULTS`: measured gradients at step 0 beside what mean-field theory predicts for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.analysis import CAUSES, disagreement, expected_by_chance, independent_runs, predictions, settings, theory_of
from bench.analysis.mean_field import SETTINGS
from bench.report.axes import Axis, labelled, varied_axes
from bench.report.sections.theory import departed, setting_titles
from bench.results import read_manifest, read_tables
from bench.text import number, of, percent, plural, signed

PIPED = 120  # columns of a table that goes to a file


def show_agreement(folder: Path, console: Console | None = None) -> None:
    """Print predicted and measured totals of a results folder, how often the bands hold, and where they do not.

    Raises:
        ResultsError: the folder has no results, or they cannot be read.
    """
    console = console or Console(width=None if sys.stdout.isatty() else PIPED)
    tables, manifest = read_tables(folder), read_manifest(folder)
    axes = [axis for axis in varied_axes(tables["runs"], manifest) if axis.factor in SETTINGS]
    theory = theory_of(tables)
    found = disagreement(predictions(tables, theory))
    lines = []
    if len(found):
        drawn, ranked = independent_runs(tables, found), settings(tables, theory, found)
        console.print(_ranking(ranked, setting_titles(tables["runs"], ranked, axes)))
        runs = labelled(tables["runs"], axes)
        for axis in axes:
            console.print(_by_level(drawn, ranked, runs, axis))
        lines += [*_coverage(drawn), *_deviating(ranked)]
    for line in (*lines, *_without(theory.runs)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _ranking(ranked: pd.DataFrame, titles: dict[int, str]) -> Table:
    table = _table("Settings, those that deviate from theory first", (
        "setting", "predicted", "band", "measured", "departure", "outside", "layers inside", "cause",
    ))  # fmt: skip
    table.caption = (
        "Totals: log10 of the first hidden layer's pre-activation gradient norm over the last's. Departure: from the "
        "middle of the band in half widths, median over replicates."
    )
    for row in ranked.itertuples():
        inside = f"{row.layers_inside}/{row.layers}"
        table.add_row(
            escape(titles[int(row.setting)]), signed(row.predicted), f"{signed(row.low)} to {signed(row.high)}",
            departed(float(row.measured)), departed(float(row.departure)), f"{row.outside}/{row.compared}", inside,
            str(row.cause),
        )  # fmt: skip
    return table


def _by_level(drawn: pd.DataFrame, ranked: pd.DataFrame, runs: pd.DataFrame, axis: Axis) -> Table:
    """Coverage for each level of a factor."""
    level = runs.set_index("run_id")[axis.factor]
    networks = drawn.assign(_level=level.reindex(drawn.index)).groupby("_level", observed=True)
    of_setting = ranked["run_id"].map(level).astype(level.dtype)
    deviating = ranked["deviates"].groupby(of_setting, observed=True).agg(["sum", "size"])
    table = _table(f"By {axis.factor}", (axis.factor, "totals inside", "layers inside", "share", "settings deviating"))
    for name, rows in networks:
        inside, layers = int(rows["layers_inside"].sum()), int(rows["layers"].sum())
        table.add_row(
            escape(str(name)), of(int(rows["inside"].sum()), len(rows)), of(inside, layers), percent(inside, layers),
            of(int(deviating.loc[name, "sum"]), int(deviating.loc[name, "size"])),
        )  # fmt: skip
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    for place, name in enumerate(columns):
        words = place == 0 or name == "cause"
        table.add_column(name, justify="left" if words else "right", no_wrap=not words, min_width=12 if words else None)
    return table


def _coverage(drawn: pd.DataFrame) -> list[str]:
    inside, layers, totals = int(drawn["layers_inside"].sum()), int(drawn["layers"].sum()), int(drawn["inside"].sum())
    return [
        f"Coverage of the 95 % bands: {of(inside, layers)} layers ({100.0 * inside / layers:.1f} %), "
        f"{of(totals, len(drawn))} totals ({100.0 * totals / len(drawn):.1f} %), over {plural(len(drawn), 'network')}; "
        "runs that theory cannot tell apart count once a replicate."
    ]


def _deviating(ranked: pd.DataFrame) -> list[str]:
    count = int(ranked["deviates"].sum())
    expected = number(round(expected_by_chance(ranked), 1))
    said = [f"{of(count, len(ranked))} settings part: more than half of their totals lie outside (chance: {expected})."]
    causes = ranked["cause"].value_counts()
    return said + [f"  {cause.name} ({causes[cause.name]}): {cause.rule}." for cause in CAUSES if cause.name in causes]


def _without(runs: pd.DataFrame) -> list[str]:
    counts = runs.loc[runs["reason"] != "", "reason"].value_counts()
    if counts.empty:
        return [f"All {plural(len(runs), 'run')} have a prediction."]
    said = [f"{of(int(counts.sum()), len(runs))} runs have no prediction:"]
    return said + [f"  {count}: {reason}" for reason, count in counts.items()]
