"""How runs ended and what their gradients at the start had to do with it: sentences with counts and rules."""

from __future__ import annotations

import pandas as pd

from bench.analysis import Outcome, Symptom
from bench.report.view import Sentence
from bench.rules import LearnedRule, RulesChoice, RuleSet
from bench.text import decades, integer, listed, number, of, percent, plural


def overall(judged: pd.DataFrame, choice: RulesChoice) -> tuple[Sentence, ...]:
    """How many runs learned, and how that goes with the gradient at initialization."""
    return (_overall(judged, choice.learned), *_signal(judged, choice.own))


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
    return Sentence(text, f"learned: final validation accuracy at least {share:g} of the way from chance to 1", "#map")


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
        f"vanishing below {number(limit['vanishing'])}, exploding above {number(limit['exploding'])}; "
        f"collapsed: samples' mean cosine above 1 − {number(limit['collapsed'])} in the last hidden layer"
    )
    sentences = [
        Sentence(f"Runs that learned, by the gradient at initialization – {listed(parts)}.", rule, "#gradients")
    ]
    ratio = judged["signal_ratio_start"].dropna()
    if len(ratio):
        quarter, three_quarters = (float(ratio.quantile(q, interpolation="nearest")) for q in (0.25, 0.75))
        text = (
            f"From the last hidden layer back to the first, that gradient changed by {decades(float(ratio.min()))} to "
            f"{decades(float(ratio.max()))} decades; half of the runs lie between "
            f"{decades(quarter)} and {decades(three_quarters)}."
        )
        sentences.append(Sentence(text, f"the same ratio over {plural(len(ratio), 'run')} in which it was measured"))
    return sentences
