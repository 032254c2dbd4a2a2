"""Shares of variance on a product with known effects."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from bench.analysis.effects import REST, interactions, is_full_factorial, variance_shares
from bench.quantities import quantity

ACCURACY = quantity("final_validation_accuracy")
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


def test_a_share_is_free_of_the_draws_part_and_its_interval_is_the_jackknifes() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 2, 2, 4))
    values = 0.5 + 0.2 * np.arange(2)[:, None, None, None] + 0.1 * noise
    frame = judged(lambda a, b, c, r: values[a, b, c, r], replicates=4)
    found = variance_shares(frame, VARIED, ACCURACY).set_index("factors").loc["a"]

    def by_hand(cube: np.ndarray) -> float:
        halves = (cube[1].mean(axis=(0, 1)) - cube[0].mean(axis=(0, 1))) / 2.0  # by replicate
        pairs = [one * other for one, other in combinations(halves, 2)]
        return float(np.mean(pairs) / cube.var())

    alone = np.array([by_hand(np.delete(values, r, axis=3)) for r in range(4)])
    half = 3.182446 * np.sqrt(3 / 4 * ((alone - alone.mean()) ** 2).sum())  # t of 3 degrees of freedom
    assert found["share"] == pytest.approx(by_hand(values))
    assert found["lower"] == pytest.approx(max(0.0, by_hand(values) - half))
    assert found["upper"] == pytest.approx(min(1.0, by_hand(values) + half))


def drawn(seed: int, replicates: int) -> pd.DataFrame:
    """Shares of 0.4 (a), 0.1 (b) and 0 (c and every pair) of a variance of 1."""
    draw = np.random.default_rng(seed)
    noise, shift = draw.normal(size=(2, 2, 2, replicates)), draw.normal(size=replicates)
    return judged(
        lambda a, b, c, r: 2 * a * 0.4**0.5 + 2 * b * 0.1**0.5 + 0.4**0.5 * noise[a, b, c, r] + 0.1**0.5 * shift[r],
        replicates,
    )


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [3, pytest.param(10, marks=pytest.mark.full)])
def test_intervals_of_shares_cover_at_their_rate(replicates: int) -> None:
    """200 data sets: 88 to 99.5 % each; a share of 0 may be held more often, and is little on average."""
    truth = {"a": 0.4, "b": 0.1, "c": 0.0, "a × b": 0.0, REST: 0.5}
    held = dict.fromkeys(truth, 0)
    shares = []
    for seed in range(200):
        found = variance_shares(drawn(seed, replicates), VARIED, ACCURACY).set_index("factors")
        shares.append(found["share"])
        for name, share in truth.items():
            held[name] += found.loc[name, "lower"] <= share <= found.loc[name, "upper"]
    for name, share in truth.items():
        assert 176 <= held[name] <= (199 if share else 200), name
    mean = pd.concat(shares, axis=1).T.mean()
    assert mean["a"] == pytest.approx(0.4, abs=0.04)
    assert mean["c"] < 0.03  # cut at 0: its mean is a little above


def test_fewer_than_three_replicates_cannot_bound_a_share() -> None:
    for replicates in (1, 2):
        found = variance_shares(drawn(0, replicates), VARIED, ACCURACY)
        assert set(found["lower"]) == {0.0}
        assert set(found["upper"]) == {1.0}


def test_shares_count_runs_and_those_that_were_lost() -> None:
    frame = drawn(0, 3)
    frame.loc[[0, 5], "status"] = ["diverged", "failed"]
    found = variance_shares(frame, VARIED, ACCURACY)
    assert set(found["runs"]) == {24}
    assert set(found["lost"]) == {2}


def test_an_interaction_names_the_pair_of_levels_where_it_is_largest() -> None:
    effect = {(0, 0): 0.0, (0, 1): 0.0, (1, 0): 0.0, (1, 1): 0.8}
    frame = judged(lambda a, b, c, r: 0.1 + effect[a, b] + 0.001 * c)
    frame.loc[(frame["a"] == 1) & (frame["b"] == 1) & (frame["replicate"] == 0), "status"] = "diverged"
    frame["chance_accuracy"] = 0.9
    found = interactions(frame, VARIED, ACCURACY)
    assert len(found) == 3
    best = found.iloc[0]
    assert (best["one"], best["other"]) == ("a", "b")
    # 1 and 1: a quarter of 0.8: cell less row and column plus whole.
    assert best["deviation"] == pytest.approx(0.2, abs=0.001)
    assert best["share"] == pytest.approx(1 / 3, abs=0.01)
    assert (best["one_level"], best["other_level"]) == ("1", "1")
    assert (best["runs"], best["lost"]) == (6, 2)


def test_pairs_in_any_order_and_levels_of_categories_give_the_same_interactions() -> None:
    frame = judged(lambda a, b, c, r: 0.1 + 0.3 * (a == 1 and c == 0) + 0.01 * r)
    straight = interactions(frame, VARIED, ACCURACY).iloc[0]
    turned = interactions(frame.astype(dict.fromkeys(VARIED, "category")), ["c", "b", "a"], ACCURACY).iloc[0]
    assert (straight["one"], straight["other"]) == ("a", "c")
    assert (turned["one"], turned["other"]) == ("c", "a")
    assert (turned["one_level"], turned["other_level"]) == (straight["other_level"], straight["one_level"])
    assert turned["deviation"] == pytest.approx(straight["deviation"])


@pytest.mark.parametrize("analysis", [variance_shares, interactions])
def test_what_cannot_be_answered_is_empty(analysis) -> None:
    frame = drawn(0, 3)
    assert is_full_factorial(frame, VARIED)
    loss = frame.assign(final_validation_loss=1.0)
    loss.loc[3, "status"] = "diverged"
    hole = frame.assign(clipped_share=0.5)
    hole.loc[[1, 2], "clipped_share"] = np.nan
    same = frame.assign(final_validation_accuracy=0.5)
    for given, asked in (
        (frame.iloc[1:], ACCURACY), (same, ACCURACY), (loss, quantity("final_validation_loss")),
        (hole, quantity("clipped_share")),
    ):  # fmt: skip
        assert analysis(given, VARIED, asked).empty
