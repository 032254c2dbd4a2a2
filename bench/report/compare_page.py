"""The page of a comparison: the verdict first, then what differs, what became of runs, and where numbers changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.compare import RESPONSES
from bench.analysis.compare.responses import lost
from bench.analysis.compare.starts import STARTS
from bench.analysis.compare.words import RESPONSE, cells_words, signed, unit_words
from bench.report.blocks import (
    NUMBERS,
    Block,
    Figure,
    Fold,
    Lead,
    Page,
    Panel,
    Scale,
    Section,
    Sentence,
    Sentences,
    Table,
    Text,
)
from bench.report.charts.forest import POOLED
from bench.report.compare_outline import NAMES, SIDES, Part, beyond, outline
from bench.report.compared import Compared
from bench.text import number, shortened

COMPARED = "compared – gradtrial</title>"  # in the head of such a page
RULE = "docs/rules.md, Comparing two results"
MOST_MARGINS = 10.0  # what a figure of differences shows on either side
LEAST_MARGINS = 2.0
LONGEST = 34  # characters of a row's name
DRAWN = 8  # rows of a panel
SCATTERED = ("accuracy", "loss", "signal", "time_signal")
FLUSH_RIGHT = {
    "BASE",
    "CANDIDATE",
    "no longer",
    "newly",
    "p",
    "difference",
    "margin",
    "pairs",
    "start otherwise",
    *(each.label for each in STARTS),
}
OPEN = 8  # rows of a table that stand open
FOLDED = ("levels", "cells", "moved", "margins")
SHORT = {"Differences over all pairs": "Differences", "What became of runs": "Runs",
         "Runs with another outcome": "Outcomes"}  # fmt: skip
IDS = {
    "What differs": "differs", "What became of runs": "runs", "Differences over all pairs": "all-pairs",
    "Starts": "starts", "By level": "levels", "Cells": "cells", "Runs with another outcome": "moved",
    "Margins": "margins",
}  # fmt: skip


def compare_page(compared: Compared) -> Page:
    """Everything that is shown of a comparison, as a page of the report's kind."""
    parts = {part.title: part for part in outline(compared, None)}
    first = next(part for title, part in parts.items() if title.startswith("Verdict"))
    sections = [_verdict(compared, first)]
    sections += [_section(compared, part) for title, part in parts.items() if title in IDS]
    return Page(
        suite=compared.manifest.suite,
        title=f"{compared.manifest.heading}: compared",
        question=f"Did something change between {compared.names[0]} and {compared.names[1]}?",
        remarks=_remarks(compared),
        sections=tuple(sections),
        headline=_headline(compared, first),
    )


def _headline(compared: Compared, first: Part) -> str:
    told = compared.comparison
    if told.identical or not told.why or ":" in first.lines[0]:  # which says why itself
        return first.lines[0]
    reason = told.why[0].partition(". ")[0].rstrip(".")  # its first sentence: the others stand below
    return shortened(f"{first.lines[0].rstrip('.')}: {reason[:1].lower()}{reason[1:]}.", 220)


def _remarks(compared: Compared) -> tuple[str, ...]:
    """What differs, ahead of all else: it is the question."""
    told = [each for each in compared.differences if each.kind in ("versions", "machine")]
    said = [f"{NAMES.get(each.what, each.what)} {each.base}, then {each.candidate}" for each in told]
    dry = ("These numbers were made by formula, not by training.",) if compared.manifest.dry else ()
    return (f"Not the same on both sides: {'; '.join(said)}.", *dry) if said else dry


def _verdict(compared: Compared, part: Part) -> Section:
    lead = Lead(Sentence(f"{cells_words(compared.comparison.verdicts)}.", RULE))
    items = tuple(Sentence(line) for line in part.lines[1:])
    return Section("answer", "Verdict", "Verdict", (lead, *([Sentences(items)] if items else [])))


def _section(compared: Compared, part: Part) -> Section:
    key = IDS[part.title]
    blocks: list[Block] = [Text(line) for line in part.lines]
    drawn = {"all-pairs": _over_all, "levels": _levels, "cells": _cells}
    blocks += drawn[key](compared) if key in drawn else []
    if part.rows:
        whole = len(part.rows) <= OPEN and key not in FOLDED
        if not whole and key == "starts":
            blocks.append(_table(replace(part, rows=part.rows[:OPEN])))
        blocks.append(_table(part) if whole else Fold(NUMBERS, (_table(part),), f"{key}-numbers"))
    return Section(key, part.title, SHORT.get(part.title, part.title), tuple(blocks))


def _table(part: Part) -> Table:
    numeric = tuple(at for at, head in enumerate(part.heads) if head in FLUSH_RIGHT and part.title != "What differs")
    return Table(part.title, part.heads, part.rows, numeric)


def _over_all(compared: Compared) -> list[Block]:
    rows = compared.comparison.suite
    labels = [RESPONSE[str(response)].label for response in rows["response"]]
    found: list[Block] = [
        _forest("compare-all", "Mean differences over all pairs", {"": rows.assign(_name=labels)}, "")
    ]
    panels, series = _scatters(compared), _series(compared)
    if panels:
        subtitle = "A dot for each pair. On the line nothing changed; lost runs are where they count."
        source = "runs, evaluations and gradient_norms of both results"
        found.append(Figure("compare-pairs", "against", "Each pair of runs", Scale(*SIDES, series=series), panels, 3,
                            "runs", subtitle=subtitle, source=source))  # fmt: skip
    return found


def _series(compared: Compared) -> tuple[str, ...]:
    gone = lost(compared.comparison.pairs.base) | lost(compared.comparison.pairs.candidate)
    return ("both completed", "one or both lost") if gone.any() else ("both completed",)


def _scatters(compared: Compared) -> tuple[Panel, ...]:
    pairs, series = compared.comparison.pairs, _series(compared)
    gone = lost(pairs.base) | lost(pairs.candidate)
    panels = []
    for response in RESPONSES:
        if response.name not in SCATTERED or response.name not in compared.comparison.margins:
            continue
        rows = pd.DataFrame({"base": response.of(pairs.base), "candidate": response.of(pairs.candidate),
                             "series": np.where(gone, series[-1], series[0])})  # fmt: skip
        rows = rows.dropna()
        both = rows[["base", "candidate"]].to_numpy(float)
        limits = (float(both.min()), float(both.max()))
        if limits[0] == limits[1]:
            continue
        unit = f" ({response.unit})" if response.unit != "1" else ""
        scale = Scale(*SIDES, x_limits=limits, y_limits=limits, series=series)
        panels.append(Panel(f"{response.label}{unit}", rows, scale=scale))
    return tuple(panels)


def _levels(compared: Compared) -> list[Block]:
    return _changed(compared.comparison.levels, "levels", unit_words)


def _cells(compared: Compared) -> list[Block]:
    return _changed(compared.comparison.cells, "cells", lambda key: key.rpartition("-")[0])


def _changed(table: pd.DataFrame, what: str, named: Callable[[str], str]) -> list[Block]:
    """The rows furthest beyond their margins, a panel for each number; a sentence where there are none."""
    far = (table["change"].abs() / table["margin"]).where(beyond(table)).dropna().sort_values(ascending=False)
    if far.empty:
        return [Text(f"No difference of single {what} lies beyond its margin with its whole interval.")]
    rows = table.loc[far.index]
    rows = rows.assign(_name=rows["unit"].map(named))
    panels = {RESPONSE[str(name)].label: own.head(DRAWN) for name, own in rows.groupby("response", sort=False)}
    shown = sum(map(len, panels.values()))
    lead = f"The largest {shown} of {len(far)} that lie beyond their margins. " if shown < len(far) else ""
    return [_forest(f"compare-{what}", f"Where numbers changed most, by {what}", panels, lead)]


def _forest(key: str, title: str, panels: Mapping[str, pd.DataFrame], lead: str) -> Figure:
    """Differences over their margins, so that numbers of all units share an axis; rows are named by `_name`."""
    drawn = {name: _in_margins(rows) for name, rows in panels.items()}
    every = pd.concat(drawn.values())[["lower", "upper"]].to_numpy(float)
    reach = float(np.nanmax(np.abs(every), initial=1.0))
    limit = float(np.clip(np.ceil(reach), LEAST_MARGINS, MOST_MARGINS))
    scale = Scale("difference in margins", "difference", x_limits=(-limit, limit))
    edge = f" What is beyond {number(limit)} margins lies at the edge." if reach > limit else ""
    return Figure(
        key, "forest", title, scale, tuple(Panel(name, rows) for name, rows in drawn.items()), 3,
        subtitle=f"{lead}A difference is none from −1 to 1. Bars are 95 % intervals.{edge}", source=RULE,
    )  # fmt: skip


def _in_margins(rows: pd.DataFrame) -> pd.DataFrame:
    value, low, high = (rows[name] / rows["margin"] for name in ("change", "low", "high"))
    # Names of cells without their digests may be those of several: what is drawn by name needs each once.
    short = rows["_name"].map(lambda name: shortened(name, LONGEST))
    names = short + rows.assign(_name=short).groupby("_name").cumcount().map(
        lambda count: f" ({count + 1})" if count else ""
    )
    return pd.DataFrame({"row": names, "series": POOLED, "value": value, "lower": low.fillna(value),
                         "upper": high.fillna(value), "numbers": rows["change"].map(signed)})  # fmt: skip
