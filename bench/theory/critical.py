"""The edge of chaos: weight and bias variance at which a wide network neither shrinks nor grows its gradients.

At a fixed point q of the variance map chi = sigma_w^2 E[phi'^2] = 1. Both conditions leave one free number, so the
critical line is written with q as its parameter: sigma_w^2 = 1 / E[phi'^2], sigma_b^2 = q - E[phi^2] / E[phi'^2].
Sources: Schoenholz et al. 2017 (arXiv:1611.01232), Hayou et al. 2019 (arXiv:1902.06853), Roberts, Yaida & Hanin 2022
(arXiv:2106.10165, chapter 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import brentq

from bench.errors import BenchError
from bench.theory.activations import Array, Nonlinearity
from bench.theory.maps import moments

GRID = 10.0 ** np.linspace(-6.0, 5.0, 133)  # values of q among which roots are sought
FLAT = 1e-9  # relative departure from scale invariance that counts as none


class CriticalKind(StrEnum):
    """Which critical point it is."""

    SCALE_FREE = "scale_free"  # any q is a fixed point (linear, relu, leaky_relu); q is given as 1
    VANISHING = "vanishing"  # q falls to 0 as one over the depth, and chi rises to 1 (tanh, elu, selu)
    STABLE = "stable"  # q > 0 attracts (chi_parallel < 1)
    HALF_STABLE = "half_stable"  # chi_parallel = 1: q > 0 attracts from one side, slowly (gelu, silu, mish)
    UNSTABLE = "unstable"  # q repels (chi_parallel > 1): finite width drifts away from it


@dataclass(frozen=True)
class CriticalPoint:
    """Where chi = 1.

    Attributes:
        weight_stddev: sigma_w; the weights of a layer have the standard deviation sigma_w / sqrt(fan_in).
        bias_stddev: sigma_b, the standard deviation of the biases.
        q: the fixed point of the pre-activations' mean square; the limit 0 where it vanishes, 1 where any q is one.
        chi_parallel: the derivative of the variance map at q: below 1 the fixed point attracts.
        kind: which of the cases it is.
    """

    weight_stddev: float
    bias_stddev: float
    q: float
    chi_parallel: float
    kind: CriticalKind


def critical_point(nonlinearity: Nonlinearity, bias_stddev: float | None = None) -> CriticalPoint:
    """The weight and bias standard deviations with chi = 1.

    With `bias_stddev` given, sigma_w is solved for; where several do, the smallest stable fixed point is taken, and an
    unstable one only where there is no other. With None the first of these that exists is taken:

    1. scale-free: every q is a fixed point at sigma_b = 0 (relu: sigma_w = sqrt 2; linear: 1);
    2. vanishing: sigma_b = 0 and every q falls to 0, where chi = 1 (tanh, elu, softsign: 1; selu: 0.69049);
    3. stable: sigma_b = 0 with a fixed point q > 0 that attracts (sigmoid: 10.149);
    4. half-stable: chi_parallel = 1 as well, the only critical point of gelu, silu and mish that does not repel from
       every side, and the one of smallest q;
    5. stable with the smallest sigma_b.

    Zero biases come first because Keras starts biases at 0 and a suite then changes the weights alone.

    Raises:
        BenchError: no choice of variances makes this activation critical (softplus), or none with this bias.
    """
    if bias_stddev is not None and not (np.isfinite(bias_stddev) and bias_stddev >= 0.0):
        raise BenchError(f"The standard deviation of the biases must be finite and at least 0, not {bias_stddev}.")
    line = _Line(nonlinearity)
    found = line.without_bias() if not bias_stddev else None
    if found is None or (bias_stddev is None and found.kind is CriticalKind.UNSTABLE):
        found = line.by_rule() if bias_stddev is None else line.with_bias(bias_stddev**2)
    if found is None:
        spelt = "whatever the biases" if bias_stddev is None else f"at a bias standard deviation of {bias_stddev:g}"
        raise BenchError(
            f"{nonlinearity.name} has no critical point {spelt}: no fixed point of its variance has chi = 1."
            + line.limit_hint()
        )
    return found


class _Line:
    """The critical line of one activation, sampled over q."""

    def __init__(self, phi: Nonlinearity) -> None:
        self.phi = phi
        at = [moments(phi, float(q), 20) for q in GRID]
        self.square, self.slope_square, self.square_growth = (
            np.array([getattr(m, name) for m in at]) for name in ("square", "slope_square", "square_growth")
        )
        usable = self.slope_square > 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(usable, self.square / self.slope_square, np.nan)
            self.chi_parallel = np.where(usable, self.square_growth / self.slope_square, np.nan)
        self.bias: Array = GRID - ratio

    def without_bias(self) -> CriticalPoint | None:
        """Rules 1 to 3, and an unstable origin."""
        if (np.abs(self.bias / GRID) < FLAT).all():
            return self._at(1.0, CriticalKind.SCALE_FREE)
        rooted = self.with_bias(0.0)
        origin = moments(self.phi, 0.0)
        if origin.square < 1e-12 and origin.slope_square > 0.0:  # phi(0) = 0
            falls = bool((self.square <= GRID * origin.slope_square * (1.0 + FLAT)).all())
            if falls or rooted is None or rooted.kind is CriticalKind.UNSTABLE:
                kind = CriticalKind.VANISHING if falls else CriticalKind.UNSTABLE
                return CriticalPoint(float(origin.slope_square**-0.5), 0.0, 0.0, 1.0, kind)
        return rooted

    def with_bias(self, bias_variance: float) -> CriticalPoint | None:
        """The critical point at a given sigma_b^2: the smallest stable q, or else the smallest q."""
        above = np.where(np.abs(self.bias) < FLAT * GRID, 0.0, self.bias) - bias_variance
        roots = [self._at(q) for q in _roots(above, lambda q: self._bias_at(q) - bias_variance)]
        stable = [root for root in roots if root.kind is not CriticalKind.UNSTABLE]
        return next(iter(stable or roots), None)

    def by_rule(self) -> CriticalPoint | None:
        """Rules 4 and 5."""
        for q in _roots(self.chi_parallel - 1.0, lambda q: self._at(q).chi_parallel - 1.0):
            if self._bias_at(q) >= 0.0:
                return self._at(q, CriticalKind.HALF_STABLE)
        possible = np.flatnonzero((self.bias >= 0.0) & (self.chi_parallel < 1.0))
        if not possible.size:
            return None
        return self._at(float(GRID[possible[np.argmin(self.bias[possible])]]), CriticalKind.STABLE)

    def limit_hint(self) -> str:
        """A sentence for the activations that become critical in the limit of large q only, as softplus does."""
        if not (np.isfinite(self.bias[-1]) and abs(self.bias[-1] / GRID[-1]) < 0.02):
            return ""
        limit = float(self.slope_square[-1] ** -0.5)
        return f" The nearest is sigma_w = {limit:.3f} without biases, where q grows layer by layer and chi nears 1."

    def _bias_at(self, q: float) -> float:
        at = moments(self.phi, q)
        return q - at.square / at.slope_square

    def _at(self, q: float, kind: CriticalKind | None = None) -> CriticalPoint:
        at = moments(self.phi, q)
        parallel = at.square_growth / at.slope_square
        bias = max(q - at.square / at.slope_square, 0.0) if kind is not CriticalKind.SCALE_FREE else 0.0
        kind = kind or (CriticalKind.STABLE if parallel <= 1.0 + FLAT else CriticalKind.UNSTABLE)
        return CriticalPoint(
            float(at.slope_square**-0.5), float(bias**0.5) if bias > FLAT * q else 0.0, q, parallel, kind
        )


def _roots(values: Array, function: Callable[[float], float]) -> list[float]:
    """Where the function crosses 0 between points of the grid at which it is not 0, ascending."""
    kept = np.flatnonzero(values != 0.0)
    with np.errstate(invalid="ignore"):
        crossings = np.flatnonzero(values[kept[:-1]] * values[kept[1:]] < 0.0)
    ends = [(GRID[kept[k]], GRID[kept[k + 1]]) for k in crossings]
    return [float(brentq(function, low, high, xtol=1e-13, rtol=1e-12)) for low, high in ends]
