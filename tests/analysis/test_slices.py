"""Numbers of time steps: at a lag, over that at another, slopes, horizons, and what a suite is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bench.analysis.claims.words import part_in_words, unit_of
from bench.analysis.quantities import measure
from bench.errors import SuiteError
from bench.factors import planned_groups, planned_moments
from bench.plan import make_plan
from bench.suite import Suite
from tests.analysis.claims_tables import run_numbers, runs_of, suite_of, tables_of

INF = math.inf
FIXED = """steps = 60
architecture = "recurrent"
dataset = { level = "recall", length = 41 }
depth = 2
{more}
[record]
time_gradients = { at = [0, 10, "last"] }
"""
FACTORS = 'cell = ["simple", "lstm"]'
LAGS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40)


def suite(rule: str, more: str = "", replicates: int = 1) -> Suite:
    return suite_of(FACTORS, rule, fixed=FIXED.replace("{more}", more), replicates=replicates)


def over_time(found: Suite, norm: Callable[[str, int, int], float]) -> dict[str, pd.DataFrame]:
    """Tables whose gradient for the state is `norm` of the cell, the layer and the distance from the last step."""
    rows = []
    for run in make_plan(found).runs:
        for layer, moment in planned_moments(run.choices):
            distance = 40 - moment.time if moment.direction == "forward" else moment.time
            value = norm(run.choices["cell"].name, layer, distance)
            at = {"layer_index": layer, "direction": moment.direction, "time": moment.time, "lag": moment.lag}
            told = {"state_grad_norm": value, "preactivation_grad_norm": 2.0, "gate_mean": moment.time / 40.0}
            rows += [{"run_id": run.run_id, "step": step} | at | told for step in (0, 10)]
    return tables_of(runs_of(found), time_gradients=pd.DataFrame(rows))


def fading(cell: str, layer: int, distance: int) -> float:
    """In the first layer nothing fades, in the second 0.05 or, in an LSTM, 0.1 decades a step."""
    rate = {"simple": 0.05, "lstm": 0.1}[cell] * layer
    return 3.0 * 10.0 ** (-rate * distance)


@pytest.mark.parametrize(
    ("keys", "simple", "lstm"),
    [
        ('column = "state_grad_norm", lag = 40, over_lag = 0, transform = "log10"', -1.0, -2.0),
        ('column = "state_grad_norm", lag = 40, over_lag = 0, transform = "log10", layers = "last"', -2.0, -4.0),
        ('column = "state_grad_norm", lag = 40, over_lag = 0, transform = "log10", layers = "first"', 0.0, 0.0),
        ('column = "state_grad_norm", lag = 0, step = 10', 3.0, 3.0),
        ('column = "state_grad_norm", lag = "first", over_lag = "last", transform = "log10", take = "min"', -2.0, -4.0),
        ('column = "state_grad_norm", lags = [8, 32], transform = "log10", layers = 1', -0.05, -0.1),
        ('column = "state_grad_norm", lags = [8, 32], transform = "log10"', -0.025, -0.05),
        ('column = "state_grad_norm", lag = 0, over = "preactivation_grad_norm"', 1.5, 1.5),
        ('column = "state_grad_norm", horizon = 0.1, layers = "last"', 24.0, 12.0),
        ('column = "state_grad_norm", horizon = 0.011, layers = "last"', 40.0, 24.0),
        ('column = "gate_mean", lag = 8, direction = "forward"', 0.8, 0.8),
        ('column = "gate_mean", lag = 8, direction = "backward"', math.nan, math.nan),
        ('column = "gate_mean", lag = "first", step = "change"', 0.0, 0.0),
    ],
)
def test_time_steps_become_one_number_a_layer(keys: str, simple: float, lstm: float) -> None:
    found = suite(f"number = {{ {keys} }}\nleast = 0")
    numbers = run_numbers(over_time(found, fading), found.claims[0].parts[0])
    assert numbers["value"].tolist() == pytest.approx([simple, lstm], nan_ok=True)


def test_a_horizon_beyond_the_sequence_is_censored_at_its_longest_lag() -> None:
    found = suite('number = { column = "state_grad_norm", horizon = 0.01, take = "min" }\nleast = 0')
    tables = over_time(found, lambda cell, layer, d: fading(cell, 1, d) if cell == "lstm" else 1.0)
    numbers = run_numbers(tables, found.claims[0].parts[0])
    assert numbers["value"].tolist() == [40.0, 24.0]
    assert numbers[["low", "high"]].to_numpy().tolist() == [[40.0, INF], [24.0, 24.0]]
    assert numbers["censored"].tolist() == [True, False]
    nothing = over_time(found, lambda cell, layer, d: 0.0 if d == 0 or cell == "lstm" else 1.0)
    numbers = run_numbers(nothing, found.claims[0].parts[0])
    assert numbers["value"].isna().all() and not numbers["censored"].any() and numbers["unmeasured"].all()


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_page_has_the_signal_through_time_and_its_horizon(direction: str) -> None:
    found = suite('number = { response = "time_ratio_start" }\nleast = 0', f'direction = "{direction}"')
    measured = measure(over_time(found, lambda cell, layer, distance: fading("lstm", 1, distance))).iloc[0]
    assert measured["time_ratio_start"] == measured["time_ratio_end"] == pytest.approx(-4.0)
    assert measured["horizon_start"] == measured["horizon_end"] == 24.0


def test_a_loss_at_every_step_has_no_horizon_and_nothing_recorded_no_number() -> None:
    copy = FIXED.replace('{ level = "recall", length = 41 }', '{ level = "copy_memory", delay = 39, items = 1 }')
    found = suite_of(FACTORS, fixed=copy.replace("{more}", ""), replicates=1)
    measured = measure(over_time(found, fading))
    assert measured["horizon_start"].isna().all()
    np.testing.assert_allclose(measured["time_ratio_start"], [-1.0, -2.0])
    assert measure(tables_of(runs_of(found)))[["time_ratio_start", "horizon_end"]].isna().all(axis=None)


def test_a_rule_on_time_steps_is_said_in_words_with_its_unit() -> None:
    said = {
        'lag = 40, over_lag = 0, transform = "log10", step = 0': (
            "mean over hidden layers of log10(state_grad_norm at lag 40 over that at lag 0) at step 0", "decades",
        ),
        'lags = [8, 32], transform = "log10", layers = 0': (
            "layer 0's slope of log10(state_grad_norm) against lags 8 to 32", "decades per time step",
        ),
        'horizon = 0.01, layers = "last"': (
            "last hidden layer's smallest lag with less than 1 % of state_grad_norm at lag 0", "time steps",
        ),
        'lag = "first", direction = "backward"': ("state_grad_norm at the first time step (backward)", "1"),
    }  # fmt: skip
    for keys, (words, unit) in said.items():
        part = suite(f'number = {{ column = "state_grad_norm", {keys} }}\nleast = 0').claims[0].parts[0]
        assert words in part_in_words(part)
        assert unit_of(part) == unit


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("", "lag is missing: lag = 40 is one time step, lags = [10, 50] the slope between two"),
        ("lag = 20", "lag: no time step with lag 20 is kept; the nearest are 8, 12, 16, 24, 32."),
        ("lag = 40, over_lag = 5", "over_lag: no time step with lag 5 is kept; the nearest are 2, 3, 4, 6, 8."),
        ("lags = [17, 23]", "lags: fewer than two are kept from 17 to 23"),
        ("lags = [50, 10]", "lags: [50, 10] is not [from, to], two whole numbers"),
        ("lag = -1", "lag: -1 is not allowed"),
        ('lag = "frist"', "lag: \"frist\" is not allowed: it is 'first' or 'last', or a number"),
        ("lag = 0, horizon = 0.1", "lag and horizon: give one of them"),
        ("horizon = 0.1, over_lag = 0", "over_lag: it belongs to lag, not horizon."),
        ("horizon = 1.0", "horizon: 1.0 is not allowed: it must be below 1.0"),
        ('horizon = 0.1, transform = "log10"', "transform: a horizon is a lag"),
        ('horizon = 0.1, step = "mean"', "step: a horizon may lie beyond the sequence"),
        ('lag = 0, direction = "back"', "direction: \"back\" is not allowed: it is 'forward' or 'backward'"),
        ("lag = 0, step = 5", "step: time_gradients has none at 5; the nearest are 0, 10, 59."),
        ('lag = 0, layers = "head"', "layers: time_gradients has no head"),
        ("lga = 0", 'lga is not a key. Did you mean "lag"?'),
    ],
)
def test_what_no_row_can_tell_is_refused_with_the_nearest(keys: str, says: str) -> None:
    with pytest.raises(SuiteError, match=re.escape(says)):
        suite(f'number = {{ column = "state_grad_norm"{", " if keys else ""}{keys} }}\nleast = 0')


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ('column = "second_moment_root", group = "gate_f"', 2.0),
        ('column = "second_moment_root", group = "kernel", layers = "head"', 20.0),
        ('column = "update_norm", over = "weight_norm", group = "gate_f", layers = 1, transform = "log10"', -1.0),
    ],
)
def test_a_group_of_parameters_has_a_number_a_layer(keys: str, value: float) -> None:
    fixed = FIXED.replace("{more}", "").replace("time_gradients", "parameter_groups")
    found = suite_of('cell = ["lstm", "gru"]', f"number = {{ {keys} }}\nleast = 0", fixed=fixed, replicates=1)
    rows = [
        {
            "run_id": run.run_id, "step": step, "layer_index": layer, "group": group, "weight_norm": 10.0 * (1 + layer),
            "second_moment_root": 1.0 + layer + len(group) - 5 if layer < 2 else 20.0, "update_norm": 1.0 + layer,
        }
        for run in make_plan(found).runs for step in (0, 59) for layer, group in planned_groups(run.choices)
    ]  # fmt: skip
    tables = tables_of(runs_of(found), parameter_groups=pd.DataFrame(rows))
    numbers = run_numbers(tables, found.claims[0].parts[0])["value"]
    assert numbers.iloc[0] == pytest.approx(value + (0.5 if "gate_f" in keys and "root" in keys else 0.0))
    assert math.isnan(numbers.iloc[1]) == ("gate_f" in keys)
    assert "(gate f)" in part_in_words(found.claims[0].parts[0]) or "gate_f" not in keys


def test_what_is_no_group_is_refused_with_the_nearest() -> None:
    said = {
        'column = "grad_norm"': "group is missing: which of kernel, recurrent_kernel, bias, gain, gate_i",
        'column = "grad_norm", group = "gate_forget"': 'group: "gate_forget" is not one. Did you mean',
        'column = "std", group = "kernel"': "group: only parameter_groups has any, and std is in activations",
        'column = "update_norm", group = "kernel", lag = 0': "lag: only time_gradients has time steps",
    }
    for keys, says in said.items():
        with pytest.raises(SuiteError, match=re.escape(says)):
            suite(f"number = {{ {keys} }}\nleast = 0")


def test_time_steps_are_of_that_table_alone_and_must_be_recorded() -> None:
    with pytest.raises(SuiteError, match="lag: only time_gradients has time steps, and std is in activations"):
        suite('number = { column = "std", lag = 3 }\nleast = 0')
    unrecorded = FIXED.partition("[record]")[0].replace("{more}", "")
    with pytest.raises(SuiteError, match="time_gradients is never recorded here"):
        suite_of(FACTORS, 'number = { column = "gate_mean", lag = 3 }\nleast = 0', fixed=unrecorded)
