"""What one's own page calls the cause: which finding goes before which sign, and none of a run that learned."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.analysis import Cause, Outcome
from bench.analysis.causes import RULES, Stage
from bench.finding import FindingKind
from bench.report.own_causes import (
    BOTH,
    CAUSES,
    DIVERGES,
    NO_LEARNING,
    STALLS,
    SURE,
    causes_seen,
    known_to_help,
    outcome_of,
)

FOUND, REMEDY = "Something was found.", "Mend it."


def signs(*causes: Cause, tensor: str = "activation") -> pd.DataFrame:
    """A sign of each, by the first rule of that name."""
    rules = [next(index for index, rule in enumerate(RULES) if rule.cause is cause) for cause in causes]
    rows = [
        {"run_id": "a", "cause": str(cause), "layer": 1, "step": 4, "value": 3.0, "threshold": 2.0, "rule": rule,
         "tensor": tensor, "place": "dense"} for cause, rule in zip(causes, rules, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(
        rows, columns=["run_id", "cause", "layer", "step", "value", "threshold", "rule", "tensor", "place"]
    )


def facts(*kinds: str, extreme: bool = True, **more: Any) -> dict[str, Any]:
    found = [{"kind": kind, "found": FOUND, "remedy": REMEDY, "extreme": extreme} for kind in kinds]
    return {"data": {"rows": 9, "of": 9, "findings": found}} | more


def ended(outcome: Outcome, **more: object) -> pd.Series:
    return pd.Series(
        {
            "outcome": str(outcome),
            "final_train_loss": 0.5,
            "final_validation_loss": 0.6,
            "naive_loss": 2.3,
            "dropout": 0.0,
            "chance_accuracy": 0.1,
        }
        | more
    )


def named(signs: pd.DataFrame, outcome: Outcome, facts: dict[str, Any]) -> list[str]:
    return [each.cause for each in causes_seen(signs, ended(outcome), facts)]


def test_every_finding_that_explains_something_has_words_and_is_a_finding() -> None:
    kinds = [*BOTH, *NO_LEARNING, *STALLS, *DIVERGES]
    assert sorted(kinds) == sorted(CAUSES) == sorted(set(kinds))
    assert set(SURE) <= set(kinds) <= {str(each) for each in FindingKind}


@pytest.mark.parametrize("kind", CAUSES)
def test_a_finding_is_the_cause_of_what_it_explains_and_of_nothing_else(kind: str) -> None:
    early = str(Cause.VANISHING)
    for outcome in (Outcome.NOT_LEARNED, Outcome.DIVERGED, Outcome.FAILED, Outcome.UNMEASURED, Outcome.LEARNED):
        said = named(signs(Cause.VANISHING, Cause.FEW_STEPS), outcome, facts(kind))
        explains = {
            Outcome.NOT_LEARNED: kind in (*BOTH, *NO_LEARNING), Outcome.UNMEASURED: kind in SURE,
            Outcome.LEARNED: False, Outcome.DIVERGED: kind in (*BOTH, *DIVERGES),
        }.get(outcome, kind in BOTH)  # fmt: skip
        stalls = kind in STALLS and outcome is Outcome.NOT_LEARNED
        assert said[: 1 + stalls] == [CAUSES[kind]] if explains else ([early, CAUSES[kind]] if stalls else [early])
        assert (CAUSES[kind] in said) == (explains or stalls)


def test_inputs_of_a_scale_that_trains_are_no_cause() -> None:
    assert named(signs(), Outcome.NOT_LEARNED, facts("input_scale", extreme=False)) == []
    assert named(signs(), Outcome.NOT_LEARNED, facts("input_scale")) == ["inputs out of range"]


@pytest.mark.parametrize(("kept", "cause"), [(0.3, Cause.LAGGING), (0.05, Cause.MEMORIZED)])
def test_averages_that_hold_their_start_lag_and_others_do_not(kept: float, cause: Cause) -> None:
    (seen,) = causes_seen(signs(Cause.MEMORIZED), ended(Outcome.NOT_LEARNED), {"averages_of_start": kept})
    assert seen.cause == cause
    assert ("hold 0.3 of where they started" in seen.evident) == ("momentum" in seen.helps) == (kept == 0.3)


def test_what_a_later_rule_says_again_is_left_out() -> None:
    twice = signs(Cause.SATURATED)
    last = next(k for k, rule in enumerate(RULES) if rule.cause is Cause.SATURATED and rule.stage is Stage.LAST)
    twice = pd.concat([twice, twice.assign(rule=last)], ignore_index=True)
    assert named(twice, Outcome.NOT_LEARNED, {}) == [str(Cause.SATURATED)]
    assert named(twice[1:], Outcome.NOT_LEARNED, {}) == [str(Cause.SATURATED)]


@pytest.mark.parametrize(("activation", "said"), [("relu", "leaky_relu"), ("tanh", "activation relu")])
def test_saturated_units_of_relu_are_not_told_to_take_relu(activation: str, said: str) -> None:
    run = pd.Series({**ended(Outcome.NOT_LEARNED), "activation": activation})
    (helps,) = known_to_help(causes_seen(signs(Cause.SATURATED), run, {}))
    assert helps.startswith("against saturated units: ") and said in helps


@pytest.mark.parametrize(("tensor", "said"), [("loss", "logarithm"), ("gradient", "at 0 is infinite"), ("weight", "")])
def test_where_the_first_bad_tensor_is_made_by_a_function_that_is_named(tensor: str, said: str) -> None:
    for cause in (Cause.NOT_FINITE, Cause.DIVERGED):
        helps = known_to_help(causes_seen(signs(cause, tensor=tensor), ended(Outcome.DIVERGED), {}))
        assert len(helps) == bool(said)
        assert all(said in each for each in helps)


def test_a_loss_that_falls_towards_the_constant_answer_asks_for_no_more_steps() -> None:
    for split in ("train", "validation"):
        for loss, said in ((2.2, ["too few steps"]), (2.4, [])):
            run = ended(Outcome.NOT_LEARNED, **{f"final_{split}_loss": loss})
            assert [each.cause for each in causes_seen(signs(Cause.FEW_STEPS), run, {})] == said


@pytest.mark.parametrize(
    ("loss", "accuracy", "run", "validation", "outcome"),
    [
        (2.2, 0.15, {}, False, Outcome.NOT_LEARNED),
        (2.2, 0.56, {}, False, Outcome.LEARNED),
        (1.0, None, {"chance_accuracy": None}, False, Outcome.LEARNED),
        (1.0, 0.15, {}, False, Outcome.UNMEASURED),
        (2.2, 0.15, {"dropout": 0.5}, False, Outcome.UNMEASURED),
        (2.2, 0.15, {"dropout": None}, False, Outcome.UNMEASURED),
        (2.2, 0.15, {"naive_loss": None}, False, Outcome.UNMEASURED),
        (2.2, 0.15, {}, True, Outcome.UNMEASURED),
        (2.2, None, {"chance_accuracy": None}, False, Outcome.NOT_LEARNED),
    ],
)
def test_without_validation_a_run_is_judged_by_its_training_rows(
    loss: float, accuracy: float | None, run: dict[str, Any], validation: bool, outcome: Outcome
) -> None:
    splits = ["train", "validation"] if validation else ["train"]
    rows = [{"step": 9, "split": each, "loss": loss, "accuracy": accuracy} for each in splits]
    own = {
        "evaluations": pd.DataFrame(rows),
        "loss_curves": pd.DataFrame({"step": range(20), "loss": [2.5] * 18 + [loss] * 2}),
    }  # fmt: skip
    assert outcome_of(ended(Outcome.UNMEASURED, **run), own) == outcome
    assert outcome_of(ended(Outcome.DIVERGED, **run), own) == Outcome.DIVERGED


def test_what_says_nothing_of_ones_own_training_is_left_out() -> None:
    rising = signs(Cause.RATE_LARGE).assign(layer=pd.array([None], "Int64"))
    known, unknown = ended(Outcome.NOT_LEARNED), ended(Outcome.NOT_LEARNED, naive_loss=None)
    for run, value, said in ((known, 3.0, 1), (known, float("inf"), 0), (unknown, 3.0, 0), (unknown, 30.0, 1)):
        assert len(causes_seen(rising.assign(value=value), run, {})) == said
    large = signs(Cause.DATA).assign(layer=pd.array([None], "Int64"))
    for value, far, said in ((1.0, 1.5, 0), (1.0, 20.0, 1), (1.0, None, 1), (300.0, 1.5, 1)):
        shown = large.assign(value=value, threshold=100.0)
        assert len(causes_seen(shown, known, {"targets_square_over_variance": far})) == said
    for rows, said in (([0, 1], 1), ([0], 0)):
        trains = {"layers": [{}, {}], "variables": [{"row": row} for row in rows]}
        assert len(causes_seen(signs(Cause.VANISHING), known, trains)) == said
