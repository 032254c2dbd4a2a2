"""Verdicts: planted truth found, noise not taken for it, intervals that cover, and what too little data says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from bench.analysis.claims import Judged, Verdict, judge_claims, judge_stored, rule_in_words
from bench.analysis.claims.intervals import Region, each_estimate, exact, mean_estimate, median_estimate, square_and_add
from bench.suite import Suite, parse_suite
from tests.analysis.claims_tables import PAIR, SIDES, evaluations, norms, runs_of, suite_of, tables_of

ANY = Region(-math.inf, math.inf)
LOSS = 'number = { column = "loss", table = "evaluations" }\n'
SUPPORTED, REFUTED, INCONCLUSIVE = Verdict


def _judge(suite: Suite, runs: pd.DataFrame, **tables: pd.DataFrame) -> list[Judged]:
    return judge_claims(tables_of(runs, **tables), suite.claims)


def _losses(suite: Suite, loss: Callable[[pd.DataFrame], pd.Series]) -> list[Judged]:
    runs = runs_of(suite)
    return _judge(suite, runs, evaluations=evaluations(runs, 0.9, loss(runs)))


def _effect(runs: pd.DataFrame, effect: float, spread: float, seed: int) -> pd.Series:
    """Losses with a draw per replicate, noise, and an effect of He's initializer."""
    rng = np.random.default_rng(seed)
    draw = rng.normal(0.0, spread, 100)[runs["replicate"]]
    return 5.0 + draw + rng.normal(0.0, spread, len(runs)) + effect * (runs["initializer"] == "he_normal")


@pytest.mark.parametrize(
    ("effect", "edges", "verdict"),
    [
        (1.0, "least = 0.5", SUPPORTED),
        (0.0, "least = 0.5", REFUTED),
        (0.5, "least = 0.5", INCONCLUSIVE),
        (-1.0, "most = -0.5", SUPPORTED),
        (0.0, "least = -0.3\nmost = 0.3", SUPPORTED),
        (1.0, "least = -0.3\nmost = 0.3", REFUTED),
    ],
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_a_planted_difference_is_decided(effect: float, edges: str, verdict: Verdict, statistic: str) -> None:
    suite = suite_of(PAIR, f'{LOSS}{SIDES}{edges}\nstatistic = "{statistic}"', replicates=10)
    claim = _losses(suite, lambda runs: _effect(runs, effect, 0.05, seed=3))[0]
    part = claim.parts[0]
    assert claim.verdict is verdict
    assert part.low < effect < part.high and abs(part.effect - effect) < 0.1
    assert (part.counts.planned, part.counts.judged, part.counts.replicates, part.counts.missing) == (20, 20, 10, 0)
    assert (part.p_value < 0.05) == (verdict is SUPPORTED)


def test_a_planted_ratio_is_decided_on_logarithms() -> None:
    suite = suite_of(PAIR, f'{LOSS}{SIDES}compare = "ratio"\nleast = 2', replicates=5)
    claim = _losses(suite, lambda runs: np.exp(_effect(runs, math.log(3.0), 0.05, seed=1)))[0]
    assert claim.verdict is SUPPORTED and claim.parts[0].scale == "ratio"
    assert claim.parts[0].low < 3.0 < claim.parts[0].high and claim.parts[0].effect == pytest.approx(3.0, rel=0.15)


def test_a_planted_slope_over_depth_is_decided() -> None:
    rule = f'{LOSS}ln = true\nreduce = {{ over = "depth", take = "slope", x = "ln_level" }}\nleast = 0.9\nmost = 1.1'
    suite = suite_of("depth = [4, 16, 64]", rule, replicates=5)
    rng = np.random.default_rng(0)
    claim = _losses(suite, lambda runs: runs["depth"] * np.exp(rng.normal(0.0, 0.02, len(runs))))[0]
    assert claim.verdict is SUPPORTED and claim.parts[0].unit == "ln per ln depth"


def test_a_planted_slope_over_layers_is_decided() -> None:
    rule = 'number = { column = "preactivation_grad_norm", transform = "ln", take = "slope", step = "start" }\n{}'
    suite = suite_of(
        "depth = [30]",
        rule.replace("{}", "least = -1.48\nmost = -1.42"),
        rule.replace("{}", "least = -1.40"),
        replicates=5,
    )
    rng = np.random.default_rng(0)
    runs = runs_of(suite)
    held, refuted = _judge(
        suite, runs, gradient_norms=norms(runs, lambda run, layer: math.exp(-1.45 * layer + rng.normal(0.0, 0.01)))
    )
    assert (held.verdict, refuted.verdict) == (SUPPORTED, REFUTED)


def test_each_replicate_must_lie_in_the_region() -> None:
    rule = f'{LOSS}statistic = "each"\nmost = 1.0'
    suite = suite_of("depth = [4]", rule, replicates=5)
    inside, outside = (
        _losses(suite, lambda runs, last=last: pd.Series([0.2, 0.4, 0.6, 0.8, last]))[0] for last in (0.9, 1.1)
    )
    assert (inside.verdict, outside.verdict) == (SUPPORTED, REFUTED)
    assert (inside.parts[0].low, inside.parts[0].effect, inside.parts[0].high) == (0.2, 0.6, 0.9)


@pytest.mark.parametrize(
    ("of", "against", "least", "verdict"),
    [
        (5, 0, 0.25, SUPPORTED),
        (5, 0, 0.3, INCONCLUSIVE),  # the lower end is 0.262
        (4, 0, 0.0, SUPPORTED),
        (3, 1, 0.0, INCONCLUSIVE),
        (0, 5, 0.3, REFUTED),
        (0, 0, 0.6, REFUTED),
        (0, 0, 0.5, INCONCLUSIVE),
    ],
)
def test_shares_that_learned_are_compared(of: int, against: int, least: float, verdict: Verdict) -> None:
    suite = suite_of(PAIR, f"number = {{ learned = 0.9 }}\n{SIDES}least = {least}", replicates=5)
    runs = runs_of(suite)
    learned = runs["replicate"] < np.where(runs["initializer"] == "he_normal", of, against)
    claim = _judge(suite, runs, evaluations=evaluations(runs, learned.map({True: 0.95, False: 0.1})))[0]
    assert claim.verdict is verdict and claim.parts[0].effect == pytest.approx((of - against) / 5.0)
    assert claim.parts[0].scale == "difference of shares"


def test_shares_of_several_cells_are_averaged_by_replicate() -> None:
    suite = suite_of(f"depth = [4, 8]\n{PAIR}", f"number = {{ learned = 0.9 }}\n{SIDES}least = 0.4", replicates=5)
    runs = runs_of(suite)
    learned = (runs["initializer"] == "he_normal") & ((runs["depth"] == 4) | (runs["replicate"] < 3))
    claim = _judge(suite, runs, evaluations=evaluations(runs, learned.map({True: 0.95, False: 0.1})))[0]
    assert (claim.parts[0].scale, claim.parts[0].effect, claim.verdict) == ("difference", pytest.approx(0.8), SUPPORTED)


def test_parts_hold_together_or_one_for_all() -> None:
    parts = '= [{ name = "grows", least = 0.5 }, { name = "grows a lot", least = 2.0 }]'
    suite = suite_of(PAIR, *(f"{LOSS}{SIDES}{needs} {parts}" for needs in ("all", "any")), replicates=5)
    both, one = _losses(suite, lambda runs: _effect(runs, 1.0, 0.05, seed=3))
    assert (both.verdict, both.why[:12]) == (REFUTED, "grows a lot:")
    assert (one.verdict, one.why[:6]) == (SUPPORTED, "grows:")
    assert [part.verdict for part in both.parts] == [SUPPORTED, REFUTED]


@pytest.mark.slow
def test_one_of_many_parts_decides_only_at_the_level_they_share() -> None:
    """A difference whose interval excludes 0 at 0.95, but not at 1 - 0.05/20."""
    parts = ", ".join(f'{{ name = "{k}" }}' for k in range(20))
    rule = f"{LOSS}{SIDES}least = 0.0\n"
    suite = suite_of(PAIR, f"{rule}any = [{parts}]", rule, replicates=5)
    shifts = pd.Series([0.05, 0.1, 0.15, 0.2, 0.25])
    shared, alone = _losses(
        suite, lambda runs: 1.0 + (runs["initializer"] == "he_normal") * shifts[runs["replicate"]].to_numpy()
    )
    assert (shared.verdict, alone.verdict) == (INCONCLUSIVE, SUPPORTED)
    assert "At the level that the parts share" in shared.why


def test_a_lost_run_decides_nothing_unless_the_rule_says_what_it_counts() -> None:
    rule = f"{LOSS}{SIDES}most = -0.5\n"
    suite = suite_of(
        PAIR, rule, rule + 'lost = "excluded"', rule + "lost = 9.0", rule + 'statistic = "median"', replicates=9
    )
    runs = runs_of(
        suite, lambda run: "diverged" if run["initializer"] == "he_normal" and not run["replicate"] else "completed"
    )
    loss = _effect(runs, -1.0, 0.01, seed=0)
    unknown, excluded, worst, median = _judge(suite, runs, evaluations=evaluations(runs, 0.9, loss))
    verdicts = [each.verdict for each in (unknown, excluded, worst, median)]
    assert verdicts == [INCONCLUSIVE, SUPPORTED, INCONCLUSIVE, SUPPORTED]
    assert unknown.parts[0].high == math.inf and "lost or censored" in unknown.why
    assert [each.parts[0].counts.lost for each in (unknown, excluded, worst)] == [1, 1, 1]
    assert (excluded.parts[0].counts.excluded, excluded.parts[0].counts.replicates) == (1, 8)


def test_a_censored_side_bounds_the_ratio_from_one_end() -> None:
    """No run of `of` gets there in 60 steps, all of `against` do in 10 or 11: at least 5 times as many."""
    rule = 'number = { column = "loss", table = "loss_curves", below = 0.5 }\ncompare = "ratio"\n'
    swapped = 'of = { initializer = "glorot_uniform" }\nagainst = { initializer = "he_normal" }\n'
    sides = (f"{SIDES}least = 5", f"{SIDES}most = 8", f"{SIDES}most = 2", f"{swapped}most = 0.2")
    suite = suite_of(PAIR, *(rule + each for each in sides))
    runs = runs_of(suite)
    quick = runs[runs["initializer"] == "glorot_uniform"]
    start = pd.DataFrame({"run_id": quick["run_id"], "step": 0, "loss": 2.0})
    curves = pd.concat([start, start.assign(step=10 + quick["replicate"] % 2, loss=0.1)])
    longer, bounded, quicker, reverse = _judge(suite, runs, loss_curves=curves)
    verdicts = [each.verdict for each in (longer, bounded, quicker, reverse)]
    assert verdicts == [SUPPORTED, INCONCLUSIVE, REFUTED, SUPPORTED]
    assert (reverse.parts[0].low, reverse.parts[0].high < 0.2) == (0.0, True)
    assert longer.parts[0].high == math.inf and longer.parts[0].counts.censored == 5


@pytest.mark.parametrize("replicates", [1, 2])
def test_too_few_replicates_decide_nothing(replicates: int) -> None:
    rules = [f'{LOSS}least = 0.0\nstatistic = "{each}"' for each in ("mean", "median", "each")]
    suite = suite_of("depth = [4]", *rules, "number = { learned = 0.9 }\nleast = 0.1", replicates=replicates)
    for claim in _losses(suite, lambda runs: pd.Series(5.0, index=runs.index)):
        assert claim.verdict is INCONCLUSIVE and claim.why.startswith("too few")
        assert math.isnan(claim.parts[0].low)


def test_the_same_value_in_few_replicates_decides_nothing() -> None:
    for replicates, verdict in ((4, INCONCLUSIVE), (5, SUPPORTED)):
        suite = suite_of("depth = [4]", f"{LOSS}least = 0.0", replicates=replicates)
        assert _losses(suite, lambda runs: pd.Series(5.0, index=runs.index))[0].verdict is verdict


def test_empty_tables_missing_cells_and_infinities_decide_nothing() -> None:
    rules = [
        f"{LOSS}{SIDES}least = 0.1",
        "number = { learned = 0.9 }\nleast = 0.5",
        f'{LOSS}best = "initializer"\nleast = 0',
    ]
    suite = suite_of(PAIR, *rules, replicates=6)
    runs = runs_of(suite)
    one_side = runs[runs["initializer"] == "he_normal"]
    nothing = _judge(suite, runs)
    no_runs = _judge(suite, runs.iloc[:0])
    missing = _judge(suite, one_side, evaluations=evaluations(one_side, 0.1, 3.0))
    infinite = _judge(suite, runs, evaluations=evaluations(runs, 0.1, math.inf))
    for found in (*nothing, *no_runs, missing[0], infinite[0]):
        assert found.verdict is INCONCLUSIVE, found.why
    assert nothing[0].parts[0].counts.unmeasured == 12
    assert (missing[0].parts[0].counts.missing, no_runs[0].parts[0].counts.missing) == (6, 12)
    assert "6 of 12 planned runs are missing" in missing[0].why


def test_all_runs_lost_decide_that_none_learned_and_nothing_else() -> None:
    suite = suite_of("depth = [4]", "number = { learned = 0.9 }\nmost = 0.6", f"{LOSS}most = 100", replicates=5)
    runs = runs_of(suite, lambda run: "diverged")
    learned, loss = _judge(suite, runs, evaluations=evaluations(runs, 0.95))
    assert (learned.verdict, learned.parts[0].effect, loss.verdict) == (SUPPORTED, 0.0, INCONCLUSIVE)


@pytest.mark.parametrize(
    ("factors", "sides", "said"),
    [("", "", "1 of 1 networks"), (f"{PAIR}\n", SIDES, "2 of 2 networks")],
)
def test_a_best_level_on_the_edge_names_its_network_only_where_there_are_two(
    factors: str, sides: str, said: str
) -> None:
    suite = suite_of(f"{factors}learning_rate = [0.01, 0.1]", f'{LOSS}{sides}best = "learning_rate"\nleast = 0')
    (edge,) = _losses(suite, lambda runs: runs["learning_rate"])[0].parts[0].edges
    named = "initializer he_normal at 0.01; initializer glorot_uniform at 0.01." if sides else "0.01."
    assert edge.startswith(f"The best learning_rate of {said} is on the edge") and edge.endswith(f"beyond: {named}")


def test_every_rule_is_said_in_words() -> None:
    suite = suite_of(
        f"{PAIR}\nlearning_rate = [0.01, 0.1]", f'{LOSS}{SIDES}best = "learning_rate"\nleast = 0.5\nlost = 9'
    )
    assert rule_in_words(suite.claims[0]) == (
        "The loss (train) at the last recorded step for initializer he_normal less that for initializer "
        "glorot_uniform, by its mean over replicates, is at least 0.5 with its whole 95 % interval; each network at "
        "its best learning_rate (by final training accuracy, then loss); a lost run counts as 9."
    )


def test_known_answers_of_the_intervals() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = mean_estimate(values, values, values, 0.95, Region(0.0, math.inf))
    assert (found.effect, found.low, found.high) == pytest.approx((3.0, 1.0368, 4.9632), abs=1e-4)
    assert found.p_value == pytest.approx(0.00662, abs=1e-4)  # one-sided Student's t of 4.243 with 4 degrees
    assert exact(5, 5, 0.95) == pytest.approx((0.025**0.2, 1.0))
    assert exact(0, 10, 0.95) == pytest.approx((0.0, 1.0 - 0.025**0.1))
    side = 1.0 - 0.025**0.2
    assert square_and_add((5, 0), (5, 5), 0.95) == pytest.approx((1.0 - math.sqrt(2.0) * side, 1.0))
    six = np.arange(6.0)
    median = median_estimate(six, six, six, 0.95, Region(-1.0, math.inf))
    assert (median.low, median.high, median.p_value) == (0.0, 5.0, pytest.approx(1 / 64))
    assert each_estimate(six, six, six, Region(0.0, 5.0)).refuted is False
    assert each_estimate(six, six, six, Region(0.5, 5.0)).refuted is True


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 5, 10])
def test_the_interval_of_a_mean_covers_at_its_level(count: int) -> None:
    rng = np.random.default_rng(count)
    drawn = rng.normal(0.0, 1.0, (2000, count))
    found = [mean_estimate(each, each, each, 0.95, ANY) for each in drawn]
    assert 0.935 < np.mean([each.low <= 0.0 <= each.high for each in found]) < 0.965


def test_the_interval_of_a_censored_mean_does_not_claim_more_than_is_known() -> None:
    """Exponential with mean 1, cut at 1: the truth lies in the interval, which is open where a value was cut."""
    rng = np.random.default_rng(0)
    drawn = rng.exponential(1.0, (2000, 8))
    cut = np.minimum(drawn, 1.0)
    found = [mean_estimate(c, c, np.where(c < 1.0, c, math.inf), 0.95, ANY) for c in cut]
    assert np.mean([each.low <= 1.0 <= each.high for each in found]) > 0.95


def test_the_interval_of_a_median_covers_at_its_level() -> None:
    rng = np.random.default_rng(1)
    found = [median_estimate(each, each, each, 0.95, ANY) for each in rng.lognormal(0.0, 1.0, (2000, 9))]
    assert np.mean([each.low <= 1.0 <= each.high for each in found]) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 10])
def test_the_intervals_of_shares_cover_near_their_level(count: int) -> None:
    """Exactly, over all outcomes: every share on a grid, and every pair of them."""
    hits = np.arange(count + 1)
    shares = np.linspace(0.02, 0.98, 25)
    chance = binom.pmf(hits[:, None], count, shares)  # outcome, share
    single = np.array([exact(int(each), count, 0.95) for each in hits])
    covered = (single[:, :1] <= shares) & (shares <= single[:, 1:])
    assert (chance * covered).sum(0).min() >= 0.95
    both = np.array([[square_and_add((int(a), int(b)), (count, count), 0.95) for b in hits] for a in hits])
    for first, p in enumerate(shares):
        for second, q in enumerate(shares):
            weight = np.outer(chance[:, first], chance[:, second])
            misses = [weight[both[..., 0] > p - q].sum(), weight[both[..., 1] < p - q].sum()]
            assert sum(misses) < 0.075, (p, q, misses)
            assert misses[0] <= 0.025 or p < q, (p, q, misses)  # the end that holds a claim


NULLS = (
    f"{LOSS}{SIDES}least = 0.0",
    f'{LOSS}{SIDES}least = 0.0\nreduce = {{ over = "depth", take = "slope" }}',
    f"number = {{ learned = 0.9 }}\nwhere = {{ depth = 4 }}\n{SIDES}least = 0.0",
    f'{LOSS}{SIDES}any = [{{ name = "a", where = {{ depth = 4 }}, least = 0.0 }}, '
    '{ name = "b", where = { depth = 8 }, least = 0.0 }]',
    f'{LOSS}{SIDES}all = [{{ name = "a", where = {{ depth = 4 }}, least = 0.0 }}, '
    '{ name = "b", where = { depth = 8 }, least = 0.0 }]',
    f'{LOSS}{SIDES}least = 0.0\nbest = "learning_rate"',
)


@pytest.mark.full
def test_noise_alone_is_decided_wrongly_at_most_at_the_stated_level(data_sets: int = 100) -> None:
    """At the region's very edge, with no effect, either decision is wrong: each must be rare."""
    suite = suite_of(f"depth = [4, 8]\n{PAIR}\nlearning_rate = [0.01, 0.1]", *NULLS, replicates=5)
    runs = runs_of(suite)
    rng = np.random.default_rng(5)
    verdicts = []
    for _ in range(data_sets):
        draw = rng.normal(0.0, 0.2, 5)[runs["replicate"]]
        loss = np.exp(draw + rng.normal(0.0, 0.2, len(runs)))
        accuracy = pd.Series(np.where(rng.random(len(runs)) < 0.5, 0.95, 0.85))
        rows = evaluations(runs, accuracy, pd.Series(loss))
        verdicts.append([claim.verdict for claim in _judge(suite, runs, evaluations=rows)])
    table = pd.DataFrame(verdicts)
    # At the level of 0.05 more than this many are wrong with a chance of 0.01.
    most = binom.ppf(0.99, data_sets, 0.05)
    for wrong in (SUPPORTED, REFUTED):
        assert ((table == wrong).sum() <= most).all(), (table == wrong).sum().tolist()


def test_an_effect_of_the_claimed_size_is_found_in_most_data_sets() -> None:
    """The other side of caution: twice the claimed effect is held nearly always."""
    suite = suite_of(PAIR, f"{LOSS}{SIDES}least = 0.5", f"{LOSS}{SIDES}most = -0.5", replicates=6)
    found = [[c.verdict for c in _losses(suite, lambda runs, k=k: _effect(runs, 1.0, 0.2, seed=k))] for k in range(20)]
    held, refuted = zip(*found, strict=True)
    assert held.count(SUPPORTED) > 14 and held.count(REFUTED) == 0
    assert refuted.count(REFUTED) > 17 and refuted.count(SUPPORTED) == 0


def test_a_claim_counts_steps_to_the_line_that_the_suite_moved() -> None:
    rule = 'number = { response = "steps_to_accuracy" }\nmost = 10'
    suite = suite_of("depth = [4]", rule)
    moved = parse_suite(suite.text + '[verdicts]\nthresholds = { "outcome.learned_share" = 0.9 }\n', Path("moved.toml"))
    runs = runs_of(suite)
    rows = evaluations(runs, 0.95).replace({"step": {60: 5}})
    late = rows[rows["step"] == 5].assign(step=60)
    made = tables_of(runs, evaluations=pd.concat([rows.assign(accuracy=rows["accuracy"].replace(0.95, 0.7)), late]))
    for each, effect in ((suite, 5.0), (moved, 60.0)):
        (part,) = judge_stored(made, each.text)[0].parts
        assert part.effect == effect
