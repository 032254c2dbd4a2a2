"""Main effects: known differences, coverage of their intervals, and no findings where nothing was planted."""

from __future__ import annotations

from itertools import product
from math import inf, nan

import numpy as np
import pandas as pd
import pytest

from bench.analysis.effects import clustered_mean, holm, main_effects
from bench.quantities import quantity

ACCURACY = quantity("final_validation_accuracy")
NUMBER = quantity("decay_rate_start")  # one that no bounds are known of
LEVELS = {"depth": (2, 8, 32), "activation": ("sigmoid", "relu", "tanh", "gelu"), "normalization": ("layer", "none")}
VARIED = list(LEVELS)


def judged(replicates: int, *parts: np.ndarray) -> pd.DataFrame:
    """A product in which accuracy is the sum of arrays `[depth, activation, normalization, replicate]`."""
    rows = list(product(*LEVELS.values(), range(replicates)))
    frame = pd.DataFrame(rows, columns=[*VARIED, "replicate"])
    total = sum(np.broadcast_to(part, (3, 4, 2, replicates)) for part in parts)
    number = np.asarray(total).ravel()
    return frame.assign(
        status="completed", chance_accuracy=0.1, final_validation_accuracy=number, decay_rate_start=number
    )


def noise(seed: int, replicates: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 4, 2, replicates))


def test_differences_from_the_absent_treatment_or_the_first_level() -> None:
    frame = judged(3, 0.1 * np.arange(4)[:, None, None], 0.3 * np.array([[1.0], [0.0]]))
    found = main_effects(frame, VARIED, NUMBER).set_index(["factor", "level"])
    assert found.index.tolist() == [
        ("depth", "8"), ("depth", "32"), ("activation", "relu"), ("activation", "tanh"), ("activation", "gelu"),
        ("normalization", "layer"),
    ]  # fmt: skip
    assert found["reference"].tolist() == ["2", "2", "sigmoid", "sigmoid", "sigmoid", "none"]
    assert found["difference"].tolist() == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.3, 0.3])
    assert found["pairs"].tolist() == [24, 24, 18, 18, 18, 36]
    assert found.loc[("normalization", "layer"), ["contexts", "replicates"]].tolist() == [12, 3]


def test_columns_of_categories_work_and_the_reference_does_not_depend_on_the_order_of_rows() -> None:
    frame = judged(2, 0.1 * np.arange(4)[:, None, None], noise(0, 2))
    given = {name: pd.CategoricalDtype(levels) for name, levels in LEVELS.items()}
    pd.testing.assert_frame_equal(
        main_effects(frame.astype(given), VARIED, NUMBER), main_effects(frame, VARIED, NUMBER)
    )
    order = pd.CategoricalDtype(["tanh", "unused", "sigmoid", "relu", "gelu"], ordered=True)
    coded = frame.astype({"activation": order})
    expected = main_effects(coded, VARIED, NUMBER)
    assert expected.set_index("factor")["reference"].to_dict() == {
        "depth": "2", "activation": "tanh", "normalization": "none"
    }  # fmt: skip
    turned = main_effects(coded.iloc[::-1], VARIED, NUMBER)
    pd.testing.assert_frame_equal(turned, expected)


def test_pairs_share_the_draw_of_their_replicate() -> None:
    shift = np.array([0.0, 5.0, -3.0])
    found = main_effects(judged(3, shift, 0.3 * np.array([[1.0], [0.0]]), 1e-3 * noise(0, 3)), VARIED, NUMBER)
    row = found.set_index("factor").loc["normalization"]
    assert row["difference"] == pytest.approx(0.3, abs=0.002)
    assert row["upper"] - row["lower"] < 0.01
    assert row["p_holm"] < 0.01


def test_a_lost_run_counts_as_chance_and_is_told() -> None:
    frame = judged(3, np.full(1, 0.9))
    frame.loc[frame["normalization"] == "none", ["status", "final_validation_accuracy"]] = ["diverged", nan]
    row = main_effects(frame, VARIED, ACCURACY).set_index("factor").loc["normalization"]
    assert row["difference"] == pytest.approx(0.8)
    assert row[["pairs", "lost", "unmeasured"]].tolist() == [36, 36, 0]


def test_only_matched_runs_are_compared() -> None:
    frame = judged(2, np.array([0.0, 1.0, 5.0])[:, None, None, None], 0.1 * np.array([[1.0], [0.0]]))
    lacking = frame[~((frame["depth"] == 32) & (frame["normalization"] == "none"))]
    row = main_effects(lacking, VARIED, NUMBER).set_index("factor").loc["normalization"]
    assert row["difference"] == pytest.approx(0.1)
    assert row["pairs"] == 16


def test_a_pair_without_a_value_is_left_out_and_counted() -> None:
    frame = judged(2, noise(0, 2)).rename(columns={"final_validation_accuracy": "clipped_share"})
    frame.loc[[0, 1], "clipped_share"] = nan  # both normalizations... of depth 2, sigmoid, layer
    row = main_effects(frame, VARIED, quantity("clipped_share")).set_index("factor").loc["normalization"]
    assert row[["pairs", "unmeasured"]].tolist() == [22, 2]


def test_infinities_have_no_mean_difference_and_a_factor_left_out_is_an_error() -> None:
    frame = judged(2, noise(0, 2)).assign(final_validation_loss=1.0)
    frame.loc[0, "status"] = "failed"
    assert main_effects(frame, VARIED, quantity("final_validation_loss")).empty
    assert len(main_effects(frame, VARIED, NUMBER)) == 6
    with pytest.raises(ValueError, match="depth"):
        main_effects(frame, ["depth"], NUMBER)


def test_one_pair_has_no_interval_and_one_factor_alone_is_judged_by_its_replicates() -> None:
    frame = pd.DataFrame(
        {"clipping": ["none", "value"] * 4, "replicate": [0, 0, 1, 1, 2, 2, 3, 3], "status": "completed",
         "decay_rate_start": [0.0, 0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.2]}
    )  # fmt: skip
    row = main_effects(frame, ["clipping"], NUMBER).iloc[0]
    half = 3.182446 * np.std([0.1, 0.2, 0.3, 0.2], ddof=1) / 2.0
    assert (row["lower"], row["upper"]) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    single = main_effects(frame.iloc[:2], ["clipping"], NUMBER).iloc[0]
    assert single["difference"] == pytest.approx(0.1)
    assert single[["lower", "upper", "p_value", "p_holm"]].isna().all()
    assert main_effects(frame.iloc[:1], ["clipping"], NUMBER).empty
    assert main_effects(frame.iloc[:0], ["clipping"], NUMBER).empty


def learning(kind: str, contexts: int, replicates: int, draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """Differences of accuracy where runs learn or do not, [context, replicate], and their true mean."""
    noise, coin = draw.normal(size=(contexts, replicates)), draw.random((contexts, replicates))
    one = np.repeat(coin[:, :1], replicates, axis=1)  # a context's runs all end alike
    match kind:
        case "a context is rescued or not":
            return 0.85 * (one < 0.3) + 0.01 * noise, 0.85 * 0.3
        case "one context in ten is lost":
            return -0.85 * (one < 0.1) + 0.01 * noise, -0.085
        case "one run in ten is lost":
            return -0.85 * (coin < 0.1) + 0.01 * noise, -0.085
        case "half of the runs learn on each side":
            return 0.85 * ((coin < 0.5) - 1.0 * (draw.random(coin.shape) < 0.5)), 0.0
        case "a replicate favours a level":
            return 0.05 + 0.1 * draw.normal(size=(1, replicates)) + 0.05 * noise, 0.05
    return 0.2 + 0.15 * draw.normal(size=(contexts, 1)) + 0.05 * noise, 0.2  # contexts differ


@pytest.mark.parametrize(
    "kind",
    [
        "a context is rescued or not",
        "one context in ten is lost",
        "one run in ten is lost",
        "half of the runs learn on each side",
        "a replicate favours a level",
        "contexts differ",
    ],
)
@pytest.mark.parametrize(("contexts", "replicates", "sets"), [
    (2, 2, 200), (6, 3, 200),
    *(pytest.param(c, r, 1000, marks=pytest.mark.full) for c in (2, 3, 4, 6, 9, 12) for r in (2, 3)),
])  # fmt: skip
def test_intervals_of_few_accuracies_are_possible_and_hold_the_truth(
    kind: str, contexts: int, replicates: int, sets: int
) -> None:
    """In at least 95 % of data sets, but for 2.6 standard errors; the p-value says what the interval does."""
    draw, held = np.random.default_rng(contexts * 10 + replicates), 0
    context, block = np.divmod(np.arange(contexts * replicates), replicates)
    for _ in range(sets):
        change, truth = learning(kind, contexts, replicates, draw)
        mean, low, high, p_value = clustered_mean(change.clip(-1.0, 1.0).ravel(), context, block, 1.0)
        assert -1.0 <= low <= mean <= high <= 1.0
        assert p_value >= 0.05 or not low <= 0.0 <= high
        held += low <= truth <= high
    assert held >= 0.95 * sets - 2.6 * (0.95 * 0.05 * sets) ** 0.5


def test_four_pairs_that_agree_do_not_prove_an_effect_and_many_contexts_do() -> None:
    few, many = np.divmod(np.arange(4), 2), np.divmod(np.arange(48), 2)
    unseen = 1.0 - 0.05**0.5
    expected = (0.85, 0.85 - unseen * 1.85, 0.85 + unseen * 0.15, 1.85**-2)
    assert clustered_mean(np.full(4, 0.85), *few, 1.0) == pytest.approx(expected)
    assert clustered_mean(np.full(48, 0.85), *many, 1.0)[3] < 1e-6
    assert ACCURACY.largest_difference == 1.0
    assert NUMBER.largest_difference == inf


def test_values_that_are_all_the_same_are_certain() -> None:
    context, block = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert clustered_mean(np.zeros(4), context, block) == (0.0, 0.0, 0.0, 1.0)
    assert clustered_mean(np.full(4, 0.3), context, block) == (pytest.approx(0.3),) * 3 + (0.0,)


def test_holms_correction_is_the_textbooks() -> None:
    assert holm(np.array([0.01, 0.04, nan, 0.03, 0.005])).tolist() == pytest.approx(
        [0.03, 0.06, nan, 0.06, 0.02], nan_ok=True
    )
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [3, pytest.param(10, marks=pytest.mark.full)])
@pytest.mark.parametrize("by_replicate", [0.0, 0.5])
def test_intervals_cover_at_their_rate_and_little_is_found_where_nothing_was_planted(
    replicates: int, by_replicate: float
) -> None:
    """100 data sets of noise, also with draws that favour a level in all contexts of a replicate; -0.5 planted.

    The 95 % interval covers in at least 90 %. Holm's family-wise error is at most 5 %: 11 of 100 is its 99.5 % bound.
    """
    held = false_alarms = 0
    for seed in range(100):
        lucky = by_replicate * np.random.default_rng(seed + 1000).normal(size=(1, 4, 1, replicates))
        planted = -0.5 * np.array([[1.0], [0.0]])
        found = main_effects(judged(replicates, planted, lucky, noise(seed, replicates)), VARIED, NUMBER)
        effect = found[found["factor"] == "normalization"].iloc[0]
        held += effect["lower"] <= -0.5 <= effect["upper"]
        false_alarms += (found.loc[found["factor"] != "normalization", "p_holm"] < 0.05).any()
    assert held >= 90
    assert false_alarms <= 11


def test_the_mean_is_that_of_contexts_like_these() -> None:
    """300 data sets in which the effect differs by context, drawn anew each time: 90 to 99 %."""
    draw = np.random.default_rng(0)
    context, block = np.divmod(np.arange(120), 10)
    held = 0
    for _ in range(300):
        values = 0.5 + draw.normal(size=12)[context] + 0.1 * draw.normal(size=10)[block] + draw.normal(size=120)
        _, low, high, _ = clustered_mean(values, context, block)
        held += low <= 0.5 <= high
    assert 270 <= held <= 297


def test_planted_effects_are_found_in_their_order() -> None:
    planted = np.array([0.0, 0.5, 1.0, 2.0])[:, None, None]
    found = main_effects(judged(10, planted, 0.3 * noise(1, 10)), VARIED, NUMBER)
    ranked = found.sort_values("difference", ascending=False)
    assert ranked["level"].tolist()[:3] == ["gelu", "tanh", "relu"]
    assert (ranked["p_holm"].iloc[:3] < 0.01).all()
    assert (ranked["p_holm"].iloc[3:] > 0.05).all()
    assert not np.isinf(found[["lower", "upper"]].to_numpy(float)).any()
    assert inf not in found["difference"].tolist()
