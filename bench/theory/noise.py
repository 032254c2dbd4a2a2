"""What a layer of n units adds to the limit of infinitely many: variances of its sums, times n.

A mean over n units of phi^2 or of phi'^2 g^2, g the gradient that arrives, deviates from its expectation by a relative
amount of variance V / n. Over the samples of a batch, V is the average of the variance of one sample and the covariance
of two, so that samples that coincide do not count twice. Source: the argument of Hanin & Nica 2020 (arXiv:1812.05994)
for products of random matrices, here with any phi and several samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.theory.activations import Array, Nonlinearity
from bench.theory.maps import PairMoments
from bench.theory.quadrature import LEAST


@dataclass(frozen=True)
class Covariance:
    """Variances of ln phi^2 and of ln phi'^2 g^2 summed over units, and their covariance, times the number of units."""

    forward: float
    backward: float
    both: float


@dataclass(frozen=True)
class Noise:
    """Relative variances of sums over units, times the number of units; pairs are (one sample, two samples).

    Attributes:
        forward: of the mean of phi^2.
        backward: of the mean of phi'^2 g^2, without the part that is the mean of g^2 itself; two samples' value is to
            be read as a + b rho, rho the mean squared cosine of two gradients, given as (one, a, b).
        both: covariance of the two.
        bend: coefficients on x^2 - 1 of (phi^2, phi'^2), which a fixed length of the pre-activation takes away.
        tilt: those on x, which a fixed mean takes away.
        cosine: of two pre-activations.
        mixed: E[phi^2 phi'^2] / E[phi'^2], of one sample.
        length: variance of the length of the pre-activation where the gradient is divided by it.
    """

    forward: tuple[float, float]
    backward: tuple[float, float, float]
    both: tuple[float, float]
    bend: tuple[float, float]
    tilt: tuple[float, float]
    cosine: float
    mixed: float = 0.0
    length: tuple[float, float] = (0.0, 0.0)

    def fixed_length(self, *, centered: bool = False) -> Noise:
        """The noise that is left where the layer's pre-activation has a given length (and mean)."""
        c, (ahead, behind), (lean, leaning) = self.cosine, self.bend, self.tilt if centered else (0.0, 0.0)
        one = (0.5 * ahead**2 + lean**2, 0.5 * behind**2 + leaning**2, 0.5 * ahead * behind + lean * leaning)
        two = tuple(
            0.5 * c * c * bends + c * tilts
            for bends, tilts in ((ahead**2, lean**2), (behind**2, leaning**2), (ahead * behind, lean * leaning))
        )
        return replace(
            self,
            forward=(max(self.forward[0] - one[0], 0.0), max(self.forward[1] - two[0], 0.0)),
            backward=(max(self.backward[0] - one[1], 0.0), self.backward[1] - two[1], self.backward[2]),
            both=(self.both[0] - one[2], self.both[1] - two[2]),
            bend=(0.0, 0.0),
            tilt=(0.0, 0.0) if centered else self.tilt,
        )

    def on_sphere(self, *, centered: bool) -> Noise:
        """Behind a normalization before the activation: length fixed, and its own fluctuation divides the gradient."""
        return replace(self.fixed_length(centered=centered), length=(2.0, 2.0 * self.cosine**2))

    def normalized(self) -> Noise:
        """Ahead of a normalization after the activation: what phi^2 adds divides the gradient and goes no further."""
        one = self.backward[0] + self.forward[0] - 2.0 * self.both[0]
        two = self.backward[1] + self.forward[1] - 2.0 * self.both[1]
        bend, tilt = (0.0, self.bend[1] - self.bend[0]), (0.0, self.tilt[1] - self.tilt[0])
        backward = (max(one, 0.0), two, self.backward[2])
        return replace(self, forward=(0.0, 0.0), backward=backward, both=(0.0, 0.0), bend=bend, tilt=tilt)

    def parts(self, gradients: float, scatter: float) -> tuple[Covariance, Covariance]:
        """What two samples share of the noise, and what each has of its own.

        Args:
            gradients: mean squared cosine of two samples' gradients.
            scatter: variance of the cosine of two pre-activations over pairs of samples.
        """
        (ahead, behind), more = self.bend, 0.5 * scatter
        both = Covariance(
            self.forward[1] + more * ahead**2,
            self.backward[1] + self.backward[2] * gradients + more * behind**2 + self.length[1],
            self.both[1] + more * ahead * behind,
        )
        one = Covariance(self.forward[0], self.backward[0] + self.length[0], self.both[0])
        shared = Covariance(
            float(np.clip(both.forward, 0.0, one.forward)), float(np.clip(both.backward, 0.0, one.backward)), both.both
        )
        return shared, Covariance(one.forward - shared.forward, one.backward - shared.backward, one.both - shared.both)


def noise_of(
    phi: Nonlinearity, nodes: tuple[Array, Array], at: tuple[float, float], pair: PairMoments, center: float = 0.0
) -> Noise:
    """The noise of a layer whose pre-activation has the variance and cosine `at`.

    Args:
        phi: the activation.
        nodes: of a standard normal, with weights.
        at: variance, and cosine between two samples.
        pair: phi's moments of two samples.
        center: what is taken off phi before it is squared.
    """
    x, weights = nodes
    z = np.sqrt(max(at[0], LEAST)) * x
    squares, slopes = (phi.value(z) - center) ** 2, phi.slope(z) ** 2
    p, a = float(weights @ squares), float(weights @ slopes)
    if not (p > 0.0 and a > 0.0):
        return Noise((0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), at[1])
    both_mean = float(weights @ (squares * slopes)) / a
    squares, slopes = squares / p, slopes / a
    forward, backward, both = (float(weights @ of) - 1.0 for of in (squares**2, slopes**2, squares * slopes))
    shrunk = at[1] ** 2 if center else 1.0
    paired = (
        shrunk * forward if center else pair.squares / p**2 - 1.0,
        pair.slope_squares / a**2 - 1.0,
        shrunk * both if center else pair.mixed / (p * a) - 1.0,
    )
    bend = (float(weights @ (squares * (x * x - 1.0))), float(weights @ (slopes * (x * x - 1.0))))
    tilt = (float(weights @ (squares * x)), float(weights @ (slopes * x)))
    ahead, behind = (forward, max(paired[0], 0.0)), (3.0 * backward, paired[1], 2.0 * paired[1])
    return Noise(ahead, behind, (both, paired[2]), bend, tilt, at[1], both_mean)
