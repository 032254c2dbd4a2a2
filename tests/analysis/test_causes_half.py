"""Causes in float16: what overflows, what underflows, and steps that are skipped, planted one in each run."""

from __future__ import annotations

import pytest

from bench.analysis.causes import Signs, causes_of, evidence, helping
from tests.analysis.test_causes import NAN, Changes, judged, tables

HALF = {"precision": "mixed_float16(loss_scale=none)"}
SCALED = {"precision": "mixed_float16"}
INFINITE = NAN | {"kind": "infinity", "tensor": "pre-activation"}
STAYS = {"evaluations": {"largest_answer_share": 1.0}}
ZEROS = {"step": 0, "layer": 1, "weight_grad_zero_fraction": 0.7, "weight_grad_mean_abs": 3e-8}
SKIPPED = {"kind": "skipped_step", "tensor": "gradient", "layer": 3}
CASES: list[tuple[str, Changes, str, str]] = [
    ("overflow at the start", {"runs": HALF, "divergence_events": INFINITE | {"step": 0}}, "float16 overflow",
     "layer 2, step 0: pre-activation beyond 65504"),
    ("overflow of logits", {"runs": HALF, "divergence_events": INFINITE | {"step": 0, "tensor": "logits"}},
     "float16 overflow", "layer 2, step 0: logits beyond 65504"),
    ("overflow later", {"runs": HALF, "divergence_events": INFINITE | {"step": 9}}, "float16 overflow",
     "layer 2, step 9"),
    ("the same in float32", {"divergence_events": INFINITE | {"step": 0}}, "non-finite numbers from the start", ""),
    ("a weight", {"runs": HALF, "divergence_events": INFINITE | {"step": 9, "tensor": "weight"}},
     "left the finite numbers", "layer 2, step 9"),
    ("underflow", {"runs": HALF, "gradient_norms": ZEROS}, "gradient underflow in float16",
     "layer 1, step 0: share of exact zeros in the kernel's gradient 0.7 (at least 0.5), from this layer down"),
    ("zeros of dead units", {"runs": HALF, "gradient_norms": ZEROS | {"weight_grad_mean_abs": 1e-4}} | STAYS,
     "one answer for every input", ""),
    ("zeros though scaled", {"runs": SCALED, "gradient_norms": ZEROS | {"weight_grad_mean_abs": 1e-12}},
     "gradient underflow in float16", "layer 1"),
    ("zeros in float32", {"gradient_norms": ZEROS} | STAYS, "one answer for every input", ""),
    ("most steps skipped", {"runs": SCALED, "loss_curves": {"step": 9, "skipped": 10},
     "divergence_events": SKIPPED | {"step": 2}}, "skipped steps",
     "step 2: share of steps that the loss scale skipped 1 "),
    ("few steps skipped", {"runs": SCALED, "loss_curves": {"step": 9, "skipped": 3},
     "divergence_events": SKIPPED | {"step": 2}} | STAYS, "one answer for every input", ""),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "cause", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_float16_does_is_the_cause_where_it_is_seen(changes: Changes, cause: str, said: str) -> None:
    made = tables(changes)
    (found,) = causes_of(made, judged(made))["cause"]
    assert found == cause
    sign = Signs(made).all().iloc[0]
    assert said in evidence(sign)
    assert ("16" not in cause and cause != "skipped steps") or "precision mixed_bfloat16" in helping(sign)
