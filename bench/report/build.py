"""From tables and manifest to the page's view data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis import (
    Measurements,
    Outcome,
    Tables,
    at_best,
    judge,
    remedies,
    remedies_by,
)
from bench.quantities import OF_RUNS, QUANTITIES
from bench.report import charting
from bench.report.agreement_view import agreement_view, set_definitions
from bench.report.claims_view import claims_sentence, claims_view
from bench.report.depth_tables import depth_grids, depth_sentences
from bench.report.effect_tables import effect_grids, effect_sentences, effects_of, share_sentence
from bench.report.explorer import explorer
from bench.report.findings import overall
from bench.report.heatmap_charts import heatmaps
from bench.report.layout import LineLayout, line_layout, map_layout
from bench.report.lesson import lesson
from bench.report.levels import Axis, labelled, level_label, varied_axes
from bench.report.remedy_tables import depth_remedies, remedy_grids, remedy_sentences
from bench.report.survival_chart import survival_chart
from bench.report.theory_view import theory_view
from bench.report.view import Count, Definition, Grid, Page
from bench.report.wording import condition_text
from bench.results import Manifest
from bench.rules import RulesChoice, choose_rules
from bench.schema import TABLES
from bench.text import integer, listed, number, percent, plural, spoken

MOST_EVENT_ROWS = 40


def build_page(tables: Tables, manifest: Manifest) -> Page:
    """Everything that the page shows, computed from the tables."""
    found = _Judged.of(tables, manifest)
    axes, judged, lines, varied = found.axes, found.labelled, found.lines, found.varied
    remedied = remedies(judged, varied, tables["timings"])
    effects = effects_of(found.worded, varied)
    events = tables["divergence_events"]
    agreed = agreement_view(found.measured, found.plain, varied, found.choice)
    fair, fair_said = _fair(found)
    claims, theory = claims_view(tables, manifest), theory_view(tables, axes)
    return Page(
        suite=manifest.suite,
        title=manifest.heading,
        question=manifest.question.strip(),
        answer=(
            *overall(judged, found.choice),
            *claims_sentence(claims),
            *depth_sentences(found.worded, axes),
            *remedy_sentences(remedied),
            *share_sentence(effects),
            *agreed.short,
            *(theory.short if theory else ()),
        ),
        counts=_counts(judged, manifest),
        claims=claims,
        fair=fair_said,
        depths=depth_grids(found.worded, axes),
        grids=(_factors(manifest),),
        effects=effect_grids(effects),
        effect_sentences=effect_sentences(effects),
        remedies=(*remedy_grids(remedied), *_by_depth(found, remedied, tables)),
        trainability=charting.trainability(judged.loc[fair], map_layout(judged.loc[fair], _left(axes, fair_said))),
        gradients=charting.gradient_flow(tables, judged, lines),
        losses=charting.losses(tables, judged, lines),
        divergence=charting.divergence(events, int(found.plain["depth"].max())),
        survival=survival_chart(judged, axes),
        theory=theory,
        agreement=agreed,
        events=_events(events, judged),
        explorer=explorer(tables, judged, axes, found.choice),
        lesson=lesson(judged, axes, remedied),
        heatmaps=heatmaps(tables, judged, lines),
        divergence_text=_divergence_text(events, judged),
        **_colophon(manifest, found.choice),
    )


@dataclass(frozen=True)
class _Judged:
    """The runs as judged, in three views.

    `plain` is as in the tables, `worded` has words in the suite's order and numbers as such, `labelled` has every
    varied factor as an ordered label.
    """

    choice: RulesChoice
    measured: Measurements
    axes: tuple[Axis, ...]
    plain: pd.DataFrame
    worded: pd.DataFrame
    labelled: pd.DataFrame
    lines: LineLayout

    @classmethod
    def of(cls, tables: Tables, manifest: Manifest) -> _Judged:
        choice = choose_rules(manifest.verdicts)
        axes, measured = varied_axes(tables["runs"], manifest), Measurements(tables, choice.learned)
        plain = judge(tables, choice, measured)
        worded, ordered = labelled(plain, [axis for axis in axes if not axis.numeric]), labelled(plain, axes)
        return cls(choice, measured, axes, plain, worded, ordered, line_layout(ordered, axes))

    @property
    def varied(self) -> list[str]:
        """The factors that vary."""
        return [axis.factor for axis in self.axes]


def _by_depth(found: _Judged, remedied: pd.DataFrame, tables: Tables) -> tuple[Grid, ...]:
    if "depth" not in found.varied:
        return ()
    return depth_remedies(remedied, remedies_by(found.worded, found.varied, tables["timings"], "depth"))


def _colophon(manifest: Manifest, choice: RulesChoice) -> dict[str, Any]:
    """Definitions, the suite, the machine, and how to do it again."""
    return {
        "words": _words(),
        "thresholds": _thresholds(choice),
        "responses": tuple(
            Definition(r.name, r.definition, r.unit, f"table {r.table}; lost runs: {r.lost}") for r in OF_RUNS
        ),
        "suite_text": manifest.text,
        "environment": _environment(manifest),
        "reproduce": (manifest.command or f"bench run {manifest.suite}",),
        "remarks": {"dry": "These numbers were made by formula, not by training."} if manifest.dry else {},
    }


def _fair(found: _Judged) -> tuple[pd.Index, str]:
    """The runs that the map shows, and which view that is: each cell at its best learning rate where it varies."""
    if "learning_rate" not in found.varied:
        return found.plain.index, ""
    best = at_best(found.plain)
    rates = found.plain["learning_rate"].nunique()
    edge = int(best[best["on_edge"]]["cell_key"].nunique())
    said = (
        f"Each cell is shown at the best of its learning rates ({plural(rates, 'rate')} in the suite): the one with "
        f"the lowest median validation loss over replicates, a lost run counting as infinite. For "
        f"{plural(edge, 'cell')} it is the smallest or largest tried. Every other part of this page takes all runs, "
        "unless it says otherwise."
    )
    return best.index, said


def _left(axes: Sequence[Axis], fair: str) -> list[Axis]:
    """The axes of the map: without the learning rate where each cell is shown at its best one."""
    return [axis for axis in axes if not fair or axis.factor != "learning_rate"]


def _counts(judged: pd.DataFrame, manifest: Manifest) -> tuple[Count, ...]:
    status = judged["status"].value_counts()
    planned = manifest.planned.runs
    learned = int((judged["outcome"] == Outcome.LEARNED).sum())
    missing = f"{integer(planned - len(judged))} not run yet" if planned != len(judged) else ""
    return (
        Count("runs planned", planned, missing),
        Count("completed", int(status.get("completed", 0)), percent(int(status.get("completed", 0)), len(judged))),
        Count("diverged", int(status.get("diverged", 0)), percent(int(status.get("diverged", 0)), len(judged))),
        Count("failed", int(status.get("failed", 0)), percent(int(status.get("failed", 0)), len(judged))),
        Count("learned", learned, percent(learned, len(judged))),
    )


def _factors(manifest: Manifest) -> Grid:
    """What varied and what was held."""
    rows = [(spoken(name), "varied", ", ".join(map(level_label, levels))) for name, levels in manifest.factors.items()]
    rows += [(spoken(name), "fixed", level_label(level)) for name, level in manifest.fixed.items()]
    note = f"{plural(manifest.planned.cells, 'cell')} × {plural(manifest.replicates, 'replicate')}"
    return Grid("Factors and fixed settings", ("factor", "", "levels"), tuple(rows), note=note)


def _events(events: pd.DataFrame, judged: pd.DataFrame) -> Grid | None:
    """Cells with diverged runs: how many, when, where first."""
    ends = events[events["kind"] != "loss_limit"].merge(judged[["run_id", "cell_key"]], on="run_id")
    if ends.empty:
        return None
    sizes = judged.groupby("cell_key").size()
    rows = []
    for cell, group in ends.groupby("cell_key", sort=False):
        layers = group["layer_index"].dropna().astype(int)
        seen = sorted({f"{kind} in the {tensor}" for kind, tensor in zip(group["kind"], group["tensor"], strict=True)})
        where = _span(layers) if len(layers) else "–"
        rows.append((str(cell), f"{len(group)}/{sizes[cell]}", _span(group["step"]), listed(seen), where))
    rows.sort(key=lambda row: (-int(row[1].partition("/")[0]), row[0]))
    left = len(rows) - MOST_EVENT_ROWS
    note = f"{plural(left, 'more cell')}: see the table divergence_events." if left > 0 else ""
    columns = ("cell", "diverged", "step", "first bad tensor", "layer")
    return Grid("Cells with diverged runs", columns, tuple(rows[:MOST_EVENT_ROWS]), (1, 2, 4), note)


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return integer(low) if low == high else f"{integer(low)}–{integer(high)}"


def _divergence_text(events: pd.DataFrame, judged: pd.DataFrame) -> str:
    ends = events[events["kind"] != "loss_limit"]
    crossed = events[events["kind"] == "loss_limit"]["run_id"].nunique()
    first = f"{integer(ends['run_id'].nunique())} of {integer(len(judged))} runs met a NaN or an infinity."
    if ends.empty:
        first = f"None of {integer(len(judged))} runs met a NaN or an infinity."
    limit = "their loss limit (ten times the loss at the start or at chance) and went on"
    return f"{first} {integer(crossed)} crossed {limit}."


def _words() -> tuple[Definition, ...]:
    wanted = (
        ("gradient_norms", "preactivation_grad_norm"),
        ("gradient_norms", "weight_grad_norm"),
        ("loss_curves", "loss"),
        ("evaluations", "accuracy"),
    )
    return tuple(Definition(spoken(c), TABLES[t].columns[c].meaning, source=f"table {t}") for t, c in wanted)


def _thresholds(choice: RulesChoice) -> tuple[Definition, ...]:
    learned = choice.learned
    own = [
        Definition(
            spoken(rule.name), " ".join(QUANTITIES[c.measure].definition for c in rule.conditions),
            "; ".join(condition_text(c) for c in rule.conditions), rule.source,
        )
        for rule in choice.own.rules
    ]  # fmt: skip
    published = [Definition(title, differs, source=source) for title, source, differs in set_definitions(choice)]
    return (*own, *published, Definition("learned", learned.meaning, number(learned.learned_share), learned.source))


def _environment(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    pairs = [(name, str(version)) for name, version in manifest.versions.items()]
    pairs += [(spoken(name), str(value)) for name, value in manifest.machine.items()]
    pairs += [("started", manifest.started or "not yet"), ("ended", manifest.ended or "not yet")]
    pairs += [("seed", str(manifest.seed)), ("suite sha256", manifest.sha256[:16])]
    return tuple(pairs)
