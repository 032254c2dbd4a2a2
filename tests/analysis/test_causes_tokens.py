"""Causes between tokens: planted attention and planted likeness, one in each run, named where nothing is learned."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.analysis.causes import Signs, causes_of, evidence, helping
from bench.schema import conform
from tests.analysis.test_causes import Changes, judged, tables

HEADS, SUBLAYERS = 2, (0, 2)
ONE_KEY, ALIKE = "attention on one key", "tokens alike"
STAYS: Changes = {"loss_curves": {"step": 9, "loss": 2.3}, "evaluations": {"largest_answer_share": 1.0}}
Shares = dict[tuple[int, int], tuple[float, float]]  # by step and sub-layer: of each head


def planted(shares: Shares) -> pd.DataFrame:
    """Rows of `attention` for run a0, half of all entropy but where it is said."""
    rows = [
        {"run_id": "a0", "step": step, "layer_index": layer, "head": head,
         "entropy_share": shares.get((step, layer), (0.5, 0.5))[head]}
        for step in (0, 9) for layer in SUBLAYERS for head in range(HEADS)
    ]  # fmt: skip
    columns = {name: [row.get(name) for row in rows] for name in ("entropy", *rows[0])}
    return conform("attention", columns).to_pandas()


CASES: list[tuple[str, Shares, Changes, str]] = [
    ("at the start", {(0, 2): (0.15, 0.01)}, STAYS, ONE_KEY),
    ("later, nothing learned", {(9, 0): (0.02, 0.02)}, STAYS, ONE_KEY),
    ("one head alone", {(0, 0): (0.01, 0.5)}, STAYS, "one answer for every input"),
    ("with a loss that fell", {(9, 0): (0.02, 0.02)}, {"evaluations": STAYS["evaluations"]}, "one answer"),
    ("after a loss that rose", {(9, 0): (0.0, 0.0)}, {"loss_curves": {"step": 4, "loss": 9.0}}, "rate too large"),
    ("tokens at the start", {}, {"activations": {"step": 0, "token_distance": 1e-5}}, ALIKE),
    ("tokens later", {}, STAYS | {"activations": {"step": 9, "token_distance": 1e-5}}, "one answer"),
    ("tokens of a lower layer", {}, STAYS | {"activations": {"step": 0, "layer": 1, "token_distance": 0.0}}, "one"),
]  # fmt: skip


@pytest.mark.parametrize(("shares", "changes", "cause"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_tokens_do_is_the_cause_where_nothing_is_learned(shares: Shares, changes: Changes, cause: str) -> None:
    made = tables(changes) | {"attention": planted(shares)}
    (found,) = causes_of(made, judged(made))["cause"]
    assert found.startswith(cause)


def test_evidence_says_where_and_what_helps() -> None:
    made = tables(STAYS | {"activations": {"step": 0, "token_distance": 2e-5}}) | {
        "attention": planted({(0, 2): (0.15, 0.01)})
    }
    signs = Signs(made).all()
    one_key, alike = (signs[signs["cause"] == cause].iloc[0] for cause in (ONE_KEY, ALIKE))
    assert evidence(one_key).startswith("layer 2, step 0: entropy of the attention over the largest possible 0.08 (at")
    assert evidence(alike).startswith("layer 2, step 0: 1 less the mean cosine of two tokens 2·10⁻⁵ (below")
    assert "sigma_reparam" in helping(one_key) and "damped" in helping(alike)


def test_results_without_the_table_have_no_such_sign() -> None:
    made = tables(STAYS)
    del made["attention"]
    assert not Signs(made).all()["cause"].isin([ONE_KEY, ALIKE]).any()
