"""What the explorer holds: every run with its levels, verdicts and responses, every cell, and bounded curves.

The numbers are columns, not rows, and small whole numbers where they index a list. Layers × steps, losses and
accuracies are thinned so that all runs together stay within `MOST_VALUES`, then kept in hundredths of a decade (or of
a percent) as 16-bit integers: a page of ten thousand runs stays small, one of a few hundred shows every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import Outcome, estimate
from bench.analysis.causes import ON_THE_WAY, RULES, Cause
from bench.analysis.comparison import factor_columns
from bench.analysis.events import places
from bench.analysis.parts import is_transformer, row_unit
from bench.analysis.recurrent import layered
from bench.analysis.similar import Became, became
from bench.analysis.through_time import TABLE as TIME
from bench.factors import without_use
from bench.quantities import EXPLORED, quantity
from bench.report.axes import Axis, level_label
from bench.report.blocks import Block, Section
from bench.report.frames import Frames
from bench.report.traces import Traces, traces
from bench.rules import Symptom
from bench.schema import ASKED
from bench.text import number, spoken

CELL_RESPONSES = ("signal_ratio_start", "final_validation_accuracy")
DIGITS = 4
MANY_RUNS, MOST_SIGNS, FEW_SIGNS = 2000, 6, 2
ALONG_TIME = ("time_ratio_start", "time_ratio_end", "horizon_start", "horizon_end")
OF_DEPTH = (EXPLORED[1], "signal_ratio_start", "signal_ratio_end", "decay_rate_start", "decay_rate_end")


@dataclass(frozen=True)
class Explorer(Block):
    """The explorer's data: plain lists and dictionaries, and the curves beside them."""

    data: dict[str, Any]
    traces: Traces


def section(frames: Frames) -> Section:
    """Everything that the page needs to filter, sort and look into runs."""
    judged, axes, choice = frames.labelled, frames.axes, frames.choice
    ordered = judged.sort_values(frames.varied, kind="stable") if axes else judged
    cells = ordered["cell_key"].drop_duplicates().tolist()
    found = traces(frames.tables, judged)
    responses = (ALONG_TIME[0], EXPLORED[1]) if "lag" in found.structures else CELL_RESPONSES
    data = {
        "factors": [{"name": a.factor, "title": spoken(a.factor), "levels": list(a.levels)} for a in axes],
        "fixed": _fixed(judged, frames.varied),
        "outcomes": [each.value for each in Outcome],
        "symptoms": [each.value for each in Symptom],
        "sets": [{"name": rules.name, "title": rules.title} for rules in choice.sets[1:]],
        "responses": [_response(name) for name in _explored(frames)],
        "runs": _runs(frames, cells) | _ends(frames),
        "cells": _cells(ordered, axes, cells, responses),
        "events": _events(frames.tables["divergence_events"], judged),
        "baseline": frames.recipes.baseline,
        "score": _score(frames),
        "scripts": not frames.manifest.dry,
        "became": [each.value for each in Became],
        "signs": _signs(frames),
        "structures": found.structures,
        "unit": {"layer": "hidden layer"}.get(row_unit(frames.plain), row_unit(frames.plain)),
    }
    return Section("explorer", "Explorer", "Explorer", (Explorer(data, found),), template="explorer.html.j2")


def _response(name: str) -> dict[str, str]:
    spec = quantity(name)
    return {"name": name, "title": spoken(name), "unit": spec.unit, "definition": spec.definition}


def _fixed(judged: pd.DataFrame, varied: Sequence[str]) -> list[list[str]]:
    """The levels that every run has in common, but for factors that no network here has a use for."""
    first, left_out = judged.iloc[0], {*varied, *without_use(judged["architecture"].unique())}
    return [[spoken(name), level_label(first[name])] for name in factor_columns(judged) if name not in left_out]


def _explored(frames: Frames) -> list[str]:
    """The responses, those that the scatter opens with first: of one recurrent layer what happens along time."""
    known = [name for name in EXPLORED if name in frames.labelled]
    if not len(frames.tables.get(TIME, ())):
        return known
    if layered(frames.plain).any():
        return [*known, *ALONG_TIME]
    return [ALONG_TIME[0], EXPLORED[1], *ALONG_TIME[1:], *(name for name in known if name not in OF_DEPTH)]


def _runs(frames: Frames, cells: Sequence[str]) -> dict[str, Any]:
    judged, axes, choice = frames.labelled, frames.axes, frames.choice
    symptom = {each.value: k for k, each in enumerate(Symptom)}
    outcome = {each.value: k for k, each in enumerate(Outcome)}
    verdicts = {"symptom_start": "symptom_start", "symptom_end": "symptom_end"}
    verdicts |= {rules.name: f"verdict_{rules.name}" for rules in choice.sets[1:]}
    errors = judged["error"] if "error" in judged else pd.Series(None, index=judged.index, dtype=object)
    return {
        "id": judged["run_id"].astype(str).tolist(),
        "cell": pd.Index(cells).get_indexer(judged["cell_key"]).tolist(),
        "replicate": judged["replicate"].astype(int).tolist(),
        "levels": {axis.factor: judged[axis.factor].cat.codes.tolist() for axis in axes},
        "outcome": judged["outcome"].map(outcome).astype(int).tolist(),
        "verdicts": {name: judged[column].map(symptom).astype(int).tolist() for name, column in verdicts.items()},
        "responses": {name: _numbers(judged[name]) for name in _explored(frames)},
        "errors": {str(k): str(text) for k, text in enumerate(errors) if isinstance(text, str)},
    }


def _ends(frames: Frames) -> dict[str, Any]:
    """What became of each run, its score, and the cause of one that ended badly."""
    runs = frames.recipes.runs
    order = {each: place for place, each in enumerate(Became)}
    causes = frames.causes.set_index("run_id")["cause"].reindex(runs["run_id"].astype(str))
    return {
        "became": became(runs).map(order).astype(int).tolist(),
        "score": _numbers(runs["score"]),
        "cause": pd.Index(_causes(_rules(frames))).get_indexer(causes).tolist(),
    }


def _score(frames: Frames) -> dict[str, Any]:
    """What runs are compared by, and from where on one trains, where that is one number."""
    values, bars = bool(frames.recipes.runs["values"].all()), [*frames.recipes.bar.values()]
    bar = f", trains with {'at most' if values else 'at least'} {number(bars[0])}" if len(bars) == 1 else ""
    return {"title": f"validation {'loss' if values else 'accuracy'}", "bar": bar, "least": values}


def _rules(frames: Frames) -> list[int]:
    """The rules on causes that were asked: those on time, on heads or on tokens where there are any."""
    tokens = bool(is_transformer(frames.plain).any())
    return [
        index
        for index, rule in enumerate(RULES)
        if (rule.table not in ASKED or len(frames.tables.get(rule.table, ())))
        and (rule.cause != Cause.TOKENS_ALIKE or tokens)
    ]


def _causes(rules: Sequence[int]) -> list[str]:
    """Those that a rule names, in the order of the words, and those that need none."""
    named = {rule.cause for rule in RULES} - {RULES[index].cause for index in rules}
    return [str(each) for each in Cause if each not in named]


def _signs(frames: Frames) -> dict[str, Any]:
    """Where rules on causes hold, the cause of each run first: at most `MOST_SIGNS` a run, of many runs fewer."""
    found = frames.signs.all()
    most = MOST_SIGNS if len(frames.labelled) <= MANY_RUNS else FEW_SIGNS
    found = found[found.groupby("run_id").cumcount() < most]
    learned = frames.labelled.set_index("run_id")["outcome"].reindex(found["run_id"]).eq(Outcome.LEARNED).to_numpy()
    found = found[~learned | found["rule"].isin(ON_THE_WAY).to_numpy()]
    tensors, rules = pd.Index(found["tensor"].dropna().unique()), _rules(frames)
    named = pd.Index(found.loc[found["place"] != "", "place"].astype(str).unique())
    return {
        "causes": _causes(rules),
        "rules": [{"cause": str(RULES[index].cause), "said": RULES[index].said} for index in rules],
        "tensors": tensors.astype(str).tolist(),
        "run": pd.Index(frames.labelled["run_id"]).get_indexer(found["run_id"]).tolist(),
        "rule": pd.Index(rules).get_indexer(found["rule"]).tolist(),
        "step": found["step"].astype(int).tolist(),
        "places": named.tolist(),
        "place": named.get_indexer(found["place"].astype(str)).tolist(),
        "value": _numbers(found["value"]),
        "threshold": _numbers(found["threshold"]),
        "tensor": tensors.get_indexer(found["tensor"]).tolist(),
    }


def _cells(
    judged: pd.DataFrame, axes: Sequence[Axis], cells: Sequence[str], responses: Sequence[str]
) -> dict[str, Any]:
    """One entry a cell: its levels, how its runs ended, and medians in which every run counts."""
    by_cell = judged.groupby("cell_key", sort=False, observed=True)
    first = by_cell.head(1)
    outcomes = pd.crosstab(judged["cell_key"], judged["outcome"]).reindex(index=list(cells)).fillna(0).astype(int)
    medians = {
        name: estimate(judged, quantity(name), ["cell_key"]).set_index("cell_key").reindex(list(cells))["median"]
        for name in responses
    }
    return {
        "key": list(cells),
        "levels": {axis.factor: first[axis.factor].cat.codes.tolist() for axis in axes},
        "runs": by_cell.size().reindex(list(cells)).astype(int).tolist(),
        "outcomes": {each.value: outcomes[each.value].tolist() for each in Outcome if each.value in outcomes},
        "medians": {name: _numbers(values) for name, values in medians.items()},
    }


def _events(events: pd.DataFrame, judged: pd.DataFrame) -> dict[str, Any]:
    run = pd.Index(judged["run_id"]).get_indexer(events["run_id"].astype(str))
    return {
        "run": run.tolist(),
        "step": events["step"].astype(int).tolist(),
        "kind": events["kind"].astype(str).tolist(),
        "place": places(events, judged),
    }


def _numbers(values: pd.Series) -> list[float | str | None]:
    """Rounded to `DIGITS` significant digits; None where not measured, an infinity as text."""
    array = values.to_numpy(np.float64, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where((array == 0.0) | ~np.isfinite(array), 0.0, np.floor(np.log10(np.abs(array))))
    exponent = np.clip(exponent, -300.0, 300.0)  # 10 to a larger power has no number
    scale = 10.0 ** (DIGITS - 1 - exponent)
    rounded = np.where(np.isfinite(array), np.round(array * scale) / scale, array)
    return [_plain(value) for value in rounded.tolist()]


def _plain(value: float) -> float | str | None:
    if value != value:
        return None
    if value in (np.inf, -np.inf):
        return "inf" if value > 0 else "-inf"
    return value
