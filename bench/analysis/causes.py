"""What went wrong in one run, in order: the first finding is its cause, each with layer, step, number and rule.

Symptoms of `verdicts` compare the first hidden layer with the last at one moment. These look at every layer and
recorded step, and at absolute size. docs/rules.md has the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.tables import Tables
from bench.schema import EventKind
from bench.text import number

HUGE_LOSS = 10.0  # times the best constant answer's, before any training
HUGE_UPDATE = 1.0  # times the weights, in the first step
MOST_UNITS = 0.9  # of a layer that are dead or saturated
RATIO = (-1.5, 1.75)  # decades of the signal, first hidden layer over last: the band of gradtrial.toml


@dataclass(frozen=True)
class Finding:
    """What was found, in a few words, and where with which number."""

    name: str
    evidence: str


def findings(own: Tables, run: pd.Series) -> list[Finding]:
    """What is wrong with a run, the first cause first; nothing where no rule holds.

    Args:
        own: the tables' rows of this run.
        run: its row in `runs`.
    """
    norms, active = own["gradient_norms"], own["activations"]
    hidden, first = norms[norms["layer_name"].astype(str) != "head"], norms[norms["step"] == norms["step"].min()]
    with np.errstate(divide="ignore", invalid="ignore"):
        update = first["update_norm"] / first["weight_norm"]
    found = [
        _loss_at_start(own["loss_curves"], run["naive_loss"]),
        _first("update larger than the weights", first, update, HUGE_UPDATE, "times the weights"),
        *_ratios(hidden),
        _first("dead units", active, active["dead_fraction"], MOST_UNITS, "of the units have slope 0 everywhere"),
        _first(
            "saturated units", active, active["saturated_fraction"], MOST_UNITS, "of units and samples are saturated"
        ),
        _first("gradient underflow", norms, norms["weight_grad_zero_fraction"], 1.0, "of the gradient is exactly 0"),
        _lagging(own, run["naive_loss"]),
        _one_answer(own["evaluations"]),
        _nonfinite(own["divergence_events"]),
    ]
    return [each for each in found if each is not None]


def _first(name: str, rows: pd.DataFrame, values: pd.Series, limit: float, what: str) -> Finding | None:
    """The earliest step, then the lowest layer, at which a value is at the limit or above."""
    there = rows[(values >= limit).to_numpy(bool)].sort_values(["step", "layer_index"])
    if there.empty:
        return None
    at = there.iloc[0]
    value = number(float(values.loc[there.index[0]]))
    return Finding(name, f"layer {at['layer_index']}, step {at['step']}: {value} {what} (at least {number(limit)})")


def _ratios(hidden: pd.DataFrame) -> list[Finding | None]:
    """The first recorded step at which the signal vanishes, and the first at which it explodes."""
    ordered = hidden.sort_values(["step", "layer_index"]).groupby("step")["preactivation_grad_norm"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(ordered.first()) - np.log10(ordered.last())
    found: list[Finding | None] = []
    for name, there in (("vanishing gradient", ratio < RATIO[0]), ("exploding gradient", ratio > RATIO[1])):
        limit = number(RATIO[0] if "vanish" in name else RATIO[1])
        step = there.index[there]
        said = (
            f"{number(ratio[step[0]])} decades from the last hidden layer to the first ({limit})" if len(step) else ""
        )
        found.append(Finding(name, f"step {step[0]}: {said}") if len(step) else None)
    return found


def _loss_at_start(curve: pd.DataFrame, naive: float) -> Finding | None:
    start = curve[curve["step"] == 0]["loss"]
    if start.empty or pd.isna(naive) or not start.iloc[0] >= HUGE_LOSS * naive:
        return None
    said = (
        f"step 0: {number(start.iloc[0])}, the best constant answer has {number(naive)} (at least {HUGE_LOSS:g} times)"
    )
    return Finding("loss too large at the start", said)


def _lagging(own: Tables, naive: float) -> Finding | None:
    """Moving averages that lag: good in training mode, worse than a constant in inference mode."""
    curve, rows = own["loss_curves"], own["evaluations"]
    rows = rows[rows["split"].astype(str) == "train"]
    if curve.empty or rows.empty or pd.isna(naive):
        return None
    trained, judged = (each.sort_values("step").iloc[-1]["loss"] for each in (curve, rows))
    if not (trained <= naive / 2.0 and judged >= naive):
        return None
    said = f"at the end {number(trained)} on training batches, {number(judged)} in inference mode ({number(naive)})"
    return Finding("moving averages lag", said)


def _one_answer(rows: pd.DataFrame) -> Finding | None:
    last = rows[rows["split"].astype(str) == "validation"].sort_values("step").tail(1)
    if last.empty or not last["largest_answer_share"].iloc[0] >= 1.0:
        return None
    return Finding(
        "one answer for every input", f"step {last['step'].iloc[0]}: accuracy {number(last['accuracy'].iloc[0])}"
    )


def _nonfinite(events: pd.DataFrame) -> Finding | None:
    ends = events[events["kind"] != EventKind.LOSS_LIMIT].sort_values("step")
    if ends.empty:
        return None
    at = ends.iloc[0]
    layer = "" if pd.isna(at["layer_index"]) else f" of layer {int(at['layer_index'])}"
    return Finding("left the finite numbers", f"step {at['step']}: {at['kind']} in the {at['tensor']}{layer}")
