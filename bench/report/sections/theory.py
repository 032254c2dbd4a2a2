"""Mean-field theory beside measurement: sentences, charts, the ranking with its causes, and what has no prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis import (
    CAUSES,
    Moment,
    disagreement,
    expected_by_chance,
    independent_runs,
    moved,
    predictions,
    settings,
    theory_of,
)
from bench.analysis.layer_theory import ARCHITECTURES
from bench.analysis.mean_field import departures
from bench.analysis.recurrent import recurrent
from bench.report.blocks import (
    Block,
    Definition,
    Definitions,
    Figure,
    Fold,
    Lead,
    Panel,
    Scale,
    Section,
    Sentence,
    Sentences,
    Table,
    Text,
    blocks_of,
    numbers,
)
from bench.report.frames import Frames
from bench.report.sections.theory_layers import layer_blocks
from bench.report.sections.titles import setting_titles
from bench.text import integer, listed, number, of, percent, plural, sentence, signed, signed_range

MOST_NETWORKS = 160  # whose predictions a page computes: a tenth of a second each
MOST_ROWS, MOST_REASONS = 16, 8
INSIDE = (
    "band: from the lowest to the highest of 95 % of networks of this width; counted are the hidden layers but the "
    "last, and of runs that theory cannot tell apart one a replicate; layers of a network go together, "
    "and all settings of a replicate share its draws"
)
DEVIATING = (
    "a setting deviates where more than half of its networks have a total outside the band; the cause is the first in "
    "the list below whose condition holds"
)
MOST_PANELS, MOST_REPLICATES = 6, 8
SERIES = ("predicted, with its band", "measured at step 0, a line a replicate", "at the last recorded step, median")
X_LABEL = "hidden layer (0: input side)"
READ = (
    "Above: the pre-activation gradient's norm over the last hidden layer's. Below: the same over the prediction, "
    "enlarged. Band: 95 % of networks of this width. Each panel has its own scale."
)
INTRO = Text(
    "Mean-field theory follows signals and gradients through a wide network of random weights, from a run's "
    "levels alone. Finite width spreads single networks around its prediction; the band holds 95 % of them."
)
INSIDE_BAND, AGREES = "inside the band", "outside, though the setting agrees"
APART = ["layer_index", "departure", "series", "label"]
MOST_LABELS, MOST_SERIES = 4, 7
FURTHEST = 10.0  # half widths of a band: what lies further is drawn there
SOURCE = "From the table gradient_norms and bench.theory, log10 in the CSV. Method: docs/theory.md."


def section(frames: Frames) -> Section | None:
    """Predictions against what was measured, or why there is none; None where nothing was measured to compare.

    Of recurrent networks alone the chapter on gradients through time speaks; convolutions and transformers have a
    theory of their own, and stand in a table of theirs.
    """
    tables, within = frames.tables, layer_blocks(frames)
    own = frames.plain["architecture"].astype(str).isin(ARCHITECTURES) if "architecture" in frames.plain else False
    if (recurrent(frames.plain) | own).all():
        return _section(within) if within else None
    theory = theory_of(tables, MOST_NETWORKS)
    rows = predictions(tables, theory)
    found = disagreement(rows)
    if found.empty:
        unpredicted = _unpredicted(theory.runs)
        dense = blocks_of(INTRO, Sentences(_without(theory.runs)), unpredicted) if unpredicted else ()
        return _section((*dense, *within)) if dense or within else None
    drawn, ranked = independent_runs(tables, found), settings(tables, theory, found)
    later = predictions(tables, theory, Moment.END)
    kept = [frame[frame["run_id"].isin(drawn.index)] for frame in (rows, later)]
    titles = setting_titles(tables["runs"], ranked, frames.axes)
    asked = Text(
        "Each condition is asked in this order of the settings that deviate. It reads levels and recorded columns, "
        "never the disagreement; that it holds does not prove the cause."
    )
    said = (*_coverage(drawn), *_deviating(ranked), *_moved(moved(rows, later)), *_without(theory.runs))
    blocks = blocks_of(
        Lead(_short(drawn, ranked)[0]),
        agreement(kept[0], ranked, titles),
        numbers(
            INTRO,
            Sentences(said),
            *theory_charts(ranked, kept[0], kept[1], titles),
            _ranking(ranked, titles),
            _unpredicted(theory.runs),
            Fold("How a cause is found", (asked, _causes(ranked))),
        ),
    )
    return _section((*blocks, *within), _short(drawn, ranked))


def _section(blocks: tuple[Block, ...], short: tuple[Sentence, ...] = ()) -> Section:
    return Section("theory", "Theory and measurement", "Theory", blocks, short)


def _short(drawn: pd.DataFrame, ranked: pd.DataFrame) -> tuple[Sentence, ...]:
    inside, layers = int(drawn["layers_inside"].sum()), int(drawn["layers"].sum())
    deviating = int(ranked["deviates"].sum())
    causes = ranked.loc[ranked["deviates"], "cause"].value_counts()
    most = f", {integer(int(causes.iloc[0]))} of them by {causes.index[0]}" if len(causes) else ""
    text = (
        f"Mean-field theory's bands of 95 % hold {percent(inside, layers)} of {integer(layers)} layers at "
        f"initialization; {of(deviating, len(ranked), 'setting')} deviate{most}."
    )
    return (Sentence(text, "", "#theory"),)


def _coverage(drawn: pd.DataFrame) -> tuple[Sentence, ...]:
    inside, layers, totals = int(drawn["layers_inside"].sum()), int(drawn["layers"].sum()), int(drawn["inside"].sum())
    text = (
        f"Before the first update {of(inside, layers)} layers of {plural(len(drawn), 'network')} lie in their bands "
        f"({percent(inside, layers)}). So do {of(totals, len(drawn))} totals, the first hidden layer over the last "
        f"({percent(totals, len(drawn))}). The bands are meant to hold 95 %."
    )
    return (Sentence(text, INSIDE),)


def _deviating(ranked: pd.DataFrame) -> tuple[Sentence, ...]:
    apart = ranked[ranked["deviates"]]
    by_chance = f"by chance alone it would be {number(round(expected_by_chance(ranked), 1))}"
    if apart.empty:
        return (Sentence(f"None of {plural(len(ranked), 'setting')} deviates from theory; {by_chance}.", DEVIATING),)
    causes = [f"{cause} ({integer(int(count))})" for cause, count in apart["cause"].value_counts(sort=True).items()]
    text = f"{of(len(apart), len(ranked))} settings deviate from theory: {listed(causes)}. {sentence(by_chance)}"
    return (Sentence(text, DEVIATING),)


def _moved(table: pd.DataFrame) -> tuple[Sentence, ...]:
    start, end = table.to_dict("records")
    if not end["layers"] or not start["layers"]:
        return ()
    text = (
        f"Training moves the weights; theory speaks of weights as drawn. Of the {plural(int(end['runs']), 'run')} "
        f"with a later step {percent(int(start['layers_inside']), int(start['layers']))} of layers lie in the band at "
        f"step 0 and {percent(int(end['layers_inside']), int(end['layers']))} at the last recorded step."
    )
    return (Sentence(text, "all runs; a diverged run with its last recorded step"),)


def _without(runs: pd.DataFrame) -> tuple[Sentence, ...]:
    missing = int((runs["reason"] != "").sum())
    if not missing:
        return (Sentence(f"All {plural(len(runs), 'run')} have a prediction.", ""),)
    return (Sentence(f"{of(missing, len(runs))} runs have no prediction, for the reasons below.", ""),)


def _ranking(ranked: pd.DataFrame, titles: dict[int, str]) -> Table:
    rows = tuple(
        (
            titles[int(row.setting)], signed(row.predicted), signed_range(row.low, row.high),
            departed(float(row.measured)), departed(float(row.departure)), f"{row.outside}/{row.compared}",
            percent(int(row.layers_inside), int(row.layers)), row.cause or "–",
        )
        for row in ranked.head(MOST_ROWS).itertuples()
    )  # fmt: skip
    left = ranked.iloc[MOST_ROWS:]
    note = "Totals in decades; departure from the middle of the band in half widths, the median over replicates."
    if len(left):
        note += f" {plural(len(left), 'more setting')}, {integer(int(left['deviates'].sum()))} of them deviating."
    heads = ("setting", "predicted", "band", "measured", "departure", "outside", "layers inside", "cause")
    return Table("Where theory and measurement differ", heads, rows, (1, 2, 3, 4, 5, 6), note)


def departed(value: float) -> str:
    """A departure or a total with its sign; ±∞ where a gradient is 0."""
    return signed(value) if np.isfinite(value) else ("+∞" if value > 0 else "−∞")


def _unpredicted(runs: pd.DataFrame) -> Table | None:
    counts = runs.loc[runs["reason"] != "", "reason"].value_counts()
    if counts.empty:
        return None
    rows = tuple((str(reason), integer(int(count))) for reason, count in counts.head(MOST_REASONS).items())
    left = counts.iloc[MOST_REASONS:]
    note = f"{plural(int(left.sum()), 'more run')} for {plural(len(left), 'other reason')}." if len(left) else ""
    return Table("Runs without a prediction", ("why", "runs"), rows, (1,), note)


def _causes(ranked: pd.DataFrame) -> Definitions:
    counts = ranked["cause"].value_counts()
    return Definitions(
        tuple(Definition(each.name, sentence(each.rule), plural(int(counts.get(each.name, 0)), "setting"))
              for each in CAUSES)
    )  # fmt: skip


def agreement(rows: pd.DataFrame, ranked: pd.DataFrame, titles: Mapping[int, str]) -> Figure:
    """Measured against predicted, a dot for each layer of a setting, the median over its replicates.

    A dot outside the band has the colour of its setting's cause; that of each cause's furthest setting has a number.

    Args:
        rows: what `predictions` returned for the drawn runs.
        ranked: what `settings` returned.
        titles: a setting's levels in words.
    """
    last = rows.groupby("run_id", observed=True)["layer_index"].transform("max")
    tested = rows[rows["layer_index"] < last]
    names = ["predicted", "low", "high", "measured"]
    found = tested.groupby(["setting", "layer_index"], as_index=False)[names].median()
    found = found.assign(departure=departures(found))
    causes = ranked.set_index("setting")["cause"].replace("", AGREES)
    outside = found["departure"].abs() > 1.0
    series = found["setting"].map(causes).where(outside, INSIDE_BAND)
    levels = [each for each in series.value_counts().index if each != INSIDE_BAND]
    common = levels if len(levels) <= MOST_SERIES else levels[: MOST_SERIES - 1]
    found = found.assign(series=series.where(series.isin([INSIDE_BAND, *common]), "other causes"))
    furthest_first = ranked[ranked["deviates"]].drop_duplicates("cause")["setting"].head(MOST_LABELS).tolist()
    marks = {setting: str(place) for place, setting in enumerate(furthest_first, start=1)}
    firsts = ~found["setting"].duplicated()
    found = found.assign(label=found["setting"].map(lambda setting: marks.get(setting, "")).where(firsts, ""))
    finite = found[np.isfinite(found[["predicted", "measured"]]).all(axis=1)]
    ends = finite[["predicted", "measured"]].to_numpy(float)
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (-1.0, 1.0)
    margin = max(0.05 * (high - low), 0.05)
    finite = finite.drop(columns="setting").round(3)
    furthest_at = min(FURTHEST, max(1.5, float(finite["departure"].abs().max()))) if len(finite) else FURTHEST
    kinds = (INSIDE_BAND, *(each for each in found["series"].drop_duplicates() if each != INSIDE_BAND))
    both = Scale("predicted", "measured", x_limits=(low - margin, high + margin), series=kinds)
    layers = float(found["layer_index"].max()) if len(found) else 1.0
    apart = Scale(
        X_LABEL, "half widths of the band", x_limits=(0.0, layers), y_limits=(-furthest_at, furthest_at), series=kinds
    )
    captions = [f"{mark}: {titles[setting]}." for setting, mark in marks.items()]
    missing = len(found) - len(finite)
    if missing:
        captions.append(
            f"{plural(missing, 'layer')} without a finite gradient {'is' if missing == 1 else 'are'} left out."
        )
    hits, total = int((~outside).sum()), len(found)
    title = f"Theory's bands of 95 % hold the median of {percent(hits, total)} of layers"
    return Figure(
        "theory-agreement", "agreement", title, both,
        (
            Panel("Gradient over the last hidden layer's", finite, "agreement", both),
            Panel("Distance from the middle of the band", finite[APART], "departures", apart),
        ),
        2, "layers", tuple(captions), source=SOURCE,
        subtitle=(
            "At step 0, a dot for each layer of a setting, the median over its replicates. Shade: the band. Colours: "
            "why a setting deviates; numbers: the furthest of each cause, its first layer."
        ),
    )  # fmt: skip


def theory_charts(
    ranked: pd.DataFrame, rows: pd.DataFrame, later: pd.DataFrame, titles: Mapping[int, str]
) -> tuple[Figure, ...]:
    """The settings furthest from theory, at least one for each cause, and the most typical ones.

    Args:
        ranked: what `settings` returned.
        rows: what `predictions` returned for the drawn runs.
        later: the same at the last recorded step.
        titles: a setting's levels in words.
    """
    worst = furthest(ranked)
    common = typical(ranked[~ranked["setting"].isin(worst)])
    groups: list[Figure] = []
    for key, title, chosen in (
        ("theory-furthest", "Furthest from theory", worst),
        ("theory-typical", "Typical agreement", common),
    ):
        if chosen:
            panels = tuple(Panel(titles[each], _rows(rows, later, each)) for each in chosen)
            scale = Scale(X_LABEL, "ratio", series=SERIES if len(later) else SERIES[:2])
            groups.append(Figure(key, "theory", title, scale, panels, 3, "lines", (_caption(key), *_read(groups))))
    return tuple(groups)


def furthest(ranked: pd.DataFrame) -> list[int]:
    """The first setting of each cause, then the others in their order; those that deviate come first."""
    first = ranked[ranked["deviates"]].drop_duplicates("cause")["setting"].tolist()
    rest = [each for each in ranked["setting"] if each not in first]
    chosen = set((first + rest)[:MOST_PANELS])
    return [int(each) for each in ranked["setting"] if each in chosen]


def typical(ranked: pd.DataFrame) -> list[int]:
    """Of settings in groups by their predicted total, the one in each whose departure is nearest the group's median."""
    known = ranked[np.isfinite(ranked["departure"])].sort_values("predicted", kind="stable")
    chosen = []
    for places in np.array_split(np.arange(len(known)), MOST_PANELS):
        group = known.iloc[places]
        size = group["departure"].abs()
        near = (size - size.median()).abs().sort_values(kind="stable")
        chosen += [int(group.loc[place, "setting"]) for place in near.index[:1]]
    return chosen


def _read(before: Sequence[Figure]) -> tuple[str, ...]:
    """How to read the panels, once."""
    return ("Read as the figure above.",) if before else (READ,)


def _caption(key: str) -> str:
    if key == "theory-typical":
        return (
            "The other settings in groups, from the smallest to the largest predicted total. Of each group it is the "
            "one whose departure from the middle of its band is nearest the median."
        )
    return "At least one setting for each cause, then those whose total is furthest from the middle of its band."


def _rows(rows: pd.DataFrame, later: pd.DataFrame, setting: int) -> pd.DataFrame:
    def line(frame: pd.DataFrame, column: str, kind: str, replicate: int = -1) -> pd.DataFrame:
        return frame.rename(columns={column: "value"}).assign(kind=kind, replicate=replicate)

    own = rows[rows["setting"] == setting]
    by_run = dict(list(own.groupby("run_id", sort=False, observed=True)))
    first, *_ = by_run.values()
    median = later[later["setting"] == setting].groupby("layer_index", as_index=False)["measured"].median()
    parts: Sequence[pd.DataFrame] = [
        line(first[["layer_index", "predicted", "low", "high"]], "predicted", "predicted"),
        *(
            line(run[["layer_index", "measured"]], "measured", "measured", number)
            for number, run in enumerate(list(by_run.values())[:MOST_REPLICATES])
        ),
        line(median, "measured", "trained"),
    ]
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    found["value"] = found["value"].replace([np.inf, -np.inf], np.nan)
    return found[["kind", "replicate", "layer_index", "value", "low", "high"]]
