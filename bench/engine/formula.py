"""The dry engine's formula: what becomes of a run, from its choices alone.

The signal. Back-propagated through one hidden layer its norm changes by `growth` decades:

    none                  0 with the initializer critical, otherwise
                          decades[activation] + log10(sigma_w of the initializer)
    batch_normalization   BATCH_DECADES, whatever the activation
    any other             half of decades[activation]
    skip connection       SKIP_SHARE of that
    total = growth * (depth - 1),   heat = total + log10(learning_rate / 0.01)

decades[activation] stands in the activation's record (`bench.factors.activations`).

The gradients of two samples of one class agree at the head and in the last hidden layer; k layers further back their
cosine is 2^-k, with a skip connection (1 + k)^(-1/2).

The fate. A run learns when total >= VANISHING and heat <= EXPLODING (EXPLODING_CLIPPED under any clipping). A run
that is not clipped and has heat > SEVERE diverges at step ceil(DIVERGENCE_STEPS / heat), if it has that many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.factors import FACTORS, ActivationLevel, Choice

BATCH_DECADES = 0.02
SKIP_SHARE = {"none": 1.0, "residual": 0.25, "residual_scaled": 0.0, "residual_damped": 0.1, "residual_post_norm": 0.25}
VANISHING, EXPLODING, EXPLODING_CLIPPED, SEVERE = -1.5, 1.75, 6.0, 3.0  # decades
DIVERGENCE_STEPS = 60.0
CHANCE_LOSS, FLOOR = math.log(10.0), 0.05
CHANCE_ACCURACY, GAIN = 0.1, 0.85
LAYER_NOISE, LOSS_NOISE = 0.02, 0.02  # standard deviations: decades, and natural log
INPUTS, CLASSES, BASE_RATE = 64, 10, 0.01


@dataclass(frozen=True)
class Fate:
    """What the formula says of a run before any noise; `growth` and `total` are decades."""

    growth: float
    total: float
    learns: bool
    diverges_at: int | None


def initializer_decades(initializer: Choice, width: int) -> float:
    """log10(sigma_w) of an initializer on a square layer by mean-field theory; 0 where it is not known."""
    settings = dict(initializer.settings)
    match initializer.name:
        case "he_normal" | "he_uniform":
            return 0.5 * math.log10(2.0)
        case "random_normal" | "truncated_normal":
            return math.log10(float(settings.get("stddev", 0.05)) * math.sqrt(width))
        case "random_uniform":
            return math.log10(float(settings.get("limit", 0.05)) * math.sqrt(width / 3.0))
        case "orthogonal":
            return math.log10(float(settings.get("gain", 1.0)))
        case "variance_scaling":
            return 0.5 * math.log10(float(settings.get("scale", 1.0)))
        case "zeros":
            return -5.0
        case _:
            return 0.0


def growth(choices: Mapping[str, Choice]) -> float:
    """Decades by which the signal grows per layer toward the input; negative where it vanishes."""
    level = FACTORS["activation"].level(choices["activation"].name)
    activation = level.decades if isinstance(level, ActivationLevel) else 0.0
    match choices["normalization"].name:
        case "none" if choices["initializer"].name == "critical":
            decades = 0.0
        case "none":
            decades = activation + initializer_decades(choices["initializer"], number(choices, "width"))
        case "batch_normalization":
            decades = BATCH_DECADES
        case _:
            decades = 0.5 * activation
    return decades * SKIP_SHARE.get(choices["skip"].name, 1.0)


def correlations(choices: Mapping[str, Choice]) -> list[float]:
    """Cosine of the gradients of two samples of one class in each layer, the head last."""
    plain = choices["skip"].is_none
    back = range(number(choices, "depth") - 1, -1, -1)
    return [*(0.5**k if plain else (1.0 + k) ** -0.5 for k in back), 1.0]


def fate(choices: Mapping[str, Choice]) -> Fate:
    """What becomes of a run with these choices, by the formula above."""
    per_layer = growth(choices)
    total = per_layer * (number(choices, "depth") - 1)
    heat = total + math.log10(float(choices["learning_rate"].value or BASE_RATE) / BASE_RATE)
    clipped = not choices["clipping"].is_none
    learns = total >= VANISHING and heat <= (EXPLODING_CLIPPED if clipped else EXPLODING)
    at = math.ceil(DIVERGENCE_STEPS / heat) if heat > SEVERE and not clipped else None
    return Fate(per_layer, total, learns, at if at is not None and at < number(choices, "steps") else None)


def number(choices: Mapping[str, Choice], factor: str) -> int:
    """The whole number that a numeric factor was given."""
    return int(choices[factor].value or 0)


def threshold(clipping: Choice) -> float:
    """Where the formula caps the global gradient norm: infinity without clipping."""
    return math.inf if clipping.is_none else float(dict(clipping.settings).get("threshold", 1.0))
