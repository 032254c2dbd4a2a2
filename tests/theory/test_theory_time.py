"""What theory says of gradients through time: its numbers, networks drawn in numpy, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.errors import BenchError
from bench.theory import (
    LagProfile,
    Law,
    activation,
    arcsine_share,
    horizon,
    input_state,
    lag_profile,
    recurrent_cell_of,
    singular_bound,
    tied_sum,
)
from bench.theory.gates import Gates, gated_sums
from tests.theory import finite_recurrence as finite
from tests.theory.finite_recurrence import Inputs

Array = np.ndarray
LSTM, LSTM_0, GRU = {"cell": "lstm"}, {"cell": "lstm", "gate_bias": "zeros"}, {"cell": "gru"}
IRNN: dict[str, object] = {"activation": "relu", "recurrent_initializer": "identity"}
GATED_LAGS = [10, 20, 40]
PROOF = pytest.mark.full


def predicted(levels: dict[str, object], lag: int, variance: float, **kwargs: object) -> LagProfile:
    return lag_profile(recurrent_cell_of(levels), lag, variance, **kwargs)  # type: ignore[arg-type]


def gaussian(sigma: float) -> dict[str, object]:
    return {"recurrent_initializer": f"variance_scaling(scale={sigma**2:g})"}


@pytest.mark.parametrize(
    ("levels", "variance", "rate"),
    [
        ({}, 0.01, -0.02869),
        ({}, 0.1, -0.08094),
        ({}, 1.0, -0.19958),
        (gaussian(1.5), 0.1, 0.01138),
        (gaussian(2.0), 0.1, 0.06084),
        ({"activation": "relu"}, 0.1, -0.15051),
        ({"activation": "relu", "recurrent_initializer": "he_normal"}, 0.1, 0.0),
        (gaussian(0.6), 0.0, math.log10(0.6)),
        ({}, 0.0, 0.0),
    ],
)
def test_the_rate_of_a_simple_cell(levels: dict[str, object], variance: float, rate: float) -> None:
    found = predicted(levels, 20, variance)
    assert found.rate == pytest.approx(rate, abs=1e-5)
    assert found.state[[1, 20]] == pytest.approx([rate, 20 * rate], abs=4e-4)


@pytest.mark.parametrize(
    ("levels", "past_hidden"),
    [(LSTM, [-1.026, -1.785, -3.214]), (LSTM_0, [-2.452, -4.575, -8.735])],
)
def test_the_sum_over_gates_of_an_lstm(levels: dict[str, object], past_hidden: list[float]) -> None:
    found = predicted(levels, 40, 0.0)
    assert found.past_hidden is not None
    assert found.past_hidden[GATED_LAGS] == pytest.approx(past_hidden, abs=6e-4)
    assert predicted(levels, 40, 1e-4).state == pytest.approx(found.state, abs=2e-3)


def test_the_way_through_h_counts_once() -> None:
    """At lag 1 delta_c is f + i o U, its derivative behind the cell f alone, and delta_h of the step before U alone."""
    found = predicted(LSTM, 40, 0.0)
    assert found.state[GATED_LAGS] == pytest.approx([-0.970, -1.722, -3.148], abs=6e-4)
    forget, step = 1.0 / (1.0 + math.exp(-1.0)), 0.125
    assert 10.0 ** (2.0 * found.state[1]) == pytest.approx(forget**2 + step**2)
    assert found.past_hidden is not None
    assert found.hidden is not None
    assert 10.0 ** found.past_hidden[1] == pytest.approx(forget)
    assert 10.0 ** found.hidden[1] == pytest.approx(step)
    assert found.rate == pytest.approx(math.log10(forget + step))


def test_the_sum_over_gates_of_a_gru() -> None:
    assert predicted(GRU, 40, 0.0).state[GATED_LAGS] == pytest.approx([-2.244, -4.228, -8.121], abs=6e-4)


def test_the_sum_against_its_terms_and_beyond_the_range_of_floats() -> None:
    lags = np.array([0, 1, 2, 5, 12])
    terms = [sum(math.comb(k, j) ** 2 * 0.7 ** (2 * (k - j)) * 0.2 ** (2 * j) for j in range(k + 1)) for k in lags]
    assert tied_sum(0.7, 0.2, lags) == pytest.approx(0.5 * np.log10(terms))
    assert tied_sum(0.7, 0.0, lags) == pytest.approx(lags * math.log10(0.7))
    far = tied_sum(0.5, 0.125, np.array([3000, 4000]))
    assert (far[1] - far[0]) / 1000 == pytest.approx(math.log10(0.625), abs=1e-4)


def test_units_that_are_alike_sum_as_one() -> None:
    nearly = predicted({"cell": "gru", "gate_bias": "chrono(t_max=3)"}, 30, 0.0).state
    assert (
        predicted(GRU, 30, 0.0).state[30] < nearly[30] < predicted({**GRU, "gate_bias": "remember"}, 30, 0.0).state[30]
    )

    one = Gates(np.array([0.7]), np.array([0.5]), np.ones(1), 0.25)
    three = Gates(np.full(3, 0.7), np.full(3, 0.5), np.array([0.2, 0.3, 0.5]), 0.25)
    for name in ("state", "past_hidden", "hidden"):
        assert getattr(gated_sums(three, 60), name) == pytest.approx(getattr(gated_sums(one, 60), name), abs=1e-9)


def test_what_an_irnn_keeps() -> None:
    """The listed numbers are the limit's, the arcsine law; at 100 steps the walk's own law lies 0.01 above at most."""
    lags = np.array([10, 25, 40, 50, 80, 95])
    listed = [0.795, 0.667, 0.564, 0.5, 0.295, 0.144]
    assert 2.0 / np.pi * np.arctan(np.sqrt((100 - lags) / lags)) == pytest.approx(listed, abs=5e-4)
    assert arcsine_share(100, lags) == pytest.approx(listed, abs=0.011)
    assert arcsine_share(900, 9 * lags) == pytest.approx(listed, abs=0.002)
    assert arcsine_share(2, np.arange(3)) == pytest.approx([1.0, 5 / 8, 3 / 8])  # signs of x_1, x_2, x_1 + x_2
    found = predicted(IRNN, 50, 0.05, length=100).state
    assert found[[0, 50]] == pytest.approx([0.0, -0.1505], abs=2e-3)
    assert predicted(IRNN, 50, 0.05, constant=True).state[[0, 1, 50]] == pytest.approx([0, -0.1505, -0.1505], abs=1e-4)


@pytest.mark.parametrize(
    ("levels", "variance", "lag"),
    [({}, 0.01, 70), ({}, 0.1, 25), ({}, 1.0, 11), (LSTM, 1e-4, 24), (LSTM_0, 1e-4, 9), (GRU, 1e-4, 9)],
)
def test_the_horizon(levels: dict[str, object], variance: float, lag: int) -> None:
    assert horizon(predicted(levels, 100, variance)) == lag
    assert horizon(predicted(levels, lag - 1, variance)) is None


def test_the_memory_of_a_gate() -> None:
    assert recurrent_cell_of({"cell": "lstm", "gate_bias": "chrono(t_max=100)"}).memory == (2.0, 100.0)
    assert recurrent_cell_of(LSTM).memory == pytest.approx((3.718, 3.718), abs=1e-3)
    cell = recurrent_cell_of({"cell": "lstm", "gate_bias": "chrono(t_max=100)"})
    times = np.exp(cell.keep_bias)
    assert cell.weights @ times == pytest.approx(50.0)
    assert cell.weights @ times**2 - 50.0**2 == pytest.approx(98.0**2 / 12.0)


def test_keras_starts_are_the_defaults() -> None:
    for cell, keep in (("lstm", 1.0), ("gru", 0.0)):
        for start in ({}, {"gate_bias": "none"}, {"gate_bias": "unit_forget"}):
            assert recurrent_cell_of({"cell": cell, **start}).keep_bias.tolist() == [keep]
    assert recurrent_cell_of({**GRU, "gate_bias": "chrono"}, length=40).memory == (2.0, 40.0)
    assert recurrent_cell_of({**GRU, "gate_bias": "remember(value=2)"}).keep_bias.tolist() == [2.0]


@pytest.mark.parametrize("value", [-1e6, 60.0, 1e6])
@pytest.mark.parametrize("levels", [LSTM, GRU])
def test_gates_that_are_shut_or_open_for_ever(levels: dict[str, object], value: float) -> None:
    found = predicted({**levels, "gate_bias": f"remember(value={value:g})"}, 3, 0.01)
    assert found.state[3] == pytest.approx(0.0, abs=0.2) if value > 0 else found.state[3] < -1.0


def test_a_sequence_begins_at_rest() -> None:
    """Near the first step q is below its fixed point and tanh steeper: less is lost there."""
    short, long = (predicted({}, 30, 0.1, length=length).state for length in (30, 200))
    assert long == pytest.approx(predicted({}, 30, 0.1).state, abs=1e-9)
    assert short[30] > long[30] + 0.01
    assert short[1] == pytest.approx(long[1], abs=1e-6)


@pytest.mark.parametrize(
    ("levels", "largest", "vanishes"),
    [
        (gaussian(0.6), 1.2, False),
        (gaussian(0.4), 0.8, True),
        ({"recurrent_initializer": "orthogonal(gain=0.9)"}, 0.9, True),
        ({"activation": "sigmoid", "recurrent_initializer": "orthogonal(gain=3)"}, 3.0, True),
        ({"recurrent_initializer": "identity"}, 1.0, False),
    ],
)
def test_pascanus_bound_is_sufficient_for_vanishing(levels: dict[str, object], largest: float, vanishes: bool) -> None:
    cell = recurrent_cell_of(levels)
    bound = singular_bound(cell)
    assert bound.largest == pytest.approx(largest)
    assert bound.vanishes is vanishes
    if cell.kernel != "identity":
        rates = [input_state(cell.phi, cell.weight_variance, v).rate for v in (0.0, 0.1, 10.0)]
        assert max(rates) < bound.rate + 1e-9


@pytest.mark.parametrize(
    ("levels", "variance", "kwargs", "says"),
    [
        ({"cell": "lstn"}, 0.0, {}, 'cell: "lstn" is not a level. Did you mean "lstm"'),
        ({"cell": "lstm", "recurrent_initializer": "lsuv"}, 0.0, {}, "Known: identity, random_normal"),
        ({"gate_bias": "chrono"}, 0.0, {}, "a simple cell has not. Cells with gates: lstm, gru"),
        ({**GRU, "gate_bias": "chrono"}, 0.0, {}, r'the sequences, above 2, or a number: "chrono\(t_max=100\)"'),
        ({**GRU, "normalization": "layer_normalization"}, 0.0, {}, "Not predicted: a cell that is normalized inside"),
        ({"truncate": "bptt(steps=5)"}, 0.0, {}, "Not predicted: truncation ends the gradient"),
        ({**GRU, "gate_bias": "chrono(t_max=1)"}, 0.0, {}, "must be above 2"),
        ({**LSTM, "activation": "relu"}, 0.0, {}, "Not predicted: .* relu, whose slope jumps at 0"),
        ({**LSTM, "activation": "softplus"}, 0.0, {}, "Not predicted: .* softplus, which is not 0 at 0"),
        (
            {**LSTM, "recurrent_initializer": "identity"},
            0.0,
            {},
            "Not predicted: .* a unit of lstm moves its own gates",
        ),
        (LSTM, 0.2, {}, "Not predicted: inputs of variance 0.2 .* covers 0 to 0.1"),
        (GRU, 0.02, {"constant": True}, "Not predicted: constant inputs .* covers 0 to 0.001"),
        ({"recurrent_initializer": "identity"}, 0.1, {}, "Not predicted: .* not gain 1 with tanh"),
        ({"activation": "relu"}, 0.0, {}, "Not predicted: without input the state is 0"),
        (IRNN, 0.1, {}, "give --length"),
        ({}, 0.1, {"length": 39}, "A sequence of 39 steps has no lag of 40: lags to 39"),
        ({}, -0.1, {}, "at least 0, not -0.1"),
        ({}, math.nan, {}, "finite"),
    ],
)
def test_what_is_not_predicted_is_refused(
    levels: dict[str, object], variance: float, kwargs: dict[str, object], says: str
) -> None:
    with pytest.raises(BenchError, match=says):
        predicted(levels, 40, variance, **kwargs)


@pytest.mark.parametrize("seeds", [pytest.param(2, id="two"), pytest.param(8, id="eight", marks=PROOF)])
@pytest.mark.parametrize(
    ("levels", "variance", "tolerance"),
    [
        ({}, 0.01, 0.0005),
        ({}, 0.1, 0.001),
        ({}, 1.0, 0.002),
        (gaussian(1.5), 0.1, 0.004),
        (gaussian(2.0), 0.1, 0.005),
        ({"activation": "relu"}, 0.1, 0.01),
    ],
)
def test_drawn_simple_cells(levels: dict[str, object], variance: float, tolerance: float, seeds: int) -> None:
    cell = recurrent_cell_of({**levels, "width": 256})

    drawn = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 11])
        mixing = finite.orthogonal(rng, 256) if cell.kernel == "orthogonal" else None
        kernel = finite.independent(rng, 256, cell.weight_variance) if mixing is None else cell.gain * mixing
        drawn.append(finite.simple(rng, kernel, Inputs(variance, 100), cell.phi.name)[50] / 50)
    assert np.mean(drawn) == pytest.approx(predicted(levels, 1, variance).rate, abs=tolerance)


@pytest.mark.parametrize("seeds", [pytest.param(4, id="four"), pytest.param(16, id="sixteen", marks=PROOF)])
@pytest.mark.parametrize("variance", [1e-4, 0.1])
@pytest.mark.parametrize(("forget", "levels"), [(1.0, LSTM), (0.0, LSTM_0)])
def test_drawn_lstms(forget: float, levels: dict[str, object], variance: float, seeds: int) -> None:
    drawn = [finite.lstm(np.random.default_rng([seed, 15]), 256, Inputs(variance, 41), forget) for seed in range(seeds)]
    found = predicted(levels, 40, variance)
    tolerance = (0.05 if forget else 0.06) if variance < 0.1 else 0.12
    for name in ("state", "past_hidden", "hidden"):
        measured = np.mean([getattr(each, name)[GATED_LAGS] for each in drawn], axis=0)
        assert measured == pytest.approx(getattr(found, name)[GATED_LAGS], abs=tolerance)


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize(("variance", "tolerance"), [(1e-4, 0.06), (0.1, 0.12)])
def test_drawn_grus(variance: float, tolerance: float, after: bool) -> None:
    drawn = [finite.gru(np.random.default_rng([seed, 17]), 256, Inputs(variance, 41), after=after) for seed in range(4)]
    measured = np.mean(drawn, axis=0)[GATED_LAGS]
    assert measured == pytest.approx(predicted(GRU, 40, variance).state[GATED_LAGS], abs=tolerance)


@pytest.mark.parametrize("longest", [20, 100])
def test_drawn_cells_that_begin_by_chrono(longest: int) -> None:
    """Units with gates of their own: the sum over units, on networks that it was not derived on."""
    lstms, grus = [], []
    for seed in range(4):
        rng = np.random.default_rng([seed, longest])
        bias = np.log(rng.uniform(1.0, longest - 1.0, 256))
        lstms.append(finite.lstm(rng, 256, Inputs(1e-4, 41), bias, -bias))
        grus.append(finite.gru(rng, 256, Inputs(1e-4, 41), bias))
    start = {"gate_bias": f"chrono(t_max={longest})"}
    found = predicted({**LSTM, **start}, 40, 1e-4)
    for name in ("state", "past_hidden", "hidden"):
        measured = np.mean([getattr(each, name)[GATED_LAGS] for each in lstms], axis=0)
        assert measured == pytest.approx(getattr(found, name)[GATED_LAGS], abs=0.05)
    measured = np.mean(grus, axis=0)[GATED_LAGS]
    assert measured == pytest.approx(predicted({**GRU, **start}, 40, 1e-4).state[GATED_LAGS], abs=0.05)


def test_a_drawn_irnn() -> None:
    lags, inputs = np.array([10, 25, 40, 80, 95, 100]), Inputs(0.05, 100)
    drawn = [finite.simple(np.random.default_rng([s, 30]), np.eye(256), inputs, "relu")[lags] for s in range(8)]
    assert (10.0 ** (2.0 * np.array(drawn))).mean(axis=0) == pytest.approx(arcsine_share(100, lags), abs=0.02)


@pytest.mark.parametrize(
    ("levels", "variance", "law"),
    [(gaussian(0.6), 0.0, Law.RADIUS), (gaussian(0.6), 0.1, Law.RADIUS), (gaussian(1.5), 0.0, Law.CHI)],
)
def test_drawn_cells_without_input_or_with_a_constant_one(levels: dict[str, object], variance: float, law: Law) -> None:
    """The rate is the radius of D W, not the largest singular value (1.2 for sigma_w = 0.6), nor sigma_w = 1.5."""
    found, scale = predicted(levels, 15, variance, constant=True), recurrent_cell_of(levels).weight_variance
    assert found.law is law
    drawn = []
    for seed in range(4):
        rng = np.random.default_rng([seed, 2])
        start = 0.01 if scale < 1.0 else 1.0
        kernel = finite.independent(rng, 256, scale)
        drawn.append(finite.simple(rng, kernel, Inputs(variance, 150, constant=True), start=start)[15] / 15)
    assert np.mean(drawn) == pytest.approx(found.rate, abs=0.006)


def test_steepest_slopes() -> None:
    assert [activation(name).steepest for name in ("tanh", "sigmoid")] == [1.0, 0.25]
