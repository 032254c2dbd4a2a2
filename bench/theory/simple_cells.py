"""How far a simple recurrent cell, h' = phi(W x + U h), keeps a gradient: chi, the spectral radius, bounds, IRNN.

Variances are of a wide layer, v that of the input's part of the pre-activation, over units and samples:

    q = sigma_w^2 E[phi^2] + v,   chi = sigma_w^2 E[phi'^2],   |delta_(T-k)| = chi^(k/2) |delta_T|.

That is the theory of weights drawn anew at each step (Chen, Pennington & Schoenholz 2018, arXiv:1806.05394). A kernel
that mixes units, of independent entries or orthogonal, may stay the same: it is R-diagonal, and |(D W)^k u|^2 =
chi^k |u|^2 in a wide layer also where D is the same at every step. So where the state has come to rest, without input
or with a constant one, sqrt(chi) is the spectral radius of D W (circular law: Girko 1984; Haagerup & Larsen 2000), and
without input D = phi'(0). The identity mixes nothing, and has its own law.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from bench.theory.activations import Array, Nonlinearity
from bench.theory.cells import RecurrentCell
from bench.theory.maps import GRID, moments, settled_variance, variance_map

DISTURBED = 1e-6  # mean square of the state that has left an unstable rest


@dataclass(frozen=True)
class InputState:
    """Where inputs of one variance bring the state.

    Attributes:
        q: mean square of the pre-activation; infinity where it grows without bound.
        chi: growth of the squared gradient norm per step back.
    """

    q: float
    chi: float

    @property
    def rate(self) -> float:
        """log10 of the gradient norm's growth per step back; -inf where nothing passes."""
        with np.errstate(divide="ignore"):
            return float(0.5 * np.log10(self.chi))


def input_state(phi: Nonlinearity, weight_variance: float, input_variance: float) -> InputState:
    """The fixed point of q = sigma_w^2 E[phi^2] + v from h = 0 on, and chi there.

    Without input the state stays at 0 where that is stable; else it moves by itself, with the q that it runs to
    (tanh with sigma_w > 1: Sompolinsky, Crisanti & Sommers 1988). Where q grows without bound, chi is that of large q.
    """
    q = settled_variance(phi, weight_variance, input_variance, max(input_variance, DISTURBED))
    at = moments(phi, q if np.isfinite(q) else float(GRID[-1]))
    return InputState(q, weight_variance * at.slope_square)


def chi_in_time(phi: Nonlinearity, weight_variance: float, input_variance: float, length: int) -> Array:
    """The chi of each step of a sequence that begins at h = 0, [length]: q starts at v and runs to its fixed point."""
    found, q = np.empty(length), input_variance
    for step in range(length):
        q = min(q, float(GRID[-1]))
        found[step] = weight_variance * moments(phi, q).slope_square
        after = variance_map(phi, q, weight_variance, input_variance)
        if after == q:
            found[step:] = found[step]
            break
        q = after
    return found


def arcsine_share(length: int, lags: Iterable[int]) -> Array:
    """Share of |delta_T|^2 that an IRNN of T steps has left at each lag k: sum over m <= T - k of u_m u_(T - m).

    IRNN: relu, U = 1, b = 0 (Le, Jaitly & Hinton 2015, arXiv:1504.00941). A unit is the reflected walk h' = max(0,
    h + x) and passes the gradient whole while it stays above 0. That it has not touched 0 over the last k of T steps
    is the law of the place of a walk's minimum, u_m = C(2 m, m) / 4^m (Sparre Andersen 1953; Feller 1971, XII.8), for
    inputs that are independent from step to step and symmetric around 0, of any variance and shape. For long sequences
    it is the arcsine law (2 / pi) arctan sqrt((T - k) / k): a power law of the lag, no rate per step.
    """
    at = np.arange(length + 1.0)
    logs = gammaln(2.0 * at + 1.0) - 2.0 * gammaln(at + 1.0) - at * np.log(4.0)
    before = np.cumsum(np.exp(logs + logs[::-1]))
    return np.asarray(before[length - np.array([*lags])], np.float64)


@dataclass(frozen=True)
class SingularBound:
    """Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), section 2.1: |delta_(T-k)| <= (gamma lambda_1)^k |delta_T|.

    gamma lambda_1 < 1 is *sufficient* for vanishing. gamma lambda_1 > 1 is *necessary* for exploding and not
    sufficient: independent entries with sigma_w = 0.6 have lambda_1 = 1.2, and tanh vanishes at 0.22 decades a step.

    Attributes:
        largest: lambda_1, the largest singular value of the recurrent kernel.
        steepest: gamma, the largest slope of the activation: 1 for tanh, 1/4 for sigmoid.
    """

    largest: float
    steepest: float

    @property
    def vanishes(self) -> bool:
        """Whether gradients vanish whatever the inputs; otherwise the bound says nothing."""
        return self.largest * self.steepest < 1.0

    @property
    def rate(self) -> float:
        """log10 of the bound per step."""
        with np.errstate(divide="ignore"):
            return float(np.log10(self.largest * self.steepest))


def singular_bound(cell: RecurrentCell) -> SingularBound:
    """The bound of a simple cell: lambda_1 is 2 sigma_w for independent entries in a wide layer, else sigma_w.

    2 sigma_w: Geman 1980, Ann. Probab. 8, for square matrices; of an orthogonal kernel and of the identity every
    singular value is the gain.
    """
    return SingularBound((2.0 if cell.kernel == "independent" else 1.0) * cell.gain, cell.phi.steepest)
