"""The lesson: for a newcomer, what makes gradients vanish or explode, and what each remedy did in these data."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.recurrent import length_of, recurrent
from bench.errors import SuiteError
from bench.factors import FACTORS, level_name, read_label, without_use
from bench.report.axes import Axis, level_label
from bench.report.blocks import Definition, Definitions, Figure, Heading, Panel, Scale, Section, Text, blocks_of
from bench.report.frames import Frames
from bench.report.sections.remedies import lost_runs, too_few
from bench.schema import SATURATION_FRACTION
from bench.text import integer, listed, number, of, plural, sentence, share_interval, spoken
from bench.theory import Nonlinearity, activation

Z_LIMITS = (-5.0, 5.0)
LOWEST, HIGHEST = -2.0, 1.8  # of the panels: a relu may leave them, no slope does
TIME_FORMULA = "g(t) = g(T) · ∏ √(σ_w² · E[φ′(z_s)²])  over the time steps s = t + 1, …, T"
FORMULA = "g(l) = g(L) · ∏ √(σ_w² · E[φ′(z_k)²])  over the layers k = l, …, L − 1"
MOST_LEVELS = 3  # named for each pathology, the best first


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
        "Relu and its relatives have slope 1, or close to it, for positive z: those units pass the gradient on "
        "unchanged. For negative z relu's slope is 0. That loses half of the signal, which larger weights (He) make up "
        "for, and a unit that is negative on every sample is dead. Its relatives leaky_relu, elu, gelu and silu keep "
        "some slope there.",
        ("relu", "leaky_relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "hard_silu"),
    ),
    RemedyKind(
        "Xavier (Glorot) and LeCun initialization",
        "initializer",
        "The variance of the weights is about one over the number of units in a layer. The layers' factors are then "
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
        ("orthogonal", "delta_orthogonal", "lsuv"),
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
        "Each sample is brought to a fixed scale over the units of a layer, or over groups of them. It does not "
        "depend on the batch.",
        (
            "layer_normalization",
            "rms_normalization",
            "group_normalization",
            "unit_normalization",
            "layer_spatial_normalization",
            "instance_normalization",
        ),
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
        "Gated cells",
        "cell",
        "A gate says how much of the state stays, another what is added to it. Where the first is open the gradient "
        "passes a time step nearly unchanged. How open it starts is up to its bias.",
        ("lstm", "gru"),
    ),
    RemedyKind(
        "Orthogonal and identity recurrent kernels",
        "recurrent_initializer",
        "An orthogonal matrix changes no length, however often it is applied; the identity with relu (IRNN) changes "
        "nothing at all where units stay positive. The slope of the activation still multiplies at each time step.",
        ("orthogonal", "identity"),
    ),
    RemedyKind(
        "Gate biases that remember",
        "gate_bias",
        "With 1 in the forget gate an LSTM keeps 0.73 of its cell state a step, with 0 it keeps half. Chrono spreads "
        "the times over which units forget up to the length of the sequences.",
        ("unit_forget", "chrono", "remember"),
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
        "goes on. It does not change the start, and where gradients vanish it can make matters worse.",
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


def section(frames: Frames) -> Section:
    """Ideas in order, the formula between them, the activations, the remedies."""
    letters = (
        "Here g(l) is the gradient norm at the pre-activations of hidden layer l, and L is the last hidden layer. "
        "The slope of the activation is φ′, and E its mean over units. The units in a layer times the variance of one "
        "weight are σ_w². The formula holds for wide plain networks with random weights, that is, at initialization "
        "(Poole et al. 2016; Schoenholz et al. 2017)."
    )
    of_time, runs = recurrent(frames.plain), frames.plain
    through_layers = _paragraphs(int(runs["depth"].max())) if not of_time.all() else ()
    through_time = _time_paragraphs(length_of(runs["dataset"][of_time])) if of_time.any() else ()
    told = through_layers + tuple(each for each in through_time if each not in through_layers)
    if of_time.all():
        letters = (
            "Here g(t) is the norm of the gradient for the state of time step t, and T is the last step. The slope of "
            "the activation is φ′, and E its mean over units. The units times the variance of one recurrent weight are "
            "σ_w². The formula holds for wide simple cells at initialization, with inputs that change from step to "
            "step (Chen et al. 2018). Gates multiply as well."
        )
    blocks = blocks_of(
        Definitions(told),
        Text(TIME_FORMULA if of_time.all() else FORMULA, "formula"),
        Text(letters, "note"),
        activation_charts(_labels(frames.labelled, frames.axes)),
        Heading("The remedies, and what they did here"),
        Definitions(remedy_notes(frames.labelled, frames.remedied, without_use(runs["architecture"].unique()))),
    )
    return Section("lesson", "A short lesson", "Lesson", blocks)


def activation_charts(labels: Sequence[str]) -> Figure | None:
    """One panel for each activation label, e.g. `leaky_relu(negative_slope=0.1)`; None if none has a formula.

    Plugins have no formula: they are left out, and a caption says so.
    """
    panels, skipped = [], []
    for label in labels:
        try:
            phi = _formula(label)
        except SuiteError:
            skipped.append(label)
        else:
            panels.append(Panel(f"{label}: φ(z) = {phi.formula}", curve(phi)))
    if not panels:
        return None
    lowest = min(float(panel.rows["value"].min()) for panel in panels)
    captions = [
        "Hatched: the slope is below "
        f"{SATURATION_FRACTION:g} of its largest. A unit whose z lies there is saturated: it passes little gradient."
    ]
    if skipped:
        captions.append(f"No formula is known for {listed(skipped)}, so it is not drawn.")
    return Figure(
        key="activations",
        kind="activation",
        title="The activations of these results, φ, and their slopes, φ′",
        scale=Scale(
            x_label="pre-activation z",
            y_label="",
            x_limits=Z_LIMITS,
            y_limits=(max(LOWEST, lowest) - 0.2, HIGHEST),
            series=("φ", "φ′"),
        ),
        panels=tuple(panels),
        columns=min(4, len(panels)),
        captions=tuple(captions),
    )


def _formula(label: str) -> Nonlinearity:
    """The activation of a label.

    Raises:
        SuiteError: a plugin's, which has no formula here.
    """
    choice = read_label(FACTORS["activation"], label)
    return activation(choice.name, dict(choice.settings))


def _rough(value: float) -> str:
    """Two significant digits."""
    short = float(f"{value:.2g}")
    return integer(int(short)) if 10.0 <= short < 1e6 else number(short)


def _labels(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[str, ...]:
    """The activations that occur, in the suite's order."""
    present = tuple(dict.fromkeys(level_label(value) for value in judged["activation"].tolist()))
    ordered = next((axis.levels for axis in axes if axis.factor == "activation"), present)
    return tuple(level for level in ordered if level in present)


def curve(phi: Nonlinearity) -> pd.DataFrame:
    """z, value, slope and `saturated`; at a kink the slope is NaN, so that its line breaks there."""
    sides = [kink + side for kink in phi.kinks for side in (-1e-9, 1e-9)]
    z = np.unique(np.concatenate([np.linspace(*Z_LIMITS, 101), [s for s in sides if abs(s) <= Z_LIMITS[1]]]))
    slope = phi.slope(z)
    saturated = np.abs(slope) < SATURATION_FRACTION * phi.steepest
    slope = np.where(np.isin(np.round(z, 12), phi.kinks), np.nan, slope)
    return pd.DataFrame({"z": z, "value": phi.value(z), "slope": slope, "saturated": saturated})


def _paragraphs(depth: int) -> tuple[Definition, ...]:
    between = max(1, depth - 1)
    return (
        Definition(
            "Gradient",
            "The loss says how wrong the network is. The gradient of a weight says how the loss changes when that "
            "weight changes a little; a training step moves every weight against its gradient. A weight whose "
            "gradient is next to nothing does not learn.",
        ),
        Definition(
            "Why depth multiplies",
            "Back-propagation computes the gradient from the output back to the input. At each layer it is multiplied "
            "by the weights and by the slope of the activation. So each layer makes it smaller or larger by some "
            f"factor, and the factors multiply. Over {depth} hidden layers a factor of 0.7 leaves "
            f"{_rough(0.7**between)} of it; a factor of 1.4 makes it {_rough(1.4**between)} times as "
            "large. Only factors close to 1 keep it.",
        ),
        Definition(
            "Vanishing",
            "The factors are below 1. The layers near the input get almost no gradient and stay as they were drawn at "
            "random. What they destroy of the input, later layers cannot bring back.",
        ),
        Definition(
            "Exploding",
            "The factors are above 1. The steps near the input become so large that the loss jumps about. At worst "
            "the numbers overflow to infinity or NaN: the run has diverged.",
        ),
        Definition(
            "Saturation",
            "Where an activation is flat, its slope is near 0 and stops the gradient. Sigmoid is flat on both sides, "
            "and its slope is nowhere above 1/4. Tanh is flat on both sides too, but has slope 1 at zero. Large "
            "weights push units into the flat parts, so that they can make a gradient vanish as well.",
        ),
    )


def _time_paragraphs(length: int | None) -> tuple[Definition, ...]:
    gradient, _, _, _, saturation = _paragraphs(1)
    steps = length or 100
    return (
        gradient,
        Definition(
            "Why time multiplies",
            "A recurrent layer is as deep as its sequence is long. Back-propagation goes from the last time step back "
            "to the first. At each step the gradient is multiplied by the same recurrent weights, and by slopes and "
            f"gates. Over {integer(steps)} steps a factor of 0.9 leaves {_rough(0.9**steps)} of it; a factor of "
            f"1.1 makes it {_rough(1.1**steps)} times as large. Only factors close to 1 keep it.",
        ),
        Definition(
            "Vanishing through time",
            "The factors are below 1. What stood early in a sequence gets almost no gradient, so the network does not "
            "learn to keep it. The weights are the same at every step: their gradient, a sum over steps, need not "
            "look small.",
        ),
        Definition(
            "Exploding through time",
            "The factors are above 1. The early steps' share of the gradient becomes so large that the loss jumps "
            "about. At worst the numbers overflow to infinity or NaN: the run has diverged.",
        ),
        saturation,
    )


def remedy_notes(
    judged: pd.DataFrame, remedied: pd.DataFrame, of_no_use: Collection[str] = ()
) -> tuple[Definition, ...]:
    """What each kind of remedy does, and what it did here, those that the suite tried first.

    Args:
        judged: one row per run with the factors' columns, as `analysis.judge` returned it.
        remedied: what `analysis.remedies` returned.
        of_no_use: factors of which nothing is said.
    """
    notes = []
    for kind in (each for each in KINDS if each.factor not in of_no_use):
        levels = list(dict.fromkeys(level_label(value) for value in judged[kind.factor].tolist()))
        tried = [level for level in levels if _belongs(kind, level)]
        here = _here(kind, levels, remedied) if tried else ""
        notes.append(Definition(kind.name, kind.does, "" if tried else "not tried here", here=here))
    return tuple(sorted(notes, key=lambda note: not note.here))


def _belongs(kind: RemedyKind, level: str) -> bool:
    name = level_name(level)
    return name in kind.levels if kind.levels else name != "none"


def _here(kind: RemedyKind, levels: list[str], remedied: pd.DataFrame) -> str:
    """When the kind helped: counts and intervals, or why the data cannot tell."""
    tried = [level for level in levels if _belongs(kind, level)]
    if len(levels) == 1:
        return f"Every run of this suite had {tried[0]}, so there is nothing to compare it with."
    rows = remedied[(remedied["factor"] == kind.factor) & remedied["level"].isin(tried)]
    if rows.empty:
        return (
            "These data cannot tell: no cell that did not learn has a partner that differs from "
            f"it only in {spoken(kind.factor)} {listed(tried)}."
        )
    return " ".join(_sentence(str(name), found) for name, found in rows.groupby("pathology", sort=False))


def _sentence(pathology: str, rows: pd.DataFrame) -> str:
    """What the levels of a kind, the best first, did for one pathology."""
    best = rows.head(MOST_LEVELS)
    left = len(rows) - len(best)
    more = f" {plural(left, 'other level')} rescued no larger share." if left else ""
    doubt = " That is too few to tell." if too_few(best) else ""
    first, *others = [_level(row) for row in best.to_dict("records")]
    rest = "".join(f" {sentence(each)}" for each in others)
    return f"{sentence(f'{lost_runs(pathology)}: {first}')}{rest}{more}{doubt}"


def _level(row: dict[Hashable, Any]) -> str:
    bounds = share_interval(row["rate_lower"], row["rate_upper"])
    diverged = f", and {integer(int(row['diverged']))} diverged" if row["diverged"] else ""
    return f"with {row['level']} {of(int(row['rescued']), int(row['pairs']))} learned ({bounds}){diverged}"
