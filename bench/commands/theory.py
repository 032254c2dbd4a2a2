"""`bench theory`: what mean-field theory predicts for a network before it is trained, as a table and a picture.

`bench theory RESULTS`: measured gradients at step 0 beside what is predicted for them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.analysis import CAUSES, disagreement, expected_by_chance, independent_runs, predictions, settings, theory_of
from bench.analysis.layer_theory import ARCHITECTURES
from bench.analysis.mean_field import SETTINGS
from bench.errors import BenchError, ResultsError
from bench.factors import FACTORS
from bench.report.axes import Axis, labelled, varied_axes
from bench.report.sections.theory import departed
from bench.report.sections.titles import setting_titles
from bench.results import read_manifest, read_tables
from bench.text import number, of, percent, plural, signed
from bench.theory import (
    CriticalPoint,
    DenseNetwork,
    Nonlinearity,
    Profile,
    TrainableDepth,
    critical_point,
    fixed_point,
    network_of,
    profile,
    trainable_depth,
)

FOLDER = Path("reports") / "theory"
FORMATS = (".png", ".svg", ".pdf")
MOST_ROWS = 24
PIPED = 120  # columns of a table that goes to a file


@dataclass(frozen=True)
class Question:
    """What the command line asked.

    Attributes:
        levels: factor to label, as `network_of` takes them.
        input_mean_square, input_cosine: of the inputs.
        inputs: features of a sample; None: as many as the width.
        out: the picture's file; None: a name of its own under reports/theory/.
        named: whether an initializer was given, which decides the map's axes.
    """

    levels: Mapping[str, object]
    input_mean_square: float = 1.0
    input_cosine: float = 0.0
    inputs: int | None = None
    out: Path | None = None
    named: bool = True


def show_theory(question: Question, console: Console | None = None) -> None:
    """Print the predicted profile of a network, and write and name its picture.

    Raises:
        SuiteError: a level that does not exist.
        BenchError: what the theory does not cover.
    """
    from bench.commands.theory_charts import draw_profile

    console = console or Console()
    network = _network(question)
    found = profile(network, question.input_mean_square, question.input_cosine)
    console.print(_profile_table(found, f"{title(question.levels)}, width {network.width}, batch {network.batch_size}"))
    depth = trainable_depth(network, question.input_mean_square, question.input_cosine)
    for line in (*_fixed_lines(network, question.input_mean_square), _depth_line(depth), critical_line(network.phi)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    path = _path(question, "profile")
    draw_profile(found, title(question.levels), path)
    print(path)


def show_map(question: Question) -> None:
    """Draw the trainability map of an activation, over the variances or over depth and gain, and name the file.

    Raises:
        SuiteError: a level that does not exist.
        BenchError: what the theory does not cover.
    """
    from bench.commands.theory_charts import draw_gain_map, draw_variance_map

    network = _network(question)
    path = _path(question, "map")
    if question.named:
        draw_gain_map(network, title(question.levels), question.input_mean_square, path)
    else:
        draw_variance_map(network.phi, path)
    print(path)


def title(levels: Mapping[str, object]) -> str:
    """The levels that were given, in the order of the factors."""
    shown = [
        str(levels[name])
        for name in ("activation", "initializer", "bias_initializer", "normalization", "skip")
        if levels.get(name) and (name in ("activation", "initializer") or levels[name] != FACTORS[name].default)
    ]
    return ", ".join(shown)


def _network(question: Question) -> DenseNetwork:
    width = question.levels.get("width")
    inputs = question.inputs if question.inputs is not None else int(str(width)) if width else None
    return network_of(question.levels, inputs=inputs)


def _profile_table(found: Profile, heading: str) -> Table:
    table = Table(title=escape(heading), title_justify="left", box=None, pad_edge=False)
    table.caption = (
        "limit: log10 of the pre-activation gradient's norm over that of the last layer, in infinite width; mean, low, "
        f"high: at this width, and the band of {found.coverage:.0%} of networks. corr.: cosine of two samples' phi."
    )
    table.caption_justify = "left"
    for name in ("layer", "q", "σ_w²", "χ", "corr.", "limit", "mean", "low", "high"):
        table.add_column(name, justify="right", no_wrap=True)
    layers = np.arange(found.depth)
    if found.depth > MOST_ROWS:
        layers = np.unique(np.linspace(0, found.depth - 1, MOST_ROWS).round().astype(int))
    gradients = (found.preactivation, found.preactivation + found.preactivation_shift)
    thousandths = (found.pair_correlation, *gradients, found.preactivation_low, found.preactivation_high)
    for layer in layers:
        variances = number(found.mean_square[layer]), number(found.weight_variance[layer], 4)
        shown = (f"{values[layer]:.3f}" for values in thousandths)
        table.add_row(str(layer), *variances, f"{found.chi[layer]:.4f}", *shown)
    return table


def _fixed_lines(network: DenseNetwork, start: float) -> list[str]:
    """What the variance runs to, where neither a normalization nor a skip connection changes the map."""
    if not network.plain or not network.hidden.variance:
        return []
    at = fixed_point(network.phi, network.hidden.variance, network.bias_variance, start)
    if not np.isfinite(at.q):
        return ["Fixed point: none; the mean square grows without bound."]
    return [
        f"Fixed point: q* = {number(at.q, 4)}, chi = {at.chi:.4f}, chi_parallel = {at.chi_parallel:.4f}, c* = "
        f"{number(at.correlation)}.",
        f"Depth scales in layers: gradient {number(at.gradient_depth)}, variance {number(at.variance_depth)}, "
        f"correlation {number(at.correlation_depth)}.",
    ]


def _depth_line(found: TrainableDepth) -> str:
    if found.reason == "none":
        return f"Trainable at initialization to {found.depth} layers and beyond."
    why = {"vanishing": "gradients vanish", "exploding": "gradients explode", "collapse": "samples become alike"}
    return f"Trainable at initialization to {found.depth} layers; beyond, {why[found.reason]}."


def in_decades(value: float, digits: int = 3) -> str:
    """A logarithm of a ratio of norms, with its sign: `−0.388 decades`."""
    return f"{value + 0.0:+.{digits}f} decades".replace("-", "−")


def critical_line(phi: Nonlinearity) -> str:
    """Where an activation's layers keep signals and gradients, or why nowhere."""
    try:
        point: CriticalPoint = critical_point(phi)
    except BenchError as error:
        return str(error)
    return (
        f"Critical point of {phi.name} ({point.kind.replace('_', ' ')}): sigma_w = {point.weight_stddev:.5f}, "
        f"sigma_b = {point.bias_stddev:.5f}, q = {number(point.q, 4)}."
    )


def _path(question: Question, kind: str) -> Path:
    levels = question.levels
    names = ("activation", "initializer", "normalization", "skip")
    return picture_path(question.out, (kind, *(str(levels.get(name) or "") for name in names)))


def picture_path(out: Path | None, words: tuple[str, ...]) -> Path:
    """The picture's file, its folder made: `out`, or one under reports/theory/ with those words for a name.

    Raises:
        ResultsError: a format that cannot be drawn, or a folder that cannot be made.
    """
    written = "-".join(word for word in words if word)
    name = "".join(c if c.isalnum() or c in "-_.=" else "-" for c in written).rstrip("-")
    path = out or FOLDER / f"{name}.png"
    if path.suffix not in FORMATS:
        raise ResultsError(f'"{path}": pictures end in {", ".join(FORMATS)}.')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{path.parent}: cannot be made ({error.strerror}).") from error
    return path


def show_agreement(folder: Path, console: Console | None = None) -> None:
    """Print predicted and measured totals of a results folder, how often the bands hold, and where they do not.

    Raises:
        ResultsError: the folder has no results, or they cannot be read.
    """
    from bench.commands.theory_within import show_layers

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
    dense = theory.runs[~theory.runs.index.isin(_with_own_theory(tables["runs"]))]
    for line in (*lines, *(_without(dense) if len(dense) else ())):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    show_layers(tables, varied_axes(tables["runs"], manifest), console)


def _with_own_theory(runs: pd.DataFrame) -> pd.Series:
    """The runs whose layers have another theory than dense ones."""
    return runs.loc[runs["architecture"].astype(str).isin(ARCHITECTURES), "run_id"]


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
