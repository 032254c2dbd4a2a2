"""The variance of the weights and biases that each initializer of the catalogue draws.

Formulas: Keras 3.15, `keras/src/initializers/random_initializers.py`. Everywhere fan_in and fan_out are those of a
dense kernel [fan_in, fan_out], and what enters the theory is sigma_w^2 = fan_in Var(W).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bench.errors import BenchError
from bench.factors import FACTORS, Choice
from bench.theory.activations import Array, Nonlinearity
from bench.theory.critical import critical_point

KERAS_EPSILON = 1e-7  # inside weight normalization's root
CUT = 2.0  # standard deviations at which truncated draws end
_KEPT = 1.0 - 2.0 * CUT * norm.pdf(CUT) / (2.0 * norm.cdf(CUT) - 1.0)
TRUNCATION = float(_KEPT)  # variance left of a normal cut at two standard deviations: 0.7737


@dataclass(frozen=True)
class WeightLaw:
    """How one layer's kernel is drawn.

    Attributes:
        variance: sigma_w^2 = fan_in Var(W).
        isometric: whether the kernel keeps lengths up to a factor (orthogonal, and no more inputs than outputs).
        tolerance, iterations: lsuv's rule for scaling the kernel until z has mean square 1; None elsewhere.
    """

    variance: float
    isometric: bool = False
    tolerance: float | None = None
    iterations: int = 0

    def settled(self, mean_square: Array, bias_variance: float) -> Array:
        """sigma_w^2 once lsuv has seen an input of that mean square, by the engine's own loop; else `variance`.

        Mishkin & Matas 2016 (arXiv:1511.06422), algorithm 1: divide the kernel by the standard deviation of z until
        the variance of z lies within `tolerance` of 1. Any shape; the answer has it too.
        """
        variance = np.full(np.shape(mean_square), self.variance)
        for _ in range(self.iterations if self.tolerance is not None else 0):
            output = variance * mean_square + bias_variance
            wrong = (np.abs(output - 1.0) > self.tolerance) & (output > 0.0)
            if not wrong.any():
                break
            variance = np.where(wrong, variance / np.where(wrong, output, 1.0), variance)
        return variance


def weight_law(
    initializer: Choice, fan_in: int, fan_out: int, phi: Nonlinearity | None = None, *, normalized: bool = False
) -> WeightLaw:
    """How `initializer` draws a kernel of shape [fan_in, fan_out].

    Args:
        initializer: a choice of the factor `initializer`.
        fan_in, fan_out: shape of the kernel.
        phi: the activation, which the level `critical` solves for.
        normalized: whether weight normalization divides each unit's weights by their length.

    Raises:
        BenchError: an initializer from outside the catalogue: its variance is not known.
    """
    if initializer.name == "critical":
        if phi is None:
            raise BenchError("The initializer critical needs the activation that it is solved for.")
        return _plain(critical_point(phi, bias_of(initializer)).weight_stddev ** 2, normalized)
    orthogonal = initializer.name in ("orthogonal", "delta_orthogonal", "lsuv")  # at one position all are orthogonal
    if orthogonal:
        gain = 1.0 if initializer.name == "lsuv" else float(initializer.setting("gain"))
        law = WeightLaw(gain**2 * fan_in / max(fan_in, fan_out), fan_in <= fan_out)
        if normalized:
            law = WeightLaw(_unit_length(law.variance), fan_in == fan_out)
        if initializer.name == "lsuv":
            settings = dict(initializer.settings)
            return WeightLaw(law.variance, law.isometric, float(settings["tolerance"]), int(settings["max_iterations"]))
        return law
    if initializer.name not in _VARIANCES:
        known = ", ".join(level.name for level in FACTORS["initializer"].levels)
        raise BenchError(f'The theory knows no variance of the initializer "{initializer.name}". Known: {known}.')
    return _plain(fan_in * _VARIANCES[initializer.name](initializer, fan_in, fan_out), normalized)


def bias_of(initializer: Choice) -> float | None:
    """The setting `bias_stddev` of the initializer `critical`, None where its own rule chooses."""
    given = dict(initializer.settings).get("bias_stddev")
    return float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) and given >= 0.0 else None


def bias_variance(
    bias_initializer: Choice, initializer: Choice | None = None, phi: Nonlinearity | None = None
) -> float:
    """sigma_b^2: the variance of each bias; with the initializer `critical`, which draws both, that of its point.

    Raises:
        BenchError: a bias initializer from outside the catalogue.
    """
    if initializer is not None and initializer.name == "critical" and phi is not None:
        return critical_point(phi, bias_of(initializer)).bias_stddev ** 2
    if bias_initializer.name == "zeros":
        return 0.0
    if bias_initializer.name == "normal":
        return float(bias_initializer.setting("stddev")) ** 2
    raise BenchError(f'The theory knows no variance of the bias initializer "{bias_initializer.name}".')


def _plain(variance: float, normalized: bool) -> WeightLaw:
    return WeightLaw(_unit_length(variance) if normalized else variance)


def _unit_length(variance: float) -> float:
    """sigma_w^2 after weight normalization: each unit's squared weights sum to 1 (Salimans & Kingma 2016, g = 1)."""
    return variance / (variance + KERAS_EPSILON)


def _scaling(initializer: Choice, fan_in: int, fan_out: int) -> float:
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
    return float(initializer.setting("scale")) / fans[str(initializer.setting("mode"))]


_Variance = Callable[[Choice, int, int], float]
_FAMILIES: dict[str, _Variance] = {
    "glorot": lambda _, fan_in, fan_out: 2.0 / (fan_in + fan_out),
    "he": lambda _, fan_in, fan_out: 2.0 / fan_in,
    "lecun": lambda _, fan_in, fan_out: 1.0 / fan_in,
}
_VARIANCES: dict[str, _Variance] = {
    "zeros": lambda *_: 0.0,
    "random_normal": lambda choice, *_: float(choice.setting("stddev")) ** 2,
    "truncated_normal": lambda choice, *_: TRUNCATION * float(choice.setting("stddev")) ** 2,
    "random_uniform": lambda choice, *_: float(np.square(float(choice.setting("limit"))) / 3.0),
    "variance_scaling": _scaling,
    # These divide a truncated draw's deviation by what the cut takes away: the variance is as stated.
    **{f"{family}_{shape}": law for family, law in _FAMILIES.items() for shape in ("uniform", "normal")},
}
