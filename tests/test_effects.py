"""Shares of variance on a product with known effects."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis import response
from bench.analysis.effects import REST, is_full_factorial, variance_shares

ACCURACY = response("final_validation_accuracy")
VARIED = ["a", "b", "c"]


def judged(effect, replicates: int = 3) -> pd.DataFrame:
    rows = [
        {"a": a, "b": b, "c": c, "replicate": r, "status": "completed", "chance_accuracy": 0.1,
         "final_validation_accuracy": effect(a, b, c, r)}
        for a, b, c, r in product((0, 1), (0, 1), (0, 1), range(replicates))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def shares(frame: pd.DataFrame) -> dict[str, float]:
    found = variance_shares(frame, VARIED, ACCURACY)
    return dict(zip(found["factors"], found["share"], strict=True))


def test_two_main_effects_share_the_variance_as_the_squares_of_their_sizes() -> None:
    found = shares(judged(lambda a, b, c, r: 0.5 + 0.3 * a + 0.1 * b))
    assert found["a"] == pytest.approx(0.9)
    assert found["b"] == pytest.approx(0.1)
    assert found["c"] == pytest.approx(0.0)
    assert found[REST] == pytest.approx(0.0, abs=1e-12)


def test_a_pure_interaction_is_found_as_one() -> None:
    found = shares(judged(lambda a, b, c, r: 0.5 + 0.2 * (a == b)))
    assert found["a × b"] == pytest.approx(1.0)


def test_what_factors_and_pairs_do_not_explain_is_told() -> None:
    found = shares(judged(lambda a, b, c, r: 0.5 + 0.2 * ((a + b + c) % 2)))
    assert found[REST] == pytest.approx(1.0)
    assert sum(found.values()) == pytest.approx(1.0)


def test_a_diverged_run_counts_as_chance() -> None:
    frame = judged(lambda a, b, c, r: 0.9)
    lost = frame["a"] == 1
    frame.loc[lost, ["status", "final_validation_accuracy"]] = ["diverged", np.nan]
    assert shares(frame)["a"] == pytest.approx(1.0)


def test_the_range_is_that_of_leaving_a_replicate_out() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 2, 2, 3))
    frame = judged(lambda a, b, c, r: 0.5 + 0.1 * a + 0.05 * noise[a, b, c, r])
    found = variance_shares(frame, VARIED, ACCURACY).set_index("factors").loc["a"]
    alone = [shares(frame[frame["replicate"] != r])["a"] for r in range(3)]
    assert (found["lower"], found["upper"]) == (pytest.approx(min(alone)), pytest.approx(max(alone)))


def test_without_a_full_product_there_is_no_answer() -> None:
    frame = judged(lambda a, b, c, r: 0.5 + a)
    assert is_full_factorial(frame, VARIED)
    assert variance_shares(frame.iloc[1:], VARIED, ACCURACY).empty


def test_a_response_that_never_changes_has_no_shares() -> None:
    assert variance_shares(judged(lambda a, b, c, r: 0.5), VARIED, ACCURACY).empty
