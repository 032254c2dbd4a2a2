"""From tables to one number per run, and from runs to one per replicate: known answers, lost and censored runs."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from bench.analysis.claims.units import take
from bench.analysis.claims.words import part_in_words, unit_of
from bench.quantities import Quantity
from bench.suite.claims import Part
from bench.suite.claims.numbers import NAMED, read_number
from tests.analysis.claims_tables import (
    PAIR,
    SIDES,
    evaluations,
    norms,
    run_numbers,
    runs_of,
    suite_of,
    tables_of,
    units_of,
)

DEPTH = "depth = [4, 16]"
INF = math.inf


def _part(rule: str, factors: str = DEPTH, replicates: int = 1, fixed: str = "steps = 60") -> Part:
    return suite_of(factors, rule, replicates=replicates, fixed=fixed).claims[0].parts[0]


@pytest.mark.parametrize(
    ("keys", "shallow", "deep"),
    [
        ('transform = "ln", take = "slope"', 0.5, 0.5),
        ('transform = "ln", take = "slope", layers = [1, -2]', 0.5, 0.5),
        ('transform = "ln", layers = "first"', 0.0, 0.0),
        ('transform = "ln", layers = "last"', 1.5, 7.5),
        ('transform = "ln", layers = "head"', 2.0, 8.0),
        ('transform = "ln", layers = 2', 1.0, 1.0),
        ('transform = "ln", layers = -2', 1.0, 7.0),
        ('transform = "ln", layers = [0, 1]', 0.25, 0.25),
        ('transform = "ln"', 0.75, 3.75),
        ('transform = "ln", take = "max"', 1.5, 7.5),
        ('transform = "ln", take = "min"', 0.0, 0.0),
        ('transform = "log10", take = "first_less_last"', -1.5 / math.log(10), -7.5 / math.log(10)),
        ('transform = "square", layers = 1', math.e, math.e),
        ('over = "weight_count", layers = "first"', 1.0, 1.0),
        ('transform = "ln", layers = 5', math.nan, 2.5),
    ],
)
def test_layers_become_one_number(keys: str, shallow: float, deep: float) -> None:
    part = _part(f'number = {{ column = "weight_norm", {keys} }}\nleast = 0')
    runs = runs_of(suite_of(DEPTH, replicates=1))
    tables = tables_of(runs, gradient_norms=norms(runs, lambda run, layer: math.exp(0.5 * layer)))
    assert run_numbers(tables, part)["value"].tolist() == pytest.approx([shallow, deep], nan_ok=True)


def test_a_slope_against_the_log_of_the_layer_and_one_that_leaves_out_zeros() -> None:
    runs = runs_of(suite_of(DEPTH, replicates=1))
    tables = tables_of(
        runs, gradient_norms=norms(runs, lambda run, layer: (1.0 + layer) ** -1.5 if layer != 2 else 0.0)
    )
    part = _part('number = { column = "weight_norm", transform = "ln", take = "slope", on = "ln_layer" }\nleast = 0')
    assert run_numbers(tables, part)["value"].tolist() == pytest.approx([-1.5, -1.5])


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ('step = "start"', 5.0), ('step = "end"', 1.0), ('step = "change"', -4.0), ("step = 2", 3.0),
        ('step = "mean"', 3.0), ('step = "min"', 1.0), ('step = "max"', 5.0),
        ("below = 3.5", 2.0), ("above = 4.5", 0.0),
        ("below = 3.5, smooth = 3", 3.0),  # 4 is the mean of 5, 4, 3; 3 that of 4, 3, 2
    ],
)  # fmt: skip
def test_steps_become_one_number(keys: str, value: float) -> None:
    part = _part(f'number = {{ column = "loss", table = "loss_curves", {keys} }}\nleast = 0', "depth = [4]")
    runs = runs_of(suite_of("depth = [4]", replicates=1))
    curve = pd.DataFrame({"run_id": runs["run_id"].iloc[0], "step": range(5), "loss": [5.0, 4.0, 3.0, 2.0, 1.0]})
    assert run_numbers(tables_of(runs, loss_curves=curve), part)["value"].tolist() == [value]


def _lost_first(run: object) -> str:
    return "diverged" if run["depth"] == 4 else "completed"  # type: ignore[index]


@pytest.mark.parametrize(
    ("lost", "value", "low", "high", "kept"),
    [
        ('"unknown"', math.nan, -INF, INF, True),
        ('"measured"', 0.7, 0.7, 0.7, True),
        ('"excluded"', 0.7, 0.7, 0.7, False),
        ('"chance"', 0.1, 0.1, 0.1, True),
        ("0.25", 0.25, 0.25, 0.25, True),
    ],
)
def test_a_lost_run_counts_as_the_rule_says(lost: str, value: float, low: float, high: float, kept: bool) -> None:
    part = _part(f'number = {{ column = "accuracy" }}\nleast = 0\nlost = {lost}')
    runs = runs_of(suite_of(DEPTH, replicates=1), _lost_first)
    found = run_numbers(tables_of(runs, evaluations=evaluations(runs, 0.7)), part)
    first, second = found.to_dict("records")
    assert [first[key] for key in ("value", "low", "high")] == pytest.approx([value, low, high], nan_ok=True)
    assert (first["lost"], first["kept"], second["lost"], second["value"]) == (True, kept, False, 0.7)


def test_what_was_measured_at_the_start_counts_whatever_became_of_the_run() -> None:
    runs = runs_of(suite_of(DEPTH, replicates=1), _lost_first)
    tables = tables_of(runs, gradient_norms=norms(runs, lambda run, layer: 10.0**layer))
    for number in ('response = "signal_ratio_start"', 'column = "weight_norm", step = "start", layers = "first"'):
        assert run_numbers(tables, _part(f"number = {{ {number} }}\nleast = 0"))["value"].notna().all()
    assert (
        run_numbers(tables, _part('number = { response = "signal_ratio_end" }\nleast = 0'))["value"].isna().sum() == 1
    )


def test_what_was_measured_at_a_step_before_a_run_was_lost_counts() -> None:
    part = _part('number = { column = "loss", table = "loss_curves", step = 2 }\nlost = 9\nleast = 0')
    runs = runs_of(suite_of(DEPTH, replicates=2), lambda run: "diverged")
    early = pd.DataFrame({"run_id": runs["run_id"].iloc[:2], "step": 2, "loss": 0.5})
    assert run_numbers(tables_of(runs, loss_curves=early), part)["value"].tolist() == [0.5, 0.5, 9.0, 9.0]


def test_a_lost_run_did_not_learn_and_an_unmeasured_one_may_have() -> None:
    part = _part("number = { learned = 0.5 }\nleast = 0")
    runs = runs_of(suite_of(DEPTH, replicates=2), _lost_first)
    rows = evaluations(runs, 0.7)
    found = run_numbers(tables_of(runs, evaluations=rows[rows["run_id"] != runs["run_id"].iloc[-1]]), part)
    assert found["low"].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert found["high"].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert found["unmeasured"].tolist() == [False, False, False, True]


def test_a_run_that_does_not_get_there_is_censored_at_its_planned_steps() -> None:
    part = _part('number = { column = "loss", table = "loss_curves", below = 0.5 }\nleast = 0')
    runs = runs_of(suite_of(DEPTH, replicates=1), _lost_first)
    curve = pd.DataFrame({"run_id": runs["run_id"].iloc[1], "step": [0, 1, 2], "loss": [1.0, 0.4, 0.3]})
    never, there = run_numbers(tables_of(runs, loss_curves=curve), part).to_dict("records")
    assert (never["value"], never["low"], never["high"], never["censored"]) == (60.0, 60.0, INF, True)
    assert (there["value"], there["low"], there["high"], there["censored"]) == (1.0, 1.0, 1.0, False)
    named = _part('number = { response = "steps_to_accuracy" }\nleast = 0')
    found = run_numbers(tables_of(runs, evaluations=evaluations(runs, 0.1)), named)
    assert found["value"].tolist() == [60.0, 60.0] and found["censored"].all()


def test_the_logarithm_of_what_is_not_above_0_is_not_known() -> None:
    part = _part('number = { column = "accuracy", step = "change" }\nln = true\nleast = 0')
    runs = runs_of(suite_of(DEPTH, replicates=1))
    found = run_numbers(tables_of(runs, evaluations=evaluations(runs, pd.Series([0.1 + math.e, 0.0]))), part)
    assert found["value"].tolist() == pytest.approx([1.0, math.nan], nan_ok=True)
    assert (found["low"].iloc[1], found["high"].iloc[1]) == (-INF, INF)


X = np.array([1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("how", "value", "low", "high", "expected"),
    [
        ("mean", [1, 2, 6], [1, 2, 6], [1, 2, 6], (3, 3, 3)),
        ("mean", [1, 2, 6], [1, 2, 6], [1, 2, INF], (3, 3, INF)),
        ("median", [1, 2, 6], [1, 2, 6], [1, 2, INF], (2, 2, 2)),
        ("max", [1, 2, 6], [1, 2, 6], [1, 2, INF], (6, 6, INF)),
        ("min", [1, 2, 6], [1, 2, 6], [1, 2, INF], (1, 1, 1)),
        ("slope", [3, 5, 9], [3, 5, 9], [3, 5, 9], (2, 2, 2)),
        ("slope", [3, 5, 9], [3, 5, 9], [3, 5, INF], (2, 2, INF)),  # beyond the middle: steeper
        ("slope", [3, 5, 9], [3, 5, 9], [INF, 5, 9], (2, -INF, 2)),  # before it: less steep
        ("slope", [3, math.nan, 9], [3, -INF, 9], [3, INF, 9], (2, -INF, INF)),
        ("rank_correlation", [1, 3, 9], [1, 3, 9], [1, 3, 9], (1, 1, 1)),
        ("rank_correlation", [2, 2, 2], [2, 2, 2], [2, 2, 2], (0, 0, 0)),
        ("rank_correlation", [1, math.nan, 9], [1, -INF, 9], [1, INF, 9], (math.nan, -1, 1)),
        ("largest", [1, 1, 0], [1, 1, 0], [1, 1, 0], (2, 2, 2)),
        ("largest", [1, 0, 1], [1, 0, 1], [1, 0, 1], (4, 4, INF)),
        ("largest", [0, 0, 0], [0, 0, 0], [0, 0, 0], (1, -INF, 1)),
        ("smallest", [0, 1, 1], [0, 1, 1], [0, 1, 1], (2, 2, 2)),
        ("smallest", [1, 1, 1], [1, 1, 1], [1, 1, 1], (1, -INF, 1)),
        ("largest", [1, math.nan, 0], [1, 0, 0], [1, 1, 0], (math.nan, -INF, INF)),
    ],
)
def test_reductions_carry_what_is_known(
    how: str, value: list[float], low: list[float], high: list[float], expected: tuple[float, float, float]
) -> None:
    arrays = [np.array(each, np.float64) for each in (value, low, high)]
    assert take(how, X, *arrays) == pytest.approx(expected, nan_ok=True)


GRID = """
depth = [4, 16, 64]
initializer = ["glorot_uniform", "he_normal"]
learning_rate = [0.01, 0.03, 0.1]
"""


def test_the_largest_rate_that_learns_is_paired_by_depth_and_replicate() -> None:
    rule = f"""number = {{ learned = 0.9 }}
reduce = {{ over = "learning_rate", take = "largest" }}
{SIDES}compare = "ratio"
least = 1.5"""
    suite = suite_of(GRID, rule, replicates=3)
    runs = runs_of(suite)
    largest = runs["initializer"].map({"he_normal": 0.03, "glorot_uniform": 0.01})
    accuracy = (runs["learning_rate"] <= largest + 1e-9).map({True: 0.95, False: 0.1})
    units = units_of(tables_of(runs, evaluations=evaluations(runs, accuracy)), suite.claims[0].parts[0])
    assert np.exp(units.judged["value"]).tolist() == pytest.approx([3.0] * 3)
    assert np.exp(units.judged["low"]).tolist() == pytest.approx([3.0] * 3)
    assert (units.unpaired, units.found, units.lost) == (0, 54, 0)


def test_reductions_follow_each_other() -> None:
    rule = """number = { learned = 0.9 }
where = { learning_rate = 0.01 }
reduce = [
  { over = "depth", take = "largest" },
  { take = "slope", over = [
    { x = 7, cells = { initializer = "glorot_uniform" } },
    { x = 22, cells = { initializer = "he_normal" } },
  ] },
]
least = 0"""
    suite = suite_of(GRID, rule, replicates=3)
    runs = runs_of(suite)
    deepest = runs["initializer"].map({"he_normal": 16, "glorot_uniform": 4})
    accuracy = (runs["depth"] <= deepest).map({True: 0.95, False: 0.1})
    units = units_of(tables_of(runs, evaluations=evaluations(runs, accuracy)), suite.claims[0].parts[0])
    assert units.judged["value"].tolist() == pytest.approx([12.0 / 15.0] * 3)


def test_each_network_counts_at_its_best_rate_and_an_edge_is_told() -> None:
    rule = f'number = {{ column = "accuracy" }}\n{SIDES}best = "learning_rate"\nleast = 0'
    suite = suite_of(GRID, rule, replicates=3)
    runs = runs_of(suite)
    best = {"he_normal": 0.03, "glorot_uniform": 0.1}
    accuracy = runs.apply(lambda run: 0.9 if run["learning_rate"] == best[run["initializer"]] else 0.5, axis=1)
    units = units_of(tables_of(runs, evaluations=evaluations(runs, accuracy)), suite.claims[0].parts[0])
    assert len(units.runs) == 2 * 3 * 3 and units.judged["value"].tolist() == [0.0] * 3
    assert units.best.groupby("level")["on_edge"].agg(["all", "size"]).values.tolist() == [[False, 3], [True, 3]]


@pytest.mark.parametrize(("by", "chosen"), [("accuracy", 0.01), ("loss", 0.1), ("highest", 0.03)])
def test_what_is_best_is_chosen_by_accuracy_then_loss_or_as_the_rule_says(by: str, chosen: float) -> None:
    rule = f'number = {{ column = "weight_norm" }}\nbest = "learning_rate"\nbest_by = "{by}"\nleast = 0'
    suite = suite_of("learning_rate = [0.01, 0.03, 0.1]", rule, replicates=1)
    runs = runs_of(suite)
    norm = norms(runs, lambda run, layer: 9.0 if run["learning_rate"] == 0.03 else 1.0)
    rows = evaluations(runs, pd.Series([0.9, 0.9, 0.8]), pd.Series([0.2, 0.3, 0.1]))
    units = units_of(tables_of(runs, evaluations=rows, gradient_norms=norm), suite.claims[0].parts[0])
    assert units.best["level"].tolist() == [chosen]


def test_a_rate_at_which_runs_are_lost_is_not_the_best() -> None:
    rule = """number = { column = "loss", table = "evaluations", below = 0.5 }
best = "learning_rate"
best_by = "lowest"
least = 0"""
    suite = suite_of("learning_rate = [0.01, 0.1]", rule, replicates=3)
    runs = runs_of(suite, lambda run: "diverged" if run["learning_rate"] == 0.1 else "completed")
    rows = evaluations(runs, 0.9)
    rows = rows[~rows["run_id"].isin(runs.loc[runs["status"] == "diverged", "run_id"])]
    units = units_of(tables_of(runs, evaluations=rows), suite.claims[0].parts[0])
    assert units.best["level"].tolist() == [0.01] and units.judged["value"].tolist() == [60.0] * 3


@pytest.mark.parametrize("by", ["accuracy", "loss"])
def test_what_a_lost_run_measured_before_does_not_make_its_rate_the_best(by: str) -> None:
    rule = f'number = {{ learned = 0.9 }}\nbest = "learning_rate"\nbest_by = "{by}"\nleast = 0'
    suite = suite_of("learning_rate = [0.01, 0.1]", rule, replicates=1)
    runs = runs_of(suite, lambda run: "diverged" if run["learning_rate"] == 0.1 else "completed")
    rows = evaluations(runs, pd.Series([0.5, 0.9]), pd.Series([0.5, 0.1]))
    units = units_of(tables_of(runs, evaluations=rows), suite.claims[0].parts[0])
    assert units.best["level"].tolist() == [0.01]


CENSORED = """
number = { column = "loss", table = "loss_curves", below = 0.5 }
best = "learning_rate"
best_by = "lowest"
most = 10.0
"""


@pytest.mark.parametrize("recorded", [True, False])
def test_rates_at_which_all_runs_are_censored_are_told_apart_by_their_loss(recorded: bool) -> None:
    suite = suite_of("learning_rate = [0.001, 0.01, 0.1]", CENSORED)
    runs = runs_of(suite)
    curves = pd.DataFrame({"run_id": runs["run_id"], "step": 0, "loss": 2.3})
    final = runs["learning_rate"].map({0.001: 1.2, 0.01: 0.6, 0.1: 1.5})
    tables = tables_of(runs, loss_curves=curves)
    if recorded:
        tables["evaluations"] = evaluations(runs, 0.1, final)
    best = units_of(tables, suite.claims[0].parts[0]).best
    assert best["level"].tolist() == [0.01 if recorded else 0.001]
    assert best["on_edge"].tolist() == [not recorded]


def test_the_number_goes_before_the_loss() -> None:
    suite = suite_of("learning_rate = [0.001, 0.01]", CENSORED)
    runs = runs_of(suite)
    reached = runs["learning_rate"].map({0.001: 0.4, 0.01: 2.3})
    curves = pd.DataFrame({"run_id": runs["run_id"], "step": 0, "loss": reached})
    tables = tables_of(runs, loss_curves=curves, evaluations=evaluations(runs, 0.1, 2.7 - reached))
    assert units_of(tables, suite.claims[0].parts[0]).best["level"].tolist() == [0.001]


def test_runs_without_a_partner_are_counted() -> None:
    suite = suite_of(PAIR, f'number = {{ column = "accuracy" }}\n{SIDES}least = 0', replicates=4)
    runs = runs_of(suite).iloc[1:]
    units = units_of(tables_of(runs, evaluations=evaluations(runs, 0.5)), suite.claims[0].parts[0])
    assert (len(units.judged), units.unpaired, units.found) == (3, 1, 7)


LAYERS = ({}, {"layers": "first"}, {"layers": "head"}, {"layers": -2}, {"layers": [1, -2]})
TAKES = ({}, *({"take": take} for take in ("median", "min", "max", "first_less_last", "slope")))
STEPS = (*({"step": step} for step in (3, "start", "end", "change", "mean", "min", "max")),
         {"below": 1e-5}, {"above": 1e-5, "smooth": 5})  # fmt: skip


def every_number() -> list[Quantity]:
    """Every quantity of a run that a claim may name, and every way to write one out of a column."""
    found = [read_number({"response": name}) for name in NAMED]
    found += [read_number({"learned": 1e-5, "split": split}) for split in ("train", "validation")]
    for transform, over, step in product(("none", "ln", "log10", "square"), (None, "weight_count"), STEPS):
        told = {"column": "weight_norm", "transform": transform, **({"over": over} if over else {}), **step}
        for layers, taken in product(LAYERS, TAKES):
            if not (taken and isinstance(layers.get("layers", []), int | str)):
                found.append(read_number(told | layers | taken))
        found.append(read_number({"column": "loss", "table": "evaluations", "transform": transform, **step}))
    told = {"column": "weight_norm", "take": "slope", "on": "ln_layer"}
    return [*found, read_number(told), read_number({"column": "mean"}), read_number({"column": "mean", "take": "max"})]


def test_no_wording_of_a_number_doubles_a_word_or_spells_a_power_of_ten_twice() -> None:
    plain = _part('number = { learned = 0.5 }\nleast = 1e-5\nreduce = { over = "depth", take = "mean" }')
    reductions = [
        (),
        *((replace(plain.reduce[0], take=each),) for each in ("mean", "max", "slope", "rank_correlation")),
    ]
    reductions += [(*reductions[1], *reductions[3]), (replace(reductions[3][0], log=True),)]
    said = set()
    for number, ln, reduce, compare in product(every_number(), (False, True), reductions, ("difference", "ratio")):
        part = replace(plain, number=number, ln=ln, reduce=reduce, compare=compare, against=plain.of, lost=1e-5)
        said |= {part_in_words(part), unit_of(part)}
    assert len(said) > 5000
    doubled = re.compile(r"\b(\w+) \1\b|  |e-\d")
    assert [words for words in said if doubled.search(words)] == []
