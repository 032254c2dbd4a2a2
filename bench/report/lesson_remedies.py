"""What each kind of remedy does, and what it did in these data."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis import Symptom
from bench.report.levels import level_label
from bench.report.view import RemedyNote
from bench.text import integer, listed, of, plural, share_interval, spoken

MOST_LEVELS = 3  # named for each pathology, the best first
WIDE = 0.5  # an interval of a share wider than this says nothing


@dataclass(frozen=True)
class RemedyKind:
    """A kind of remedy: the levels of a factor that belong to it (none named: all but `none`), and what it does."""

    name: str
    factor: str
    does: str
    levels: tuple[str, ...] = ()


KINDS = (
    RemedyKind(
        "The relu family",
        "activation",
        "relu and its relatives have slope 1, or close to it, for positive z, so those units pass the gradient on "
        "unchanged. For negative z relu's slope is 0: half of the signal is lost, which larger weights (He) make up "
        "for, and a unit that is negative on every sample is dead. leaky_relu, elu, gelu and silu keep some slope "
        "there.",
        ("relu", "leaky_relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "hard_silu"),
    ),
    RemedyKind(
        "Xavier (Glorot) and LeCun initialization",
        "initializer",
        "The variance of the weights is about one over the number of units in a layer, so that the layers' factors are "
        "1 where the slope is 1, as near zero for tanh.",
        ("glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal"),
    ),
    RemedyKind(
        "He initialization",
        "initializer",
        "Twice that variance: it makes up for the half of its inputs that relu sets to 0, so that relu's factor is 1.",
        ("he_uniform", "he_normal"),
    ),
    RemedyKind(
        "Orthogonal and data-driven initialization",
        "initializer",
        "An orthogonal matrix changes no length at all; lsuv goes on to rescale each layer until its output, measured "
        "on a batch, has variance 1.",
        ("orthogonal", "lsuv"),
    ),
    RemedyKind(
        "Batch normalization",
        "normalization",
        "Each unit is brought to mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers. It "
        "keeps units out of the flat parts of an activation and makes the size of the weights matter less. In a very "
        "deep plain network it makes gradients explode at the start (Yang et al. 2019).",
        ("batch_normalization",),
    ),
    RemedyKind(
        "Layer normalization and its relatives",
        "normalization",
        "Each sample is brought to a fixed scale over the units of a layer (or over groups of them), so it does not "
        "depend on the batch.",
        ("layer_normalization", "rms_normalization", "group_normalization", "unit_normalization"),
    ),
    RemedyKind(
        "Weight normalization",
        "normalization",
        "The weights of a unit are a learned length times a direction. Length and direction are learned "
        "apart; what flows through the layer plays no part.",
        ("weight_normalization",),
    ),
    RemedyKind(
        "Skip connections",
        "skip",
        "The input of a block is added to its output, so the gradient has a path around the block on which nothing "
        "multiplies it. What the blocks add makes the signal grow with depth; residual_scaled starts them at 0.",
    ),
    RemedyKind(
        "Gradient clipping",
        "clipping",
        "A gradient longer than a limit is shortened before the step. It tames the steps of an exploding gradient; it "
        "lengthens nothing, so it cannot cure a vanishing one.",
    ),
    RemedyKind(
        "Regularization and weight bounds",
        "regularization",
        "Penalties, decay and bounds keep weights small. That holds the factors of the layers down while training "
        "goes on; it does not change the start, and where gradients vanish it can make matters worse.",
    ),
    RemedyKind(
        "Momentum",
        "optimizer",
        "A step adds up recent gradients, which smooths them and speeds up steady directions. It treats all layers "
        "alike, so a layer with next to no gradient still hardly moves.",
        ("momentum", "nesterov"),
    ),
    RemedyKind(
        "Adaptive optimizers",
        "optimizer",
        "RMSprop and Adam divide each weight's gradient by its own recent size, so that weights with small gradients "
        "take steps as large as others. That works around a weak gradient; one that is 0 or noise stays useless.",
        ("rmsprop", "adam", "adamw"),
    ),
)


def remedy_notes(judged: pd.DataFrame, remedied: pd.DataFrame) -> tuple[RemedyNote, ...]:
    """A note for each kind of remedy, those that the suite tried first.

    Args:
        judged: one row per run with the factors' columns, as `analysis.judge` returned it.
        remedied: what `analysis.remedies` returned.
    """
    notes = []
    for kind in KINDS:
        levels = list(dict.fromkeys(level_label(value) for value in judged[kind.factor].tolist()))
        tried = [level for level in levels if _belongs(kind, level)]
        notes.append(RemedyNote(kind.name, kind.does, _here(kind, levels, remedied), bool(tried)))
    return tuple(sorted(notes, key=lambda note: not note.tried))


def _belongs(kind: RemedyKind, level: str) -> bool:
    name = level.partition("(")[0]
    return name in kind.levels if kind.levels else name != "none"


def _here(kind: RemedyKind, levels: list[str], remedied: pd.DataFrame) -> str:
    """When the kind helped: counts and intervals, or why the data cannot tell."""
    tried = [level for level in levels if _belongs(kind, level)]
    if not tried:
        return "This suite did not try it."
    if len(levels) == 1:
        return f"Every run of this suite had {tried[0]}, so there is nothing to compare it with."
    rows = remedied[(remedied["factor"] == kind.factor) & remedied["level"].isin(tried)]
    if rows.empty:
        return (
            "These data cannot tell: no cell that lost its gradient and did not learn has a partner that differs from "
            f"it only in {spoken(kind.factor)} {listed(tried)}."
        )
    return " ".join(_sentence(str(name), found) for name, found in rows.groupby("pathology", sort=False))


def _sentence(pathology: str, rows: pd.DataFrame) -> str:
    """What the levels of a kind, the best first, did for one pathology."""
    name = "collapsed activations" if pathology == Symptom.COLLAPSED else f"{pathology} gradients"
    best = rows.head(MOST_LEVELS)
    left = len(rows) - len(best)
    more = f"; {plural(left, 'other level')} no larger share" if left else ""
    opening = (
        f"Of runs with {name} that did not learn, it rescued"
        if rows["rescued"].any()
        else f"It rescued no run with {name}"
    )
    doubt = " That is too few to tell." if (best["rate_upper"] - best["rate_lower"] > WIDE).all() else ""
    return f"{opening} – {'; '.join(_level(row) for row in best.to_dict('records'))}{more}.{doubt}"


def _level(row: dict[Hashable, Any]) -> str:
    bounds = share_interval(row["rate_lower"], row["rate_upper"])
    diverged = f", {integer(int(row['diverged']))} diverged" if row["diverged"] else ""
    return f"{row['level']}: {of(int(row['rescued']), int(row['pairs']))} ({bounds}){diverged}"
