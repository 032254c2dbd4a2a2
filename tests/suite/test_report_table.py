"""`[report]` of a suite: what is read, what is refused and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.suite import parse_suite
from tests.cohorts import suite_text

SUITE = suite_text("s", "q?", 1, {"steps": 5}, depth=[2, 4], normalization=["none", "layer_normalization"],
                   initializer=["orthogonal", {"level": "orthogonal", "gain": 1.5}])  # fmt: skip


def read(written: str) -> dict:
    return parse_suite(f"{SUITE}\n[report]\n{written}\n", Path("s.toml")).report.as_written()


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("", {"ask": "", "baseline": {}}),
        ('ask = "depth"', {"ask": "depth", "baseline": {}}),
        ('baseline = { normalization = "layer_normalization", depth = 4 }',
         {"ask": "", "baseline": {"normalization": "layer_normalization", "depth": 4}}),
        ('baseline = { initializer = { level = "orthogonal", gain = 1.5 } }',
         {"ask": "", "baseline": {"initializer": "orthogonal(gain=1.5)"}}),
    ],
)  # fmt: skip
def test_what_a_suite_may_ask(written: str, means: dict) -> None:
    assert read(written) == means


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('asks = "depth"', r's.toml: \[report\] "asks" is not a key. .*"ask"'),
        ('ask = "dept"', r'\[report\] ask: "dept" is not a factor. .*"depth"'),
        ('ask = "width"', r"\[report\] ask: width does not vary here."),
        ("baseline = 3", r"\[report\] baseline: 3 is not a table"),
        ("baseline = { dept = 3 }", r'\[report\] baseline dept: "dept" is not a factor.'),
        ("baseline = { depth = 3 }", r"\[report\] baseline depth: 3 is not a level of this suite."),
        ('baseline = { normalization = "batch" }', r'normalization: "batch" is not a level'),
        ('baseline = { initializer = "orthogonal" }', r'"orthogonal" may be orthogonal or orthogonal\(gain=1.5\) here'),
        ('ask = "depth"\nbaseline = { depth = 2 }', r"baseline depth: it is the factor that is asked for"),
    ],
)  # fmt: skip
def test_what_is_refused(written: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        read(written)
