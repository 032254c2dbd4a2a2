"""Interquartile means and probabilities of improvement: known values, and how often their intervals hold the truth."""

from __future__ import annotations

from itertools import product
from math import inf, nan

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, norm

from bench.analysis.bootstrap import (
    grouped_interquartile_means,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)
from bench.analysis.estimates import estimate_iqm
from bench.quantities import quantity

LOSS = quantity("final_validation_loss")


def test_the_interquartile_mean_drops_the_lowest_and_highest_quarter() -> None:
    assert interquartile_mean([100.0, 1.0, 2.0, 3.0, -50.0, 4.0, 5.0, 6.0]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean([1.0, 2.0, 6.0]) == pytest.approx(3.0)  # a quarter of three is no value
    assert interquartile_mean([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]).tolist() == [3.0, 1.0]


def test_an_infinity_in_the_middle_half_makes_the_interquartile_mean_infinite() -> None:
    assert interquartile_mean([1.0, 2.0, 3.0, inf]) == pytest.approx(2.5)
    assert interquartile_mean([1.0, 2.0, inf, inf]) == inf
    assert interquartile_mean([-inf, -inf, 1.0, 2.0]) == -inf
    assert np.isnan(interquartile_mean([-inf, -inf, inf, inf]))
    assert np.isnan(interquartile_mean([1.0, 2.0, 3.0, nan]))
    assert np.isnan(interquartile_mean([]))


def test_a_resample_holds_every_stratum() -> None:
    """Strata without spread of their own give no interval, however far apart they are."""
    found = stratified_bootstrap([1.0, 1.0, 1.0, 9.0, 9.0], list("aaabb"), interquartile_mean)
    assert found.lower == found.upper == pytest.approx((1 + 1 + 9) / 3)  # of two draws from `a` and one from `b`


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly() -> None:
    values = np.random.default_rng(0).normal(size=60)
    strata = np.repeat(np.arange(20), 3)
    one, again, other = (stratified_bootstrap(values, strata, interquartile_mean, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert one.lower == pytest.approx(other.lower, abs=0.1)


def test_without_two_runs_in_a_stratum_there_are_no_bounds() -> None:
    found = stratified_bootstrap([1.0, 3.0, nan], ["a", "b", "b"], interquartile_mean)
    assert found.value == 2.0
    assert np.isnan([found.lower, found.upper]).all()
    assert np.isnan(stratified_bootstrap([nan], ["a"], interquartile_mean).value)


def test_all_groups_at_once_are_what_each_is_alone() -> None:
    draw = np.random.default_rng(3)
    group, stratum = np.repeat([0, 1, 2], [30, 12, 1]), np.repeat(np.arange(15), [*[3] * 14, 1])
    values = draw.normal(size=43) + 10.0 * group
    shuffled = draw.permutation(43)
    found = grouped_interquartile_means(values[shuffled], group[shuffled], stratum[shuffled])
    for each in (0, 1):
        alone = stratified_bootstrap(values[group == each], stratum[group == each], interquartile_mean)
        assert found.loc[each, "iqm"] == pytest.approx(alone.value)
        width = alone.upper - alone.lower
        assert found.loc[each, ["lower", "upper"]].tolist() == pytest.approx([alone.lower, alone.upper], abs=width / 8)
    assert found.loc[2, "iqm"] == values[42]
    assert np.isnan(found.loc[2, "lower"])


@pytest.mark.parametrize(("cells", "replicates"), [(20, 3), (4, 10)])
def test_the_interval_of_the_interquartile_mean_covers_at_its_rate(cells: int, replicates: int) -> None:
    """300 data sets: 95 % means 270 to 297 of them (90 to 99 %; the standard error is 1.3 %)."""
    draw = np.random.default_rng(5)
    means = draw.normal(size=cells)
    truth = float(interquartile_mean((means[:, None] + draw.normal(size=(cells, 5000))).ravel()))
    sets = 300
    values = means[None, :, None] + draw.normal(size=(sets, cells, replicates))
    group = np.repeat(np.arange(sets), cells * replicates)
    stratum = np.repeat(np.arange(sets * cells), replicates)
    found = grouped_interquartile_means(values.ravel(), group, stratum)
    assert 270 <= ((found["lower"] <= truth) & (truth <= found["upper"])).sum() <= 297


def judged() -> pd.DataFrame:
    rows = [
        {"depth": depth, "cell_key": f"{depth}{cell}", "replicate": r, "status": "completed", "chance_accuracy": 0.1,
         "final_validation_loss": float(depth + cell + r)}
        for depth, cell, r in product((8, 2), range(4), range(3))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_an_iqm_by_group_counts_its_lost_runs_as_infinity() -> None:
    frame = judged()
    frame.loc[frame["depth"] == 2, "status"] = ["diverged"] * 3 + ["completed"] * 9
    found = estimate_iqm(frame, LOSS, ["depth"])
    assert found["depth"].tolist() == [8, 2]
    assert found["iqm"].tolist() == pytest.approx([10.5, 34 / 6])  # 3 4 4, 5 5 5 6 6 7, three infinities
    assert found[["runs", "completed", "diverged", "failed", "measured"]].iloc[1].tolist() == [12, 9, 3, 0, 12]
    assert found["upper"].iloc[1] == inf or found["upper"].iloc[1] > found["iqm"].iloc[1]
    frame.loc[frame["depth"] == 2, "status"] = "failed"
    assert estimate_iqm(frame, LOSS, ["depth"]).loc[1, ["iqm", "lower", "upper"]].tolist() == [inf] * 3


def test_an_iqm_of_nothing_measured_keeps_its_group() -> None:
    frame = judged().assign(clipped_share=np.nan)
    found = estimate_iqm(frame, quantity("clipped_share"), ["depth"])
    assert found["measured"].tolist() == [0, 0]
    assert found["iqm"].isna().all()
    frame.loc[frame["depth"] == 8, "clipped_share"] = 0.5
    found = estimate_iqm(frame, quantity("clipped_share"), ["depth"])
    assert found["measured"].tolist() == [12, 0]
    assert found["iqm"].tolist() == pytest.approx([0.5, nan], nan_ok=True)


def test_groups_that_are_cells_and_run_columns_of_categories_work() -> None:
    frame = judged().astype({"depth": "category", "cell_key": "category"})
    found = estimate_iqm(frame, LOSS, ["cell_key"])
    assert found["iqm"].tolist() == pytest.approx([9.0, 10.0, 11.0, 12.0, 3.0, 4.0, 5.0, 6.0])


def test_the_probability_of_improvement_is_mann_whitneys() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, 12).astype(float), draw.integers(0, 5, 9).astype(float)
    assert probability_of_improvement(x, y) == pytest.approx(mannwhitneyu(x, y).statistic / (12 * 9))
    assert probability_of_improvement([1.0, 1.0], [1.0]) == 0.5
    assert probability_of_improvement([inf, -inf], [inf, 0.0]) == pytest.approx((0.5 + 1 + 0 + 0) / 4)


def test_contexts_weigh_the_same_and_what_was_not_measured_is_no_pair() -> None:
    x, y = [[2.0, nan, nan], [1.0, 2.0, 3.0], [nan] * 3], [[1.0, nan], [3.0, 4.0], [1.0, 2.0]]
    assert probability_of_improvement(x, y) == pytest.approx((1.0 + 0.5 / 6) / 2)
    found = improvement_interval(x, y)
    assert found.value == pytest.approx((1.0 + 0.5 / 6) / 2)
    assert 0.5 <= found.lower <= found.value <= found.upper <= 1.0
    assert np.isnan(probability_of_improvement([nan], [1.0]))
    assert np.isnan(improvement_interval([1.0], [2.0]).lower)


def test_three_wins_of_three_are_no_certainty() -> None:
    found = improvement_interval([2.0, 3.0, 4.0], [0.0, 1.0, 1.5])
    assert (found.value, found.upper) == (1.0, 1.0)
    assert found.lower == pytest.approx(0.025 ** (1 / 3))
    mirrored = improvement_interval([0.0, 1.0, 1.5], [2.0, 3.0, 4.0])
    assert (mirrored.lower, mirrored.upper) == (0.0, pytest.approx(1 - 0.025 ** (1 / 3)))


@pytest.mark.parametrize(("contexts", "runs", "least"), [(12, 3, 284), (1, 20, 270)])
def test_the_interval_of_a_probability_of_improvement_covers_at_its_rate(contexts: int, runs: int, least: int) -> None:
    """300 data sets: 90 to 99 %, and with three runs on the safe side, where n draws of n runs hold it in 92 %."""
    draw = np.random.default_rng(8)
    truth = norm.cdf(0.5 / np.sqrt(2.0))
    held = 0
    for seed in range(300):
        levels = 3.0 * draw.normal(size=(contexts, 1))
        x, y = levels + 0.5 + draw.normal(size=(contexts, runs)), levels + draw.normal(size=(contexts, runs))
        found = improvement_interval(x, y, resamples=400, seed=seed)
        held += found.lower <= truth <= found.upper
    assert least <= held <= 297
