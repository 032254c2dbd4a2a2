"""From tables and manifest to the page's view data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis import (
    RESPONSES,
    Outcome,
    Tables,
    judge,
    measurements,
    remedies,
    response,
    variance_shares,
)
from bench.report import charting
from bench.report.answer import answer
from bench.report.explorer import explorer
from bench.report.heatmap_charts import heatmaps
from bench.report.layout import line_layout, map_layout
from bench.report.lesson import lesson
from bench.report.levels import labelled, level_label, varied_axes
from bench.report.remedy_tables import remedy_grids, remedy_sentences
from bench.report.view import Count, Definition, Grid, Page
from bench.report.wording import condition_text, integer, listed, number, percent, plural, spoken
from bench.rules import MEASURES, RulesChoice, choose_rules
from bench.schema import TABLES

MOST_EVENT_ROWS = 40
MOST_EFFECTS = 8


def build_page(tables: Tables, manifest: Mapping[str, Any]) -> Page:
    """Everything that the page shows, computed from the tables."""
    choice = choose_rules(manifest.get("verdicts"))
    axes = varied_axes(tables["runs"], manifest)
    measured = measurements(tables)
    judged = labelled(judge(tables, choice, measured), axes)
    lines = line_layout(judged, axes)
    remedied = remedies(judged, [axis.factor for axis in axes], tables["timings"])
    events = tables["divergence_events"]
    return Page(
        suite=str(manifest["suite"]),
        title=str(manifest.get("title") or manifest["suite"]),
        question=str(manifest["question"]).strip(),
        answer=(*answer(judged, axes, choice), *remedy_sentences(remedied)),
        counts=_counts(judged, manifest),
        grids=(_factors(manifest),),
        effects=_effects(judged, [axis.factor for axis in axes]),
        remedies=remedy_grids(remedied),
        trainability=charting.trainability(judged, map_layout(judged, axes)),
        gradients=charting.gradient_flow(tables, judged, lines),
        losses=charting.losses(tables, judged, lines),
        divergence=charting.divergence(events, int(judged["depth"].astype(float).max())),
        events=_events(events, judged),
        explorer=explorer(tables, judged, axes, choice),
        lesson=lesson(judged, axes, remedied),
        heatmaps=heatmaps(tables, judged, lines),
        divergence_text=_divergence_text(events, judged),
        words=_words(),
        thresholds=_thresholds(choice),
        responses=tuple(
            Definition(r.name, r.definition, r.unit, f"table {r.table}; lost runs: {r.lost}") for r in RESPONSES
        ),
        suite_text=str(manifest["text"]),
        environment=_environment(manifest),
        reproduce=(str(manifest.get("command") or f"bench run {manifest['suite']}"),),
        remarks={"dry": "These numbers were made by formula, not by training."} if manifest.get("dry") else {},
    )


def _counts(judged: pd.DataFrame, manifest: Mapping[str, Any]) -> tuple[Count, ...]:
    status = judged["status"].value_counts()
    planned = int(manifest.get("planned", {}).get("runs", len(judged)))
    learned = int((judged["outcome"] == Outcome.LEARNED).sum())
    missing = f"{integer(planned - len(judged))} not run yet" if planned != len(judged) else ""
    return (
        Count("runs planned", planned, missing),
        Count("completed", int(status.get("completed", 0)), percent(int(status.get("completed", 0)), len(judged))),
        Count("diverged", int(status.get("diverged", 0)), percent(int(status.get("diverged", 0)), len(judged))),
        Count("failed", int(status.get("failed", 0)), percent(int(status.get("failed", 0)), len(judged))),
        Count("learned", learned, percent(learned, len(judged))),
    )


def _factors(manifest: Mapping[str, Any]) -> Grid:
    """What varied and what was held."""
    rows = [
        (spoken(name), "varied", ", ".join(map(level_label, levels))) for name, levels in manifest["factors"].items()
    ]
    rows += [(spoken(name), "fixed", level_label(level)) for name, level in manifest["fixed"].items()]
    planned = manifest.get("planned", {})
    note = f"{plural(int(planned.get('cells', 0)), 'cell')} × {plural(int(manifest['replicates']), 'replicate')}"
    return Grid("Factors and fixed settings", ("factor", "", "levels"), tuple(rows), note=note)


def _effects(judged: pd.DataFrame, varied: list[str]) -> Grid | None:
    """The terms that explain most of the variance of the final accuracy."""
    shares = variance_shares(judged, varied, response("final_validation_accuracy"))
    if shares.empty:
        return None
    last = len(shares) - 1
    rows = [
        (spoken(row.factors), f"{100 * row.share:.0f} %", f"{100 * row.lower:.0f}–{100 * row.upper:.0f} %")
        for row in shares.itertuples()
        if row.Index == last or row.Index < MOST_EFFECTS
    ]
    note = "every run counts; a lost one as chance"
    columns = ("factor, or two together", "share of variance", "leaving out a replicate")
    return Grid("What explains the final validation accuracy", columns, tuple(rows), (1, 2), note)


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
            spoken(rule.name), " ".join(MEASURES[c.measure].definition for c in rule.conditions),
            "; ".join(condition_text(c) for c in rule.conditions), rule.source,
        )
        for rule in choice.own.rules
    ]  # fmt: skip
    return (*own, Definition("learned", learned.meaning, number(learned.learned_share), learned.source))


def _environment(manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = [(name, str(version)) for name, version in manifest.get("versions", {}).items()]
    pairs += [(spoken(name), str(value)) for name, value in manifest.get("machine", {}).items()]
    pairs += [(name, str(manifest.get(name) or "not yet")) for name in ("started", "ended")]
    pairs += [("seed", str(manifest.get("seed"))), ("suite sha256", str(manifest.get("sha256", ""))[:16])]
    return tuple(pairs)
