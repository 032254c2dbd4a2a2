"""Causes along time: planted gradients by lag, one in each run, named where nothing else was seen."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.analysis.causes import Signs, causes_of, evidence, helping
from bench.report.sections.why import with_article
from tests.analysis.test_causes import Changes, judged, tables

LAGS = (0, 1, 4, 9)
VANISHES, EXPLODES = "gradient vanishes through time", "gradient explodes through time"
Lines = dict[int, tuple[float, ...]]  # by step: decades at `LAGS`
STAYS: Changes = {"evaluations": {"largest_answer_share": 1.0}}

CASES: list[tuple[str, Lines, Changes, str]] = [
    ("vanishes at every step", {0: (0, -0.5, -2.0, -4.0), 9: (0, -0.3, -1.0, -2.5)}, STAYS, VANISHES),
    ("reaches the first step later", {0: (0, -0.5, -2.0, -4.0), 9: (0, 0, -0.5, -1.9)}, STAYS, "one answer"),
    ("grows", {0: (0, 0.5, 1.0, 1.9), 4: (0, 1.0, 2.4, 2.1)}, STAYS, EXPLODES),
    ("vanishes, its rate too large", {0: (0, -1, -2, -4)}, {"loss_curves": {"step": 4, "loss": 9.0}}, "rate too large"),
]  # fmt: skip


def planted(lines: Lines, direction: str = "forward") -> pd.DataFrame:
    """Rows of the table for run a0."""
    rows = [
        {"run_id": "a0", "step": step, "layer_index": 0, "direction": direction, "lag": lag,
         "state_grad_norm": 3.0 * 10.0**decades, "cell_grad_norm": float("nan")}
        for step, line in lines.items() for lag, decades in zip(LAGS, line, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("lines", "changes", "cause"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_gradient_along_time_is_the_cause_where_nothing_else_was_seen(
    lines: Lines, changes: Changes, cause: str
) -> None:
    made = tables(changes) | {"time_gradients": planted(lines)}
    (found,) = causes_of(made, judged(made))["cause"]
    assert found.startswith(cause)


def test_evidence_says_how_much_at_which_lag_and_what_helps() -> None:
    told = {}
    for name, lines, changes, _ in (CASES[0], CASES[2]):
        made = tables(changes) | {"time_gradients": planted(lines)}
        signs = Signs(made).all()
        told[name] = signs[signs["cause"].isin([VANISHES, EXPLODES])].iloc[0]
    vanishes, explodes = told.values()
    assert evidence(vanishes).startswith("step 0: at most −2.5 decades from lag 0 to the first time step")
    assert evidence(explodes).startswith("layer 0, step 4: 2.4 decades from lag 0 to lag 4")
    assert "gate_bias chrono" in helping(vanishes) and "clipping" in helping(explodes)
    assert with_article(VANISHES) == "a gradient that vanishes through time"


def test_a_network_that_reads_backward_too_forgets_nothing() -> None:
    lines: Lines = {0: (0, -1, -2, -4)}
    made = tables(STAYS) | {"time_gradients": pd.concat([planted(lines), planted(lines, "backward")])}
    assert not Signs(made).all()["cause"].eq(VANISHES).any()
