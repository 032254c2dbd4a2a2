"""`bench compare` on runs made for it: what did not change is not called worse, and what did is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench import reference
from bench.analysis.compare import RESPONSES, Comparison, NotComparable, Side, Verdict, compare
from bench.analysis.compare.estimates import cell_means, pooled_means
from bench.analysis.compare.noise import margin_of
from bench.analysis.compare.sides import in_training, own_sides
from bench.analysis.compare.words import headline

ACCURACY = RESPONSES[0]
NUMBERS = ("final_validation_accuracy", "final_validation_loss", "signal_ratio_start", "update_ratio_start")


def runs(cells: int = 8, replicates: int = 5, seed: int = 0, noise: float = 0.004) -> pd.DataFrame:
    """Judged runs that all learned, half of the cells with a second optimizer."""
    random = np.random.default_rng(seed)
    at = [(cell, replicate) for cell in range(cells) for replicate in range(replicates)]
    draws = random.normal(size=(len(at), 4))
    return pd.DataFrame(
        {
            "cell_key": [f"d{4 * (cell // 2 + 1)}-{cell}" for cell, _ in at],
            "replicate": [replicate for _, replicate in at],
            "dataset": "digits",
            "depth": [4 * (cell // 2 + 1) for cell, _ in at],
            "optimizer": [("adam", "sgd")[cell % 2] for cell, _ in at],
            "status": "completed",
            "outcome": "learned",
            "naive_loss": 2.3,
            "chance_accuracy": 0.1,
            "final_validation_accuracy": 0.9 + noise * draws[:, 0],
            "final_validation_loss": 0.3 * np.exp(0.03 * draws[:, 1]),
            "signal_ratio_start": -0.5 + 0.02 * draws[:, 2],
            "update_ratio_start": 10 ** (-2.0 + 0.02 * draws[:, 3]),
        }
    )


def against(base: pd.DataFrame, candidate: pd.DataFrame) -> Comparison:
    return compare(Side("a", base, 0), Side("b", candidate, 0))


def simulated(known: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Another suite of the same cells: each run is one of its cell's, half of them of the replicate that all share.

    Numbers are moved by a third of their spread within the cell, so that no two runs are one.
    """
    replicates = int(known["replicate"].max()) + 1
    code = pd.factorize(known["cell_key"])[0]
    shared = random.integers(replicates, size=replicates)[known["replicate"].to_numpy()]
    own = random.integers(replicates, size=len(known))
    drawn = np.where(random.random(len(known)) < 0.5, shared, own)
    made = known.iloc[code * replicates + drawn].reset_index(drop=True).assign(replicate=known["replicate"].to_numpy())
    for name in NUMBERS:
        spread = known[name].where(np.isfinite(known[name])).groupby(known["cell_key"].to_numpy()).transform("std")
        moved = made[name] + random.normal(size=len(made)) * spread.fillna(0.0).to_numpy() / 3.0
        kept = moved.where(np.isfinite(made[name]) & (moved > 0.0), made[name]) if name != NUMBERS[2] else moved
        made[name] = kept.clip(upper=1.0) if name == NUMBERS[0] else kept
    return made


def whole(suite: str) -> pd.DataFrame:
    """A suite's reference runs in order of cell and replicate."""
    return reference.read(suite).runs.sort_values(["cell_key", "replicate"], ignore_index=True)


def false_alarms(suite: str, times: int) -> list[str]:
    """The verdicts of so many pairs of suites that differ by their draws alone."""
    known, random = whole(suite), np.random.default_rng(7)
    return [
        str(compare(Side("a", simulated(known, random), 0), Side("b", simulated(known, random), 1)).verdict)
        for _ in range(times)
    ]


def test_the_same_runs_are_the_same() -> None:
    found = against(runs(), runs())
    assert found.verdict is Verdict.SAME and not found.why
    assert set(found.verdicts["verdict"]) == {"same"}
    assert set(found.counts["verdict"]) == {"same"} and not len(found.moved)


def test_a_mean_and_an_interval_are_students() -> None:
    values = np.array([0.1, 0.3, 0.2, 5.0, np.nan, 7.0])
    found = cell_means(values, np.array([0, 0, 0, 1, 1, 1]), 2)
    low, high = found.interval()
    assert found.mean[0] == pytest.approx(0.2)
    assert (low[0], high[0]) == pytest.approx((0.2 - 4.302653 * 0.1 / 3**0.5, 0.2 + 4.302653 * 0.1 / 3**0.5))
    assert np.isnan(low[1]) and found.mean[1] == 6.0  # two values tell nothing
    few = found.beyond(0.05, 0.2)
    assert few[0] == pytest.approx(max(0.0606, (1.0 - 0.15 / 0.2) ** 3), abs=1e-3) and np.isnan(few[1])


def test_a_replicates_shared_draw_widens_the_interval_over_all_pairs() -> None:
    random = np.random.default_rng(0)
    cell, replicate = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    mask = [np.ones(80, bool)]
    alone, shared = random.normal(size=80), random.normal(size=4)[replicate] + 0.1 * random.normal(size=80)
    widths = [
        np.subtract(*pooled_means(each, cell, replicate, mask, same_draws=False).interval()[::-1])[0]
        for each in (alone, shared)
    ]
    assert widths[1] > 2 * widths[0] and widths[1] > 2 * 3.18 * 0.3 / 2


def test_cells_that_differ_widen_no_interval() -> None:
    random = np.random.default_rng(0)
    cell, replicate = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    mask, noise = [np.ones(20, bool)], 0.01 * random.normal(size=20)
    for same in (True, False):
        plain, apart = (
            pooled_means(each, cell, replicate, mask, same_draws=same) for each in (noise, noise + cell.astype(float))
        )
        assert apart.error[0] == pytest.approx(plain.error[0]) and apart.mean[0] == pytest.approx(plain.mean[0] + 1.5)
    squares = [noise[5 * each : 5 * each + 5].var(ddof=1) for each in range(4)]
    found = pooled_means(noise, cell, replicate, mask, same_draws=True)
    assert found.error[0] == pytest.approx((sum(squares) / 5) ** 0.5 / 4)
    assert found.freedom[0] == pytest.approx(sum(squares) ** 2 / sum(each**2 / 4 for each in squares))


def test_margins_are_the_noise_of_the_base_or_the_least() -> None:
    quiet, loud = (margin_of(ACCURACY, np.tile([0.5, 0.5 + apart], 9), np.repeat(np.arange(9), 2), {})
                   for apart in (0.001, 0.3))  # fmt: skip
    assert (quiet.margin, quiet.largest) == (0.02, 0.02)
    assert loud.margin == pytest.approx(0.3 / 2**0.5) and loud.largest == pytest.approx(0.3)
    given = margin_of(ACCURACY, np.array([0.5, 0.6]), np.array([0, 0]), {"accuracy": 0.01})
    assert given.given and given.margin == 0.01
    assert margin_of(ACCURACY, np.array([0.5, 0.6]), np.array([0, 1]), {}).largest == 1.0  # no replicates, no noise


CHANGED = {
    "accuracy of one optimizer": ("final_validation_accuracy", "adam", lambda each: each - 0.3, "worse"),
    "loss": ("final_validation_loss", "", lambda each: 2.0 * each, "worse"),
    "better loss": ("final_validation_loss", "", lambda each: 0.5 * each, "better"),
    "signal": ("signal_ratio_start", "", lambda each: each - 1.0, "worse"),
    "signal of one optimizer": ("signal_ratio_start", "sgd", lambda each: each + 0.4, "better"),
    "first update": ("update_ratio_start", "", lambda each: 10.0 * each, "inconclusive"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_changed_is_found_where_it_is(name: str) -> None:
    column, optimizer, change, verdict = CHANGED[name]
    base = runs()
    own = base["optimizer"].eq(optimizer) if optimizer else pd.Series(True, index=base.index)
    again = base[column] * (1.0 + 1e-4 * np.random.default_rng(1).normal(size=len(base)))  # rounding that has grown
    found = against(base, base.assign(**{column: again.where(~own, change(again))}))
    assert found.verdict == verdict, found.why
    if optimizer:
        unit = found.levels[found.levels["verdict"] == verdict]["unit"]
        assert f"optimizer={optimizer}" in set(unit)
        assert not any(level.startswith("optimizer=") and level != f"optimizer={optimizer}" for level in unit)


def test_one_cell_of_many_that_changed_is_found_where_all_others_are_equal_to_the_bit() -> None:
    base = runs(cells=60, replicates=3)
    own = base["cell_key"] == base["cell_key"].iloc[30]
    drop = 0.3 + 0.01 * np.random.default_rng(1).normal(size=len(base))
    column = base["final_validation_accuracy"]
    found = against(base, base.assign(final_validation_accuracy=column.where(~own, column - drop)))
    assert found.verdict is Verdict.WORSE, found.why
    assert found.verdicts.set_index("cell")["verdict"].value_counts().to_dict() == {"same": 59, "worse": 1}
    rounded = base.assign(final_validation_accuracy=column + 1e-6 * np.random.default_rng(2).normal(size=len(base)))
    other = rounded.assign(final_validation_accuracy=rounded["final_validation_accuracy"].where(~own, column - drop))
    assert against(base, other).verdict is Verdict.INCONCLUSIVE  # 60 cells that might have changed


@pytest.mark.parametrize("before", ["learned", "diverged"])
def test_one_run_that_newly_failed_is_worse_whatever_else_is_so(before: str) -> None:
    base = runs()
    base.loc[3, "outcome"] = before
    base.loc[3, "status"] = "completed" if before == "learned" else "diverged"
    candidate = base.assign(final_validation_loss=0.3 * base["final_validation_loss"])
    candidate.loc[3, ["status", "outcome"]] = "failed"
    candidate.loc[3, list(NUMBERS)] = np.nan
    found = against(base, candidate)
    assert found.verdict is Verdict.WORSE and found.why[0] == "1 run failed that had not."
    cell = found.verdicts.set_index("cell").loc[base.loc[3, "cell_key"]]
    assert (cell["verdict"], cell["why"], cell["candidate_failed"]) == ("worse", "failed", 1)
    rows = found.suite.set_index("response")
    assert rows.loc["accuracy", "candidate_lost"] == 1 and rows.loc["accuracy", "pairs"] == len(base)
    assert found.first is not None and found.first.otherwise == 0 and found.first.pairs == len(base) - 1
    assert found.same_draws and not any("start otherwise" in why for why in found.why)
    candidate.loc[3, "chance_accuracy"] = 0.0  # as where all runs of a data set failed
    again = against(base, candidate).suite.set_index("response")
    assert again.loc["accuracy", "candidate"] == rows.loc["accuracy", "candidate"]


def test_lost_runs_count_in_means_and_never_make_a_side_look_healthy() -> None:
    base = runs()
    candidate = base.copy()
    gone = candidate["replicate"] < 2
    candidate.loc[gone, ["status", "outcome"]] = "diverged"
    candidate.loc[gone, ["final_validation_accuracy", "final_validation_loss"]] = np.nan
    candidate.loc[~gone, "final_validation_accuracy"] = 0.97  # those that are left do well
    found = against(base, candidate)
    row = found.suite.set_index("response").loc["accuracy"]
    assert row["change"] < -0.2 and row["candidate_lost"] == gone.sum()
    assert found.verdict is not Verdict.BETTER and "same" not in set(found.verdicts["verdict"])


def test_a_start_that_differs_without_another_seed_is_never_the_same() -> None:
    base = runs(replicates=3)
    near = base.assign(signal_ratio_start=base["signal_ratio_start"] + 4e-6)
    own = base["optimizer"] == "sgd"
    moved = base.assign(update_ratio_start=base["update_ratio_start"].where(~own, 1.1 * base["update_ratio_start"]))
    assert against(base, near).verdict is Verdict.SAME
    found = against(base, moved)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.why[0] == (
        "12 of 24 pairs with one seed start otherwise, by first update: all with optimizer sgd, of whose pairs they "
        "are 12 of 12. The most is 10 %, of the first update; rounding comes to 0.00119 %."
    )
    assert compare(Side("a", base, 0), Side("b", moved, 1)).verdict is Verdict.SAME  # other draws start otherwise


def test_an_update_that_differs_behind_the_first_step_is_never_the_same_and_leaves_the_draws_the_same() -> None:
    base = runs(replicates=3).assign(loss_start=2.3, loss_early=1.5)
    found = against(base, base.assign(loss_early=1.6))
    assert found.verdict is Verdict.INCONCLUSIVE and found.same_draws
    assert found.why[0].startswith("24 of 24 pairs with one seed start otherwise, by loss after 10 steps")
    rounded = base.assign(loss_start=2.3 * (1.0 + 1e-6))
    assert against(rounded, base.assign(loss_early=1.501)).verdict is Verdict.SAME  # which may have grown of that
    assert against(base, base.assign(loss_early=1.501)).verdict is Verdict.INCONCLUSIVE  # of nothing
    assert against(base, base.assign(loss_early=1.5 * (1.0 + 5e-6))).verdict is Verdict.SAME


def test_validation_that_is_computed_otherwise_after_equal_training_is_never_the_same() -> None:
    base = runs(replicates=3).assign(loss_start=2.3, loss_early=1.5)
    other = base.assign(final_validation_loss=1.01 * base["final_validation_loss"])  # well within the margin
    assert against(base, other).verdict is Verdict.SAME  # by what training may have made of rounding
    found = against(*(each.assign(loss_curve=7) for each in (base, other)))
    assert found.verdict is Verdict.INCONCLUSIVE and found.same_draws
    assert found.why[0].startswith("24 of 24 pairs with one seed are validated otherwise, after equal training")
    near = base.assign(final_validation_loss=1.0001 * base["final_validation_loss"])
    assert against(base.assign(loss_curve=7), near.assign(loss_curve=7)).verdict is Verdict.SAME
    assert against(base.assign(loss_curve=7), other.assign(loss_curve=8)).verdict is Verdict.SAME


def test_a_first_step_beyond_rounding_is_a_change_though_every_mean_is_within_its_margin() -> None:
    base = runs(replicates=3).assign(loss_start=2.3, precision="float32")
    own = base["optimizer"] == "sgd"
    found = against(base, base.assign(loss_start=base["loss_start"].where(~own, 2.3 * (1.0 + 1e-4))))
    assert found.verdict is Verdict.INCONCLUSIVE and found.same_draws
    assert headline(found) == "Inconclusive: all means lie within their margins, yet something is computed otherwise."
    assert "all with optimizer sgd" in found.why[0] and "The most is 0.01 %, of the first loss" in found.why[0]
    assert found.first is not None and (found.first.equal, found.first.rounded, found.first.otherwise) == (12, 0, 12)
    assert set(found.suite["verdict"]) == {"same"} and set(found.verdicts["verdict"]) == {"same"}


def test_several_levels_that_have_all_that_starts_otherwise_are_named() -> None:
    base = runs(replicates=3).assign(loss_start=2.3)
    own = base["depth"].isin([4, 12])
    found = against(base, base.assign(loss_start=base["loss_start"].where(~own, 2.31)))
    assert "start otherwise, by first loss: all with depth 4 and 12, of whose pairs they are 12 of 12." in found.why[0]


def test_rounding_is_no_change_in_half_precision_where_gradients_explode_nor_in_one_pair_of_three() -> None:
    base = runs(replicates=3).assign(loss_start=2.3, precision="float32")
    moved = base.assign(loss_start=2.3 * (1.0 + 5e-6))
    found = against(base, moved)
    assert found.verdict is Verdict.SAME and found.first is not None and found.first.rounded == len(base)
    apart = base.assign(loss_start=2.3 * (1.0 + 1e-4))
    half, exploding = ({"precision": "mixed_float16"}, {"signal_ratio_start": 1.5})
    for both in (half, exploding):
        assert against(base.assign(**both), apart.assign(**both)).verdict is Verdict.SAME
    one = base.assign(loss_start=base["loss_start"].where(base["replicate"] > 0, 2.3 * (1.0 + 1e-4)))
    assert against(base, one).verdict is Verdict.SAME


def test_pairs_are_made_by_key_then_by_words() -> None:
    base = runs()
    other = base.assign(cell_key="other-" + base["cell_key"])
    found = compare(Side("a", base, 0), Side("b", other, 1))
    assert len(found.pairs) == len(base) and len(found.pairs.renamed) == 8 and found.verdict is Verdict.SAME
    assert against(base, other).verdict is Verdict.INCONCLUSIVE  # one seed and another key: another meaning
    fewer = base[base["depth"] < 16]
    found = against(base, fewer)
    assert found.pairs.base_only == ("d16-6", "d16-7") and found.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(NotComparable, match="no run in common"):
        against(base, base.assign(depth=99, cell_key="deep"))


def recorded(rate: float, key: str, apart: float = 0.0, validated: bool = True) -> Side:
    """Five recordings of one's own training in one cell, whose first losses are another draw's if `apart`."""
    random = np.random.default_rng(3)
    first = 2.4 + 0.05 * random.normal(size=5) + apart
    made = runs(cells=1).assign(cell_key=key, learning_rate=rate, loss_start=first, final_train_loss=0.04 / rate)
    own = made if validated else made.assign(final_validation_loss=np.nan, final_validation_accuracy=np.nan)
    return Side(key, own.assign(update_ratio_start=0.1 * rate))


def test_ones_own_training_is_compared_across_settings_which_are_told() -> None:
    one, two = own_sides(recorded(0.1, "sequential-1"), recorded(0.01, "sequential_1-2"))
    found = compare(one, two)
    assert found.pairs.settings == (("model", "sequential", "sequential_1"), ("learning_rate", "0.1", "0.01"))
    assert found.same_seed and found.same_draws and len(found.pairs) == 5
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.why[0] == (
        "5 of 5 pairs with one seed start otherwise, by first update: other draws, or a change that all runs share. "
        "The most is a factor of 10, of the first update; rounding comes to 0.00119 %."
    )
    assert not compare(one, own_sides(recorded(0.1, "a-1"), recorded(0.01, "a-2", apart=0.5))[1]).same_seed


def test_ones_own_training_without_validation_is_compared_by_the_loss_of_training() -> None:
    one, two = own_sides(recorded(0.1, "a-1", validated=False), recorded(0.01, "a-2", validated=False))
    found = compare(one, two).suite.set_index("response")
    assert found.loc["loss", "change"] == pytest.approx(np.log(10.0))
    assert "accuracy" not in found.index
    assert in_training(one.runs, two.runs) and not in_training(one.runs, recorded(0.1, "a-1").runs)


def test_a_cohort_is_one_time_also_where_one_side_does_not_say_which_runs_it_had() -> None:
    cohort = np.array(["a", "b"])[(runs()["optimizer"] == "sgd").astype(int)]
    base = runs().assign(milliseconds_per_step=1.0)
    found = against(base, base.assign(cohort=cohort, milliseconds_per_step=np.where(cohort == "a", 1.1, 1.3)))
    (time,) = found.time.to_dict("records")
    assert time["low"] < 0.0 < np.log(1.3) < time["high"]  # two numbers, as it were
    assert found.unlike == "How busy the machine was is not recorded on both sides."


@pytest.mark.parametrize(
    ("slower", "verdict"), [(1.26, Verdict.INCONCLUSIVE), (2.5, Verdict.WORSE), (0.4, Verdict.BETTER)]
)
def test_what_two_trainings_of_one_code_may_differ_by_is_no_verdict_on_time(slower: float, verdict: Verdict) -> None:
    base = runs().assign(timed_seconds=1.0, timed_processor=0.98, timed_busy=0.98)
    base = base.assign(cohort=base["cell_key"], milliseconds_per_step=1.0 + 0.01 * pd.factorize(base["cell_key"])[0])
    candidate = base.assign(milliseconds_per_step=slower * base["milliseconds_per_step"] ** 1.1)
    found = compare(Side("a", base, 0), Side("b", candidate, 0), {"time": 0.1})
    assert found.suite.set_index("response").loc["time", "verdict"] == verdict and not found.unlike


def test_two_settings_in_one_folder_have_no_partner_to_guess() -> None:
    folders = [pd.concat([recorded(rate, f"a-{rate}").runs for rate in both]) for both in ((0.1, 0.2), (0.3, 0.4))]
    one, two = own_sides(*(Side(str(at), each.reset_index(drop=True)) for at, each in enumerate(folders)))
    with pytest.raises(NotComparable, match="Record each setting into a folder of its own"):
        compare(one, two)


def test_one_or_two_replicates_decide_no_cell_but_say_so() -> None:
    for replicates in (1, 2):
        base, other = runs(replicates=replicates), runs(replicates=replicates, seed=1)
        found = compare(Side("a", base, 0), Side("b", other, 1))
        assert set(found.verdicts["verdict"]) == {"inconclusive"} and not found.power.deciding
    assert found.power.needed is not None and found.power.would >= 7


def test_two_suites_of_the_same_versions_are_seldom_called_worse() -> None:
    assert false_alarms("transformer", 4).count("worse") <= 1


@pytest.mark.full
@pytest.mark.parametrize("suite", ["default", "recurrent", "transformer", "conv"])
def test_of_200_suites_of_the_same_versions_at_most_5_percent_are_called_worse(suite: str) -> None:
    assert false_alarms(suite, 200).count("worse") <= 10
