"""Why one's own training ended as it did: the signs in its records and what the recorder found before the first step.

docs/rules.md, "Your own network", says which finding explains what, and which goes before which sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import Cause, Outcome, Signs, Tables, against, evidence, findings, helping, is_first, is_last
from bench.rules import learned_rule
from bench.schema import Tensor
from bench.text import number, plural

# By what is said of it, in the order of docs/rules.md.
CAUSES = {
    "nonfinite": "data that are not finite", "constant_answer": "an answer that cannot vary",
    "row_weights": "weights of rows out of range", "all_alike": "inputs that are all the same",
    "negative": "an answer that may be negative", "disconnected": "weights that no gradient reaches",
    "constant_loss": "a loss that cannot vary", "twice": "probabilities taken twice",
    "softmax_axis": "a softmax over another axis", "norm_of_one": "normalization over a single number",
    "epsilon": "an epsilon that float16 rounds to 0", "decay": "a weight decay that is too strong",
    "label_length": "labels longer than the answer",
    "half_weights": "weights kept in float16",
    "constraint": "a constraint that leaves no weights", "answer_dropped": "dropout of the answer itself",
    "smoothed": "labels smoothed away",
    "post_norm": "post-norm blocks without a warmup", "rate_fell": "a rate that fell early",
    "labels_beyond": "labels beyond the answer's units", "target_form": "targets of another form than the loss wants",
    "not_probabilities": "targets that are no probabilities", "tokens_beyond": "tokens beyond the embedding",
    "logits": "logits taken for probabilities", "out_of_reach": "targets out of the answer's reach",
    "batch_of_one": "normalization over a batch of one", "shapes": "shapes that broadcast",
    "constant_start": "weights that start alike", "other_classes": "validation of other classes",
    "absent_class": "classes that are not trained on", "other_scale": "validation of another scale",
    "input_scale": "inputs out of range", "outliers": "outliers in the data", "linear": "a linear network",
    "schedule": "a schedule that ends the rate", "dropped": "most units dropped", "frozen": "frozen layers",
    "class_shares": "one class nearly alone", "penalty": "penalties that outweigh the loss",
    "unbounded_cell": "a recurrent cell without bounds",
    "long_sequence": "perhaps a gradient that vanishes through time",
}  # fmt: skip
BOTH = (
    "nonfinite", "labels_beyond", "target_form", "not_probabilities", "tokens_beyond", "input_scale", "outliers",
    "row_weights", "negative", "label_length", "epsilon", "half_weights",
)  # fmt: skip
NO_LEARNING = (
    "all_alike", "disconnected", "constant_answer", "constant_loss", "logits", "twice", "softmax_axis", "out_of_reach",
    "norm_of_one", "decay", "constraint", "smoothed", "answer_dropped", "post_norm", "batch_of_one", "shapes",
    "constant_start", "other_classes", "absent_class", "other_scale", "penalty", "linear", "schedule", "dropped",
)  # fmt: skip
STALLS = ("rate_fell", "frozen", "class_shares", "long_sequence")
DIVERGES = ("unbounded_cell",)
SURE = (
    "nonfinite", "constant_answer", "constant_loss", "labels_beyond", "target_form", "not_probabilities",
    "tokens_beyond", "logits", "twice", "softmax_axis", "out_of_reach", "shapes",
)  # fmt: skip
FAR = 10.0  # of targets that are far from 0: their mean square over their variance
ROSE = 10.0  # a batch's loss over the first one's, where nobody knows what is usual
OF_GRADIENTS = (Cause.VANISHING, Cause.EXPLODING, Cause.UNDERFLOW)
FEW = 30  # steps
LAGS = 0.1  # of where an average started
IN_LOSS = "an epsilon within a logarithm, root or division of the loss; a crossentropy from_logits; a bound on exp"
IN_BETWEEN = "an epsilon within a logarithm, root or division, or a bound on what an exponential is given,"
MADE = (str(Tensor.PREACTIVATION), str(Tensor.ACTIVATION))
IN_GRADIENT = "an epsilon within a root, norm or division: their gradient at 0 is infinite though they are not"


@dataclass(frozen=True)
class Seen:
    """A cause in words, what is behind it, and what is known to help; `rule` is a sign's, None of a finding."""

    cause: str
    evident: str
    helps: str = ""
    rule: int | None = None

    def __str__(self) -> str:
        return f"{self.cause}, {self.evident}" if self.rule is not None else f"{self.cause}. {self.evident}"


def explained(
    run: pd.Series, own: Tables, facts: Mapping[str, Any], signs: pd.DataFrame | None = None
) -> tuple[str, list[Seen]]:
    """What became of a run of one's own, and what explains it, the first sign first: its page and `bench show` say it.

    Args:
        run: its row among the judged runs.
        own: its rows of each table.
        facts: what the recorder kept beside the tables.
        signs: `Signs.all` of tables that hold the run, if at hand.
    """
    outcome = outcome_of(run, own)
    signs = Signs(own).all() if signs is None else signs
    shown = named(findings(signs, str(run["run_id"]), outcome), own)
    return outcome, causes_seen(shown, pd.Series({**run, "outcome": outcome}), facts)


def named(signs: pd.DataFrame, own: Tables) -> pd.DataFrame:
    """The signs with the network's own names of layers."""
    names = own["gradient_norms"].drop_duplicates("layer_index").set_index("layer_index")["layer_name"].astype(str)
    layers = signs["layer"].map(lambda layer: names.get(layer, "") if pd.notna(layer) else "")
    return signs.assign(place=layers.where(layers != "", signs["place"]))


def outcome_of(run: pd.Series, own: Tables) -> str:
    """What became of a run; without validation rows, of its training rows: learned by one score, or not by any."""
    rows, losses = own["evaluations"], own["loss_curves"].sort_values("step")["loss"].dropna()
    judged = run["outcome"] != Outcome.UNMEASURED or (rows["split"] == "validation").any()
    if judged or pd.isna(run["naive_loss"]) or rows.empty or losses.empty:
        return str(run["outcome"])
    share, chance = learned_rule().learned_share, run["chance_accuracy"]
    accuracy = rows.sort_values("step")["accuracy"].iloc[-1]
    by_accuracy = pd.notna(accuracy) and pd.notna(chance)
    last = float(losses.iloc[-max(1, len(losses) // 10) :].mean())
    low, right = last <= (1.0 - share) * run["naive_loss"], by_accuracy and accuracy >= chance + share * (1.0 - chance)
    if right or (low and not by_accuracy):
        return str(Outcome.LEARNED)
    plain = pd.notna(run["dropout"]) and not run["dropout"] > 0  # which lowers scores of training mode
    return str(Outcome.NOT_LEARNED if plain and not low else run["outcome"])


def causes_seen(signs: pd.DataFrame, run: pd.Series, facts: Mapping[str, Any]) -> list[Seen]:
    """What explains how a run ended, the cause first.

    Args:
        signs: its signs, the first first, with the network's own names of layers.
        run: its row among the judged runs.
        facts: what the recorder kept beside the tables.
    """
    outcome, signs = str(run["outcome"]), _of_own(signs, run, facts)
    looked = facts.get("data")
    found = looked.get("findings", ()) if isinstance(looked, Mapping) else ()
    known = {str(row["cause"]) for _, row in signs.iterrows() if not is_last(row)}
    first, by_step, last = [], [], []
    for _, row in signs.iterrows():
        if is_first(row):
            first.append(_sign(row, run, facts))
        elif not is_last(row):
            by_step.append(_sign(row, run, facts))
        elif str(row["cause"]) not in known:
            last.append(_sign(row, run, facts))
    before = [_finding(each) for each in found if _explains(each, outcome)]
    stalls = [_finding(each) for each in found if each["kind"] in STALLS and outcome == Outcome.NOT_LEARNED]
    return [*before, *first, *by_step, *stalls, *_few_steps(run, outcome), *last]


def _few_steps(run: pd.Series, outcome: str) -> list[Seen]:
    steps = int(run["steps"]) if pd.notna(run.get("steps")) else FEW + 1
    if outcome != Outcome.NOT_LEARNED or steps > FEW:
        return []
    found = f"Training has {plural(steps, 'step')} in all, each an update of the weights."
    return [Seen("few steps in all", found, "Take more epochs, or smaller batches.")]


def _of_own(signs: pd.DataFrame, run: pd.Series, facts: Mapping[str, Any]) -> pd.DataFrame:
    """The signs without those that say nothing of one's own training; docs/rules.md, "Your own network", has each."""
    cause, value, layer = signs["cause"], signs["value"].astype(np.float64), signs["layer"]
    nothing, naive = pd.Series(False, signs.index), run["naive_loss"]
    ends = (run["final_train_loss"], run["final_validation_loss"])
    if pd.notna(naive) and any(each >= naive for each in ends):  # it falls towards an answer that looks at no input
        nothing |= cause == str(Cause.FEW_STEPS)
    far = facts.get("targets_square_over_variance")
    if far is not None and far < FAR:  # the loss is as large for another reason than the targets'
        nothing |= (cause == str(Cause.DATA)) & layer.isna() & (value < signs["threshold"])
    rising = (cause == str(Cause.RATE_LARGE)) & layer.isna()
    nothing |= rising & ~np.isfinite(value)
    if pd.isna(naive):  # batches differ
        nothing |= rising & (value < ROSE)
    if run["outcome"] != Outcome.DIVERGED:  # of a step that a loss scale skipped
        nothing |= (cause == str(Cause.EXPLODING)) & (value == np.inf)
    places = range(len(facts.get("layers", ())))
    frozen = set(places) - {each["row"] for each in facts.get("variables", ())}
    nothing |= cause.isin(list(map(str, OF_GRADIENTS))) & layer.isin(list(frozen))
    return signs[~nothing]


def _explains(finding: Mapping[str, Any], outcome: str) -> bool:
    kind = finding["kind"]
    if kind in ("input_scale", "outliers") and not finding.get("extreme"):
        return False
    if outcome == Outcome.UNMEASURED:
        return kind in SURE
    if outcome == Outcome.NOT_LEARNED:
        return kind in (*BOTH, *NO_LEARNING)
    if outcome == Outcome.DIVERGED and kind in DIVERGES:
        return True
    return kind in BOTH and outcome in (Outcome.DIVERGED, Outcome.FAILED)


def _finding(finding: Mapping[str, Any]) -> Seen:
    return Seen(CAUSES[finding["kind"]], str(finding["found"]), str(finding["remedy"]))


def _sign(row: pd.Series, run: pd.Series, facts: Mapping[str, Any]) -> Seen:
    cause, evident, helps = str(row["cause"]), evidence(row), helping(row, str(run.get("activation")))
    kept = facts.get("averages_of_start", 0.0)
    if cause == Cause.MEMORIZED and kept >= LAGS:
        return Seen(
            str(Cause.LAGGING),
            f"{evident}; the averages of batch normalization hold {number(kept)} of where they started",
            "a lower momentum of batch normalization, as 0.9; more steps",
            int(row["rule"]),
        )
    if cause in (Cause.NOT_FINITE, Cause.DIVERGED):
        before = facts.get("before", {}).get(str(row["place"])) if str(row["tensor"]) in MADE else None
        if before:
            return Seen(
                cause, f"{evident}; it is given what {before} made", f"{IN_BETWEEN} in {before}", int(row["rule"])
            )
        helps = {str(Tensor.LOSS): IN_LOSS, str(Tensor.GRADIENT): IN_GRADIENT}.get(str(row["tensor"]), helps)
    return Seen(cause, evident, helps, int(row["rule"]))


def known_to_help(seen: Sequence[Seen]) -> list[str]:
    """What helps: against a finding that comes first its remedy alone, else what helps against which signs, once."""
    if seen and seen[0].rule is None:
        return [seen[0].helps]
    return against((each.cause, each.helps) for each in seen if each.rule is not None)
