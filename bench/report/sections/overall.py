"""How runs ended, and what their gradients at the start had to do with it: the sentences behind the answer."""

from __future__ import annotations

import math

import pandas as pd

from bench.analysis import Outcome, Symptom
from bench.analysis.learned import learned_loss, loss_decides, naive_is_known, named_loss
from bench.analysis.recurrent import layered, recurrent
from bench.analysis.through_time import EXPLODING, IN_TIME, VANISHING
from bench.analysis.verdicts import first_gradients
from bench.report.blocks import Sentence, based
from bench.rules import LearnedRule, RulesChoice, RuleSet
from bench.text import integer, number, of, percent, plural


def overall(judged: pd.DataFrame, choice: RulesChoice) -> tuple[Sentence, ...]:
    """How many runs learned, and how that goes with the gradient at initialization."""
    alone = first_gradients(judged)
    trained = judged[~alone]
    if trained.empty:
        text = f"All {plural(len(judged), 'run')} made one update, for the gradient before it: none was to learn."
        return (Sentence(text, "", "#gradients"), *_signal(judged[layered(judged)], choice.own), *_in_time(judged))
    return (
        _overall(trained, choice.learned, int(alone.sum())),
        *_one_answer(trained),
        *_signal(trained[layered(trained)], choice.own),
        *_in_time(trained),
    )


def _overall(judged: pd.DataFrame, learned_rule: LearnedRule, alone: int) -> Sentence:
    total = len(judged)
    count = judged["outcome"].value_counts()
    learned, diverged, failed, unknown = (
        int(count.get(o, 0)) for o in (Outcome.LEARNED, Outcome.DIVERGED, Outcome.FAILED, Outcome.UNMEASURED)
    )
    rest = total - learned - diverged - failed - unknown
    lost = f"{integer(diverged)} left the finite numbers{f' and {integer(failed)} failed' if failed else ''}."
    said = f"{of(learned, total, 'run')} learned ({percent(learned, total)})"
    text = f"{said}; {integer(rest)} ended without learning, {lost}"
    if unknown and not learned + rest:
        text = f"No accuracy was recorded of {of(unknown, total, 'run')}: whether they learned is not known. {lost}"
    elif unknown:
        text += f" Of {integer(unknown)} no accuracy was recorded: whether they learned is not known."
    if alone:
        text += f" {integer(alone)} more made one update, for the gradient before it."
    return Sentence(text, _learned(judged, learned_rule), "#map")


def _learned(judged: pd.DataFrame, rule: LearnedRule) -> str:
    """From which score a run counts as learned, with the score of the best constant answer."""
    share = rule.learned_share
    by_loss = loss_decides(judged)
    accuracies = judged["chance_accuracy"].mask(by_loss).groupby(judged["dataset"], observed=True).max().dropna()
    said = []
    if len(accuracies) or not by_loss.any():
        whose = "best constant answer's" if naive_is_known(judged) else "untrained networks' (all that was kept)"
        said.append(
            f"final validation accuracy at least {share:g} of the way from the {whose}{_range(accuracies)} to 1"
        )
    values = judged[by_loss]
    shared = values[named_loss(values).isna()]
    if len(shared):
        left = _range(learned_loss(shared, rule) / shared["naive_loss"]).strip(", ")
        losses = shared.groupby("dataset", observed=True)["naive_loss"].max()
        said.append(f"final validation loss at most {left} of the best constant answer's{_range(losses).rstrip(',')}")
    if len(shared) < len(values):
        said.append(f"on text final validation loss at most {bigram_words(values)}")
    return f"learned: {'; where the loss decides, '.join(said)}"


def bigram_words(runs: pd.DataFrame) -> str:
    """Which loss text must reach, and what it is; empty where the runs are on other data."""
    named = named_loss(runs).dropna()
    return "" if named.empty else f"{number(float(named.iloc[0]))} nat, the entropy of a character given the one before"


def _range(values: pd.Series) -> str:
    """`, 0.11,`, or `, 0.11 to 0.4,`."""
    known = values.dropna()
    ends = dict.fromkeys(number(float(each)) for each in (known.min(), known.max())) if len(known) else {}
    return f", {' to '.join(ends)}," if ends else ""


def _one_answer(judged: pd.DataFrame) -> list[Sentence]:
    """How many networks collapsed to one answer, which may look accurate where classes are unequal."""
    ended = judged[judged["outcome"] == Outcome.NOT_LEARNED]
    collapsed = ended[ended["largest_answer_share_end"] >= 1.0]
    if collapsed.empty:
        return []
    accuracy = _range(collapsed["final_validation_accuracy"]).strip(", ")
    text = (
        f"{of(len(collapsed), len(ended), 'run')} that ended without learning collapsed to one answer for every input: "
        f"their accuracy, {accuracy}, is that of a constant."
    )
    return [Sentence(text, "one answer: at the last recorded step every validation sample is given the same class")]


SIGNAL = {
    Symptom.VANISHING: "whose gradient vanishes", Symptom.HEALTHY: "whose gradient neither vanishes nor explodes",
    Symptom.EXPLODING: "whose gradient explodes", Symptom.COLLAPSED: "whose samples are alike",
}  # fmt: skip


def _signal(judged: pd.DataFrame, rules: RuleSet) -> list[Sentence]:
    """Whether the gradient at initialization told what would become of a run."""
    limit = {rule.name: rule.conditions[0].threshold for rule in rules.rules}
    parts = []
    for symptom, name in SIGNAL.items():
        runs = judged[judged["symptom_start"] == symptom]
        if len(runs):
            learned = int((runs["outcome"] == Outcome.LEARNED).sum())
            parts.append(f"{of(learned, len(runs), 'run')} {name} at initialization learned.")
    outcomes = set(judged["outcome"])
    if not parts or (Outcome.UNMEASURED in outcomes and not outcomes & {Outcome.LEARNED, Outcome.NOT_LEARNED}):
        return []
    rule = (
        f"log10 of the first hidden layer's pre-activation gradient norm over the last's, at the first recorded step: "
        f"vanishing below {number(limit['vanishing'])}, exploding above {number(limit['exploding'])}; "
        f"collapsed: samples' mean cosine above 1 − {number(limit['collapsed'])} in the last hidden layer"
    )
    sentences = list(based([Sentence(part, "", "#gradients") for part in parts], rule))
    ratio = judged["signal_ratio_start"].dropna()
    if len(ratio):
        ends = [_times(float(ratio.quantile(q, interpolation="nearest"))) for q in (0.0, 1.0, 0.25, 0.75)]
        text = f"From the last hidden layer to the first, that gradient changes by {ends[0]} to {ends[1]}"
        text += f"; for half of the runs by {ends[2]} to {ends[3]}." if len(set(ends)) > 1 else "."
        basis = f"the same ratio over {plural(len(ratio), 'run')} in which it was measured"
        sentences.append(Sentence(text, basis, "#gradients"))
    return sentences


def _in_time(judged: pd.DataFrame) -> list[Sentence]:
    """Whether the gradient along time at initialization told what would become of a recurrent run."""
    if IN_TIME not in judged:
        return []
    own, parts = judged[recurrent(judged)], []
    for symptom, name in ((VANISHING, "vanishes"), (EXPLODING, "explodes"), (None, "neither vanishes nor explodes")):
        runs = own[own[IN_TIME].isna() if symptom is None else own[IN_TIME] == symptom]
        learned = int((runs["outcome"] == Outcome.LEARNED).sum())
        if len(runs):
            parts.append(
                f"{of(learned, len(runs), 'run')} whose gradient {name} through time at initialization learned."
            )
    rule = (
        "gradient for the state nearest the loss by lag, at the first recorded step: vanishing where less than 1 % of "
        "that at lag 0 reaches the first time step, exploding where some lag has 100 times as much"
    )
    return list(based([Sentence(part, "", "#time") for part in parts], rule))


def _times(decades: float) -> str:
    """A power of ten as a factor: `÷ 30,000`, `× 12`; nothing is left at −∞."""
    if not math.isfinite(decades):
        return "÷ ∞" if decades < 0.0 else "× ∞"
    factor = number(10.0 ** min(abs(decades), 300.0), 2)
    return f"÷ {factor}" if decades < 0.0 and factor != "1" else f"× {factor}"
