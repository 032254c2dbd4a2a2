"""`--only`: which cells an expression fits, and what is said where it cannot be read."""

from __future__ import annotations

import pytest

from bench.commands.only import cells_that_fit
from bench.errors import SuiteError
from bench.suite import Suite, load_suite
from tests.cohorts import suite_text

SUITE = suite_text(
    "only", "?", 1, {},
    depth=[2, 8, 32], activation=["tanh", "relu"],
    initializer=["he_normal", {"level": "orthogonal", "gain": 2.0}, {"level": "orthogonal", "gain": 1.5}],
    learning_rate=[0.1, 0.01],
)  # fmt: skip


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("only") / "only.toml"
    path.write_text(SUITE)
    return load_suite(path)


@pytest.mark.parametrize(
    ("expression", "cells"),
    [
        ("depth >= 8", 24),
        ('depth>=8 and activation=="tanh"', 12),
        ('depth == 2 or activation != "tanh"', 24),
        ("not depth < 32", 12),
        ("2 < depth <= 8", 12),
        ("8 > depth", 12),
        ("depth in [2, 32]", 24),
        ("depth not in (2, 8)", 12),
        ('initializer == "orthogonal"', 24),  # as in suite files: with any settings
        ('initializer == "orthogonal(gain=1.5)"', 12),
        ('"relu" == activation', 18),
        ("learning_rate < 0.05", 18),
        ('skip == "none"', 36),  # a fixed factor
        ('(depth > 2 and activation == "tanh") or learning_rate == 0.1', 24),
    ],
)
def test_cells_that_fit(suite: Suite, expression: str, cells: int) -> None:
    fits = cells_that_fit(suite, expression)
    assert sum(fits(cell) for cell in suite.cells) == cells


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("depht > 2", 'depht is not a factor. Did you mean "depth"?'),
        ('activation == "tanj"', 'never "tanj" here. Did you mean "tanh"?'),
        ("activation == tanh", "does not compare a factor with a value"),
        ("depth >", "cannot be read"),
        ("", "cannot be read"),
        ("depth", "is not a comparison"),
        ("depth + 1 > 2", "does not compare"),
        ('activation < "tanh"', "have no order"),
        ('depth > "2"', "have no order"),
        ("depth > True", "have no order"),
        ("depth == True", "is never true here"),
        ("depth is 2", "is not a comparison of values"),
        ('activation in "tanh"', "needs a list"),
        ("depth > 32", "fits none of the 36 cells"),
        ("depth == __import__('os').getpid()", "is not a value"),
        ("__import__('os').system('true')", "is not a comparison"),
        ("depth == [x for x in (1,)]", "is not a value"),
        ("depth == 1j", "neither a number"),
        ("depth == None", "neither a number"),
        ("(" * 300 + "depth > 2" + ")" * 300, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(suite: Suite, expression: str, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        cells_that_fit(suite, expression)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
