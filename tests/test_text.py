"""Numbers, counts and durations in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import text

CASES = {
    text.number: [
        (0.0, "0"), (-0.0, "0"), (1e-5, "10⁻⁵"), (-1e-5, "−10⁻⁵"), (2.46e-5, "2.46·10⁻⁵"), (9.9996e-4, "0.001"),
        (0.5, "0.5"), (-12.34, "−12.3"), (999.6, "1,000"), (1234.4, "1,234"), (1e6, "10⁶"), (-3.2e9, "−3.2·10⁹"),
        (1234567, "1,234,567"), (-3, "−3"), (np.int64(4096), "4,096"), (np.float32(0.25), "0.25"), (None, "–"),
        (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), ("relu", "relu"),
    ],
    text.exactly: [(0.02, "0.02"), (64.0, "64"), (1e-5, "10⁻⁵"), (0.1234567891, "0.1234567891"), (-0.5, "−0.5")],
    text.duration: [(0.4, "0 s"), (59.4, "59 s"), (293.0, "4 min 53 s"), (3600.0, "1 h 0 min"), (7530.0, "2 h 5 min")],
    text.signed: [(0.307, "+0.31"), (-0.05, "−0.05"), (-0.001, "+0.00"), (math.nan, "–")],
    text.decades: [(-4.24, "−4.2"), (0.31, "+0.3"), (-0.01, "0.0"), (math.inf, "+∞"), (-math.inf, "−∞")],
    text.p_value: [(0.031, "p = 0.031"), (0.0004, "p < 0.001"), (math.nan, "–")],
    text.integer: [(12345, "12,345"), (-1, "−1")],
    text.power_of_ten: [(-12, "10⁻¹²")],
    text.sentence: [("too few: 2", "Too few: 2."), ("Done.", "Done."), ("", "")],
    text.ratio: [(12.3, "× 12"), (1.0, "× 1"), (1 / 30_000, "÷ 30,000"), (0.0, "–"), (math.nan, "–"), (math.inf, "–")],
    text.listed: [([], "none"), (["a"], "a"), (["a", "b", "c"], "a, b and c")],
}  # fmt: skip


@pytest.mark.parametrize("said", CASES, ids=lambda function: function.__name__)
def test_each_has_one_form(said: Callable[..., str]) -> None:
    assert [said(given) for given, _ in CASES[said]] == [wanted for _, wanted in CASES[said]]


def test_shares_are_whole_only_where_they_are() -> None:
    found = [text.percent(part, 1000) for part in (0, 1, 5, 500, 999, 1000)]
    assert found == ["0 %", "<1 %", "<1 %", "50 %", ">99 %", "100 %"]
    assert (text.percent(0, 0), text.of(1412, 2648)) == ("–", "1,412 of 2,648")
    assert [text.of(0, whole, "run") for whole in (1, 1200)] == ["0 of 1 run", "0 of 1,200 runs"]
    assert text.share_interval(0.801, 0.9) == "80–90 %"
    assert [text.plural(count, "run") for count in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]
    assert (text.span(4, 4), text.span(4, 1200), text.span(4, 12, " to ")) == ("4", "4–1,200", "4 to 12")
    assert [text.shortened("he normal", most) for most in (9, 8, 4)] == ["he normal", "he norm…", "he…"]
    assert text.listed(list("abcdefghij"), 3) == "a, b, c and 7 more"


@given(st.floats(-1e300, 1e300))
def test_a_number_is_within_a_half_of_its_last_digit_and_never_in_programmers_spelling(value: float) -> None:
    said = text.number(value)
    assert "e" not in said and "-" not in said
    assert read(said) == pytest.approx(value, rel=5.1e-3, abs=5e-324)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_exact_numbers_are_read_back(value: float) -> None:
    assert read(text.exactly(value)) == value


def read(said: str) -> float:
    """A number as `number` or `exactly` spelt it."""
    power = re.fullmatch(r"(−?)(?:([\d.]+)·)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", said)
    if power:
        sign, mantissa, exponent = power.groups()
        said = f"{sign}{mantissa or 1}e{exponent.translate(PLAIN)}"
    return float(said.replace("−", "-").replace(",", ""))


PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
