"""What the first recorded step says at once: whether the gradient vanishes or explodes, by the project's rule."""

from __future__ import annotations

import math

from bench.recorder.rows import Step, gradient_rows
from bench.rules import rule_set


def first_signal(step: Step) -> str:
    """A sentence where a rule of `gradtrial` holds; empty where none does."""
    rows = [
        row for row in gradient_rows(step) if row["layer_name"] != "head" and row["preactivation_grad_norm"] is not None
    ]
    if len(rows) < 2:
        return ""
    first, last = rows[0], rows[-1]
    with_size = [row["preactivation_grad_norm"] for row in (first, last)]
    if not all(math.isfinite(each) and each > 0.0 for each in with_size):
        return ""
    ratio = math.log10(with_size[0] / with_size[1])
    for rule in rule_set("gradtrial").rules:
        for condition in rule.conditions:
            low, high = condition.below, condition.above
            if condition.measure != "signal_ratio" or rule.severe:
                continue
            if (low is not None and ratio < low) or (high is not None and ratio > high):
                way = "falls" if ratio < 0 else "rises"
                bound = f"below {low:g}" if low is not None else f"above {high:g}"
                return (
                    f"step {step.step}: {rule.name}: the signal {way} by {abs(ratio):.1f} decades from "
                    f"{last['layer_name']} to {first['layer_name']} (rule gradtrial.{rule.name}, {bound})"
                )
    return ""
