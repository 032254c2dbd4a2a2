"""The lesson: for a newcomer, what makes gradients vanish or explode, and what each remedy did in these data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.errors import SuiteError
from bench.report.lesson_remedies import remedy_notes
from bench.report.levels import Axis, level_label
from bench.report.view import ChartGroup, Definition, Lesson, Panel, Scale
from bench.schema import SATURATION_FRACTION
from bench.text import integer, listed, number
from bench.theory import Nonlinearity, activation

Z_LIMITS = (-5.0, 5.0)
LOWEST, HIGHEST = -2.0, 1.8  # of the panels: a relu may leave them, no slope does
FORMULA = "g(l) = g(L) · ∏ √(σ_w² · E[φ′(z_k)²])  over the layers k = l, …, L − 1"


def lesson(judged: pd.DataFrame, axes: Sequence[Axis], remedied: pd.DataFrame) -> Lesson:
    """The lesson for these results.

    Args:
        judged: what `analysis.judge` returned, labelled or not.
        axes: the factors that vary.
        remedied: what `analysis.remedies` returned.
    """
    return Lesson(
        paragraphs=_paragraphs(int(judged["depth"].astype(float).max())),
        formula=FORMULA,
        formula_text=(
            "g(l) is the gradient norm at the pre-activations of hidden layer l, L the last hidden layer, φ′ the slope "
            "of the activation, E its mean over units, and σ_w² the number of units in a layer times the variance of "
            "one weight. It holds for wide plain networks with random weights, that is, at initialization (Poole et "
            "al. 2016; Schoenholz et al. 2017)."
        ),
        activations=activation_charts(_labels(judged, axes)),
        remedies=remedy_notes(judged, remedied),
    )


def activation_charts(labels: Sequence[str]) -> ChartGroup | None:
    """One panel for each activation label, e.g. `leaky_relu(negative_slope=0.1)`; None if none has a formula.

    Plugins have no formula: they are left out, and a caption says so.
    """
    panels, skipped = [], []
    for label in labels:
        try:
            phi = activation(*parsed(label))
        except SuiteError:
            skipped.append(label)
        else:
            panels.append(Panel(f"{label}: φ(z) = {phi.formula}", _curve(phi)))
    if not panels:
        return None
    lowest = min(float(panel.rows["value"].min()) for panel in panels)
    captions = [
        "Hatched: the slope is below "
        f"{SATURATION_FRACTION:g} of its largest. A unit whose z lies there is saturated: it passes little gradient."
    ]
    if skipped:
        captions.append(f"No formula is known for {listed(skipped)}, so it is not drawn.")
    return ChartGroup(
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


def parsed(label: str) -> tuple[str, dict[str, object]]:
    """Name and settings of a level's label: `elu(alpha=0.5)` as elu and {alpha: 0.5}."""
    name, _, rest = label.partition("(")
    pairs = [part.partition("=") for part in rest.removesuffix(")").split(", ") if part]
    return name, {key: _value(text) for key, _, text in pairs}


def _value(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _rough(value: float) -> str:
    """Two significant digits."""
    short = float(f"{value:.2g}")
    return integer(int(short)) if 10.0 <= short < 1e6 else number(short)


def _labels(judged: pd.DataFrame, axes: Sequence[Axis]) -> tuple[str, ...]:
    """The activations that occur, in the suite's order."""
    present = tuple(dict.fromkeys(level_label(value) for value in judged["activation"].tolist()))
    ordered = next((axis.levels for axis in axes if axis.factor == "activation"), present)
    return tuple(level for level in ordered if level in present)


def _curve(phi: Nonlinearity) -> pd.DataFrame:
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
            f"factor, and the factors multiply. Between the last and the first of {depth} hidden layers, a factor of "
            f"0.7 leaves {_rough(0.7**between)} of it, and a factor of 1.4 makes it {_rough(1.4**between)} times as "
            "large. Only factors close to 1 keep it.",
        ),
        Definition(
            "Vanishing",
            "The factors are below 1. The layers near the input get almost no gradient and stay as they were drawn at "
            "random; what they destroy of the input, later layers cannot bring back.",
        ),
        Definition(
            "Exploding",
            "The factors are above 1. The steps near the input become so large that the loss jumps about, and at worst "
            "the numbers overflow to infinity or NaN: the run has diverged.",
        ),
        Definition(
            "Saturation",
            "Where an activation is flat, its slope is near 0 and stops the gradient. Sigmoid is flat on both sides, "
            "and its slope is nowhere above 1/4; tanh is flat on both sides too, but has slope 1 at zero. Large "
            "weights push units into the flat parts, so that large weights can make a gradient vanish as well.",
        ),
    )
