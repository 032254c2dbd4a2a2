"""Why a run ended badly: ordered rules over all of its records, the first that applies with layer, step and number.

Symptoms of `verdicts` compare the first hidden layer with the last at one moment. These look at every layer and
recorded step, and at absolute size. docs/rules.md has every rule and threshold; `signs` finds where they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import pandas as pd

from bench.analysis import among_tokens, half_precision, signs
from bench.analysis.parts import places_of
from bench.analysis.records import LARGE_VALUES, Records, first_rows, probed
from bench.analysis.tables import Tables
from bench.analysis.through_time import GROWN, LEFT_DECADES
from bench.analysis.verdicts import Outcome
from bench.text import listed, number

COLUMNS = ("run_id", "cause", "layer", "step", "value", "threshold")

# What the rules ask of the tables with layers; of folders without a column its rule is not asked.
READ = {
    "activations": (
        "mean", "std", "unit_std", "preactivation_mean_square", "dead_fraction", "nonpositive_fraction",
        "saturated_fraction", "pair_correlation", "token_distance",
    ),
    "gradient_norms": (
        "layer_name", "preactivation_grad_norm", "weight_norm", "update_norm", "weight_grad_zero_fraction",
        "weight_grad_mean_abs",
    ),
}  # fmt: skip


class Cause(StrEnum):
    """Why a run ended badly, in words that fit into a sentence."""

    LAGGING = "lagging moving averages"
    MEMORIZED = "memorized training rows"
    OVERFLOW_HALF = "float16 overflow"
    NOT_FINITE = "non-finite numbers from the start"
    DATA = "data out of range"
    RATE_LARGE = "rate too large"
    IDENTICAL = "identical units"
    DEAD = "dead units"
    SATURATED = "saturated units"
    BLOWN = "values too large at the start"
    ONE_KEY = "attention on one key"
    TOKENS_ALIKE = "tokens alike"
    SKIPPED = "skipped steps"
    UNDERFLOW_HALF = "gradient underflow in float16"
    UNDERFLOW = "gradient underflow"
    VANISHING = "vanishing gradient"
    EXPLODING = "exploding gradient"
    EXPLODING_IN_TIME = "gradient explodes through time"
    DECAYED = "weights decayed away"
    COLLAPSED = "samples alike"
    DIVERGED = "left the finite numbers"
    CLIPPED = "gradient clipped away"
    RATE_SMALL = "rate too small"
    MAJORITY = "majority answer"
    FEW_STEPS = "too few steps"
    VANISHING_IN_TIME = "gradient vanishes through time"
    ONE_ANSWER = "one answer for every input"
    FAILED = "failed with an error"
    UNKNOWN = "no known cause"


class Stage(IntEnum):
    """When a rule is asked."""

    FIRST = 0  # before all others: whatever else was seen, training itself worked
    BY_STEP = 1  # the earliest sign is the cause; of signs at one look at the activations, the first rule's
    LAST = 2  # where nothing else was seen


@dataclass(frozen=True)
class Rule:
    """One rule: how it finds its sign, in which table, at which threshold, and how the sign is said."""

    cause: Cause
    stage: Stage
    table: str
    find: Callable[[Records, float], pd.DataFrame]
    threshold: float
    said: str  # with {value} and {threshold}
    helps: str = ""  # what is known to help, as levels of a suite


def _first(table: str, column: str, *, start: bool = False, over: str = "") -> Callable[[Records, float], pd.DataFrame]:
    def find(records: Records, threshold: float) -> pd.DataFrame:
        return first_rows(records.rows(table), column, threshold, start=start, over=over)

    return find


_UPDATE, _ZEROS = ("gradient_norms", "update_norm"), ("gradient_norms", "weight_grad_zero_fraction")
_ACTIVE = "activations"
_RESCALED = "preprocessing standardize; target_preprocessing standardize"
_LOWER = "a learning_rate of a tenth; warmup linear; clipping global_norm"
_KEPT = "skip connections; batch normalization; initializer he_normal with relu, glorot_normal with tanh"
_ALIVE = "activation leaky_relu, elu or gelu; initializer he_normal; a lower learning_rate"
_WITHIN = "activation relu or gelu; initializer glorot_normal with tanh; batch normalization"
_WIDER = "precision mixed_bfloat16, or float32; where it is a gradient alone, loss_scale dynamic"

# In the order in which they are asked at each step.
RULES: tuple[Rule, ...] = (
    Rule(Cause.LAGGING, Stage.FIRST, "evaluations", signs.lagging, 2.0,
         "loss in inference mode over training mode {value} (at least {threshold})"),
    Rule(Cause.MEMORIZED, Stage.FIRST, "evaluations", signs.memorized, 2.0,
         "loss on validation over training rows {value} (at least {threshold})"),
    Rule(Cause.OVERFLOW_HALF, Stage.BY_STEP, _ACTIVE, half_precision.overflowed_at_start, np.nan,
         "{tensor} beyond 65504", _WIDER),
    Rule(Cause.NOT_FINITE, Stage.BY_STEP, _ACTIVE, signs.not_finite, np.nan, "{tensor} not finite"),
    Rule(Cause.DATA, Stage.BY_STEP, "loss_curves", signs.targets_out_of_range, 10.0,
         "standard deviation of the targets {value} (at most {threshold}, or far from 0)", _RESCALED),
    Rule(Cause.DATA, Stage.BY_STEP, "gradient_norms", signs.inputs_out_of_range, 30.0,
         "root mean square of the inputs about {value} (at most {threshold})", _RESCALED),
    Rule(Cause.RATE_LARGE, Stage.BY_STEP, "loss_curves", signs.rising, 2.0,
         "training loss {value} times its start or the constant answer's (at least {threshold})", _LOWER),
    Rule(Cause.IDENTICAL, Stage.BY_STEP, _ACTIVE, signs.identical, 1e-6,
         "spread between units over their size {value} (at most {threshold})",
         "an initializer that draws each unit apart: glorot_uniform, he_normal"),
    Rule(Cause.DEAD, Stage.BY_STEP, _ACTIVE, signs.dead, 0.9,
         "share of units with slope 0 on every sample {value} (at least {threshold})", _ALIVE),
    Rule(Cause.SATURATED, Stage.BY_STEP, _ACTIVE, _first(_ACTIVE, "saturated_fraction"), 0.9,
         "share of units and samples saturated {value} (at least {threshold})", _WITHIN),
    Rule(Cause.BLOWN, Stage.BY_STEP, _ACTIVE, Records.blown, LARGE_VALUES,
         "root mean square of the pre-activations {value} (at least {threshold})"),
    Rule(Cause.BLOWN, Stage.BY_STEP, "loss_curves", signs.loss_too_large, 10.0,
         "loss {value} times the best constant answer's (at least {threshold})"),
    Rule(Cause.ONE_KEY, Stage.BY_STEP, among_tokens.TABLE, among_tokens.one_key, 0.1,
         "entropy of the attention over the largest possible {value} (at most {threshold})",
         "query_key layer_normalized, l2_normalized or sigma_reparam; attention_gain below 1; warmup"),
    Rule(Cause.TOKENS_ALIKE, Stage.BY_STEP, _ACTIVE, among_tokens.tokens_alike, 1e-3,
         "1 less the mean cosine of two tokens {value} (below {threshold})",
         "block pre_norm or damped; sublayers both; fewer blocks"),
    Rule(Cause.SKIPPED, Stage.BY_STEP, "loss_curves", half_precision.skipping, 0.5,
         "share of steps that the loss scale skipped {value} (at least {threshold})",
         "precision mixed_bfloat16, or float32"),
    Rule(Cause.UNDERFLOW_HALF, Stage.BY_STEP, "gradient_norms", half_precision.underflowed, 0.5,
         "share of exact zeros in the kernel's gradient {value} (at least {threshold}), from this layer down",
         "loss_scale dynamic, or fixed at a larger initial_scale; precision mixed_bfloat16"),
    Rule(Cause.UNDERFLOW, Stage.BY_STEP, "gradient_norms", _first(*_ZEROS, start=True), 1.0,
         "share of exact zeros in the kernel's gradient {value} (at least {threshold})"),
    Rule(Cause.VANISHING, Stage.BY_STEP, "gradient_norms", signs.ratios, -1.5,
         "{value} decades from the last hidden layer to the first (below {threshold}, passed here)", _KEPT),
    Rule(Cause.EXPLODING, Stage.BY_STEP, "gradient_norms", signs.ratios, 1.75,
         "{value} decades from the last hidden layer to the first (above {threshold}, passed here)",
         f"clipping global_norm; {_KEPT}"),
    Rule(Cause.EXPLODING_IN_TIME, Stage.BY_STEP, "time_gradients", signs.grown, GROWN,
         "{value} decades from lag 0 to {tensor} (above {threshold})",
         "clipping; recurrent_initializer orthogonal with a gain of 1 or less; cell lstm or gru"),
    Rule(Cause.DECAYED, Stage.BY_STEP, "gradient_norms", signs.decayed, 0.01,
         "largest share that any kernel's norm has of its first {value} (at most {threshold})",
         "regularization none, or a strength of a hundredth"),
    Rule(Cause.COLLAPSED, Stage.BY_STEP, _ACTIVE, signs.collapsed, 1e-3,
         "1 less the mean cosine of two samples {value} (below {threshold})", _KEPT),
    Rule(Cause.RATE_LARGE, Stage.BY_STEP, "gradient_norms", _first(*_UPDATE, over="weight_norm"), 0.5,
         "update over weights {value} (at least {threshold})", _LOWER),
    Rule(Cause.OVERFLOW_HALF, Stage.LAST, "divergence_events", half_precision.overflowed, np.nan,
         "{tensor} beyond 65504", _WIDER),
    Rule(Cause.DIVERGED, Stage.LAST, "divergence_events", signs.diverged, np.nan, "{tensor} not finite"),
    Rule(Cause.UNDERFLOW, Stage.LAST, "gradient_norms", _first(*_ZEROS), 1.0,
         "share of exact zeros in the kernel's gradient {value} (at least {threshold})"),
    Rule(Cause.SATURATED, Stage.LAST, _ACTIVE, _first(_ACTIVE, "saturated_fraction"), 0.8,
         "share of units and samples saturated {value} (at least {threshold})"),
    Rule(Cause.CLIPPED, Stage.LAST, "gradient_norms", signs.clipped_away, 1e-2,
         "largest share that clipping left of a gradient {value} (at most {threshold}), and no kernel moved",
         "clipping none, or a threshold near the gradient's norm"),
    Rule(Cause.RATE_SMALL, Stage.LAST, "gradient_norms", signs.still, signs.STILL,
         "largest update over weights of any step {value} (below {threshold})", "a learning_rate ten times as high"),
    Rule(Cause.MAJORITY, Stage.LAST, "evaluations", signs.majority, 0.8,
         "the answer is always the class with a share of {value} (at least {threshold})"),
    Rule(Cause.FEW_STEPS, Stage.LAST, "evaluations", signs.falling, 0.02,
         "loss still fell by {value} of the constant answer's in the last half (at least {threshold})"),
    Rule(Cause.VANISHING_IN_TIME, Stage.LAST, "time_gradients", signs.forgotten, LEFT_DECADES,
         "at most {value} decades from lag 0 to the first time step, at every recorded step (below {threshold})",
         "gate_bias chrono or remember with cell lstm or gru; recurrent_initializer orthogonal, or identity with relu"),
    Rule(Cause.ONE_ANSWER, Stage.LAST, "evaluations", signs.one_answer, 1.0,
         "share of the commonest answer {value} (at least {threshold})"),
)  # fmt: skip

ON_THE_WAY = tuple(index for index, rule in enumerate(RULES) if rule.stage is Stage.BY_STEP)


class Signs:
    """Every rule that holds in each run, found table by table.

    Args:
        tables: the tables; those with layers may lose rows and columns once they are settled.
    """

    def __init__(self, tables: Tables) -> None:
        self.records = Records(tables)
        self._found: dict[int, pd.DataFrame] = {}

    def settle(self, table: str) -> None:
        """Ask every rule of a table, which may lose rows and columns then."""
        for index, rule in enumerate(RULES):
            if rule.table == table and index not in self._found:
                self._found[index] = rule.find(self.records, rule.threshold).assign(rule=index)
        self.records.settle(table)

    def all(self) -> pd.DataFrame:
        """One row a run and rule that holds, the first cause of each run first: `COLUMNS`, `rule`, `tensor` and
        `place`, the layer in words.
        """
        for table in dict.fromkeys(rule.table for rule in RULES):
            self.settle(table)
        found = pd.concat([self._found[index] for index in range(len(RULES))], ignore_index=True)
        stage = np.array([rule.stage for rule in RULES])[found["rule"]]
        by_step = np.where(stage == Stage.BY_STEP, probed(self.records, found), 0)
        order = np.lexsort((found["rule"], by_step, stage, found["run"]))
        found = found.iloc[order].reset_index(drop=True)
        causes = np.array([str(rule.cause) for rule in RULES], object)[found["rule"]]
        layer = found["layer"].where(found["layer"] >= 0).astype("Int64")
        tensor = found["tensor"] if "tensor" in found else pd.Series(None, index=found.index, dtype=object)
        run_id = self.records.runs.to_numpy()[found["run"]]
        made = found.assign(run_id=run_id, cause=causes, layer=layer, tensor=tensor)
        made["place"] = places_of(made["layer"], made["run_id"], self.records.tables["runs"])
        return made[[*COLUMNS, "rule", "tensor", "place"]]


def causes_of(tables: Tables, judged: pd.DataFrame, found: pd.DataFrame | None = None) -> pd.DataFrame:
    """The cause of each run that did not learn, diverged or failed, in the order of `judged`: `COLUMNS` and `place`.

    Layer, step, value and threshold are missing where a cause has none. No such run is without a row: where no rule
    holds its cause is not known.

    Args:
        tables: the tables, whole.
        judged: what `judge` returned.
        found: `Signs(tables).all()`, if at hand.
    """
    found = Signs(tables).all() if found is None else found
    bad = judged[judged["outcome"].isin([Outcome.NOT_LEARNED, Outcome.DIVERGED, Outcome.FAILED])]
    ids = pd.Index(bad["run_id"].astype(str))
    first = found.drop_duplicates("run_id").set_index("run_id")[[*COLUMNS[1:], "place"]].reindex(ids)
    first["step"] = first["step"].astype("Int64")
    failed = (bad["outcome"] == Outcome.FAILED).to_numpy(bool)
    first.loc[failed, COLUMNS[2:]] = pd.NA
    first["place"] = first["place"].astype(object).where(~pd.Series(failed, first.index), "").fillna("")
    first["cause"] = np.where(failed, str(Cause.FAILED), first["cause"].fillna(str(Cause.UNKNOWN)))
    return first.rename_axis("run_id").reset_index()


def findings(found: pd.DataFrame, run_id: str, outcome: str) -> pd.DataFrame:
    """The signs of one run, its cause first; of a run that learned those that show on the way, not how it ended."""
    own = found[found["run_id"] == run_id]
    return own[own["rule"].isin(ON_THE_WAY)] if outcome == Outcome.LEARNED else own


def is_first(sign: pd.Series) -> bool:
    """Whether a sign goes before all others, as training itself worked."""
    return RULES[int(sign["rule"])].stage is Stage.FIRST


def is_last(sign: pd.Series) -> bool:
    """Whether a sign counts where nothing else was seen."""
    return RULES[int(sign["rule"])].stage is Stage.LAST


def helping(sign: pd.Series, activation: str = "") -> str:
    """What is known to help against a sign, in words or levels of a suite; "" where the rule names nothing.

    Units of ReLU are saturated where their slope is 0: with that `activation`, what helps against dead ones does.
    """
    rule = RULES[int(sign["rule"])]
    return _ALIVE if rule.cause is Cause.SATURATED and rule.helps and activation == "relu" else rule.helps


def helping_all(signs: pd.DataFrame, activation: str = "") -> list[str]:
    """What is known to help against signs, with the causes that it is against: each remedy once, the first's first."""
    return against((str(sign["cause"]), helping(sign, activation)) for _, sign in signs.iterrows())


def against(remedies: Iterable[tuple[str, str]]) -> list[str]:
    """Each remedy once, as "against CAUSES: REMEDY", of pairs of a cause and what helps, if anything."""
    causes: dict[str, dict[str, None]] = {}
    for cause, helps in remedies:
        if helps:
            causes.setdefault(helps, {})[cause] = None
    return [f"against {listed(list(which))}: {helps}" for helps, which in causes.items()]


def evidence(sign: pd.Series) -> str:
    """A sign in words: where, what was measured and what the rule asks for; `sign` is a row of `Signs.all`."""
    rule = RULES[int(sign["rule"])]
    place = f"{sign['place']}, " if sign["place"] else ""
    said = rule.said.format(value=number(sign["value"]), threshold=number(sign["threshold"]), tensor=sign["tensor"])
    return f"{place}step {number(int(sign['step']))}: {said}"
