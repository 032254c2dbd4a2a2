"""The answer to the suite's question: sentences with counts, each with the rule behind it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis import Outcome, Symptom, matched
from bench.report.layout import by_effect
from bench.report.levels import Axis
from bench.report.view import Sentence
from bench.report.wording import decades, integer, listed, of, percent, plural, spoken
from bench.rules import LearnedRule, RulesChoice, RuleSet

MOST_FACTORS = 5


def answer(judged: pd.DataFrame, axes: Sequence[Axis], choice: RulesChoice) -> tuple[Sentence, ...]:
    """How many runs learned, which factor decided, and what the gradients at the start had to do with it."""
    by_factor = [_factor(judged, axis, axes) for axis in by_effect(judged, axes)[:MOST_FACTORS]]
    said = [text for text in by_factor if text]
    basis = "on equal terms: only combinations of the other factors in which every level was run"
    factors = [Sentence(text, basis if text is said[-1] else "") for text in said]
    return (_overall(judged, choice.learned), *_signal(judged, choice.own), *factors)


def _overall(judged: pd.DataFrame, learned_rule: LearnedRule) -> Sentence:
    total = len(judged)
    count = judged["outcome"].value_counts()
    learned, diverged, failed = (int(count.get(o, 0)) for o in (Outcome.LEARNED, Outcome.DIVERGED, Outcome.FAILED))
    rest = total - learned - diverged - failed
    text = (
        f"{of(learned, total)} runs learned ({percent(learned, total)}). {integer(rest)} ended without learning, "
        f"{integer(diverged)} left the finite numbers" + (f", {integer(failed)} failed." if failed else ".")
    )
    share = learned_rule.learned_share
    return Sentence(text, f"learned: final validation accuracy at least {share:g} of the way from chance to 1")


def _signal(judged: pd.DataFrame, rules: RuleSet) -> list[Sentence]:
    """Whether the gradient at initialization told what would become of a run."""
    limit = {rule.name: rule.conditions[0].threshold for rule in rules.rules}
    parts = []
    for symptom in (Symptom.VANISHING, Symptom.HEALTHY, Symptom.EXPLODING, Symptom.COLLAPSED):
        runs = judged[judged["symptom_start"] == symptom]
        if len(runs):
            learned = int((runs["outcome"] == Outcome.LEARNED).sum())
            parts.append(f"{symptom}: {of(learned, len(runs))}")
    if not parts:
        return []
    rule = (
        f"log10 of the first hidden layer's pre-activation gradient norm over the last's, at the first recorded step: "
        f"vanishing below {limit['vanishing']:g}, exploding above {limit['exploding']:g}; "
        f"collapsed: samples' mean cosine above 1 − {limit['collapsed']:g} in the last hidden layer"
    )
    sentences = [Sentence(f"Runs that learned, by the gradient at initialization – {listed(parts)}.", rule)]
    ratio = judged["first_to_last_start"].dropna()
    if len(ratio):
        quarter, three_quarters = (float(ratio.quantile(q, interpolation="nearest")) for q in (0.25, 0.75))
        text = (
            f"From the last hidden layer back to the first, that gradient changed by {decades(float(ratio.min()))} to "
            f"{decades(float(ratio.max()))} decades; half of the runs lie between "
            f"{decades(quarter)} and {decades(three_quarters)}."
        )
        sentences.append(Sentence(text, f"the same ratio over {plural(len(ratio), 'run')} in which it was measured"))
    return sentences


def _factor(judged: pd.DataFrame, axis: Axis, axes: Sequence[Axis]) -> str:
    """The share of runs that learned for each level of a factor, on equal terms."""
    runs = matched(judged, axis.factor, [other.factor for other in axes if other is not axis])
    if runs.empty:
        return ""
    learned = (runs["outcome"] == Outcome.LEARNED).groupby(runs[axis.factor], observed=True).agg(["sum", "size"])
    if not axis.numeric:
        learned = learned.sort_values("sum", ascending=False, kind="stable")
    shares = [f"{level}: {percent(int(row['sum']), int(row['size']))}" for level, row in learned.iterrows()]
    sizes = sorted(set(learned["size"].astype(int)))
    each = f"{integer(sizes[0])} runs each" if len(sizes) == 1 else f"{integer(sizes[0])} to {integer(sizes[-1])} runs"
    return f"Runs that learned, by {spoken(axis.factor)} – {listed(shares, most=12)} ({each})."
