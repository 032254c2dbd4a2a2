"""One hidden layer in the limit of many units: from the pre-activation's covariance to what the next layer reads.

s is the pre-activation of a layer, of mean square q and of covariance k between two samples; phi its activation, with
the normalization that the run has before it or after it; h what the next layer reads. Sources: Poole et al. 2016 and
Schoenholz et al. 2017 without normalization; Yang et al. 2019 (arXiv:1902.08129) for batch normalization; for layer and
RMS normalization the Jacobian of x / |x|, by the same argument over units instead of samples.

Values are Gaussian before a normalization, uniform on a sphere after it. A normalization over m values, with their mean
removed or not, maps independent Gaussians to a uniform direction in a space of d = m - 1 or m dimensions, times a fixed
length R. One value is then u = R e t, t a coordinate of a uniform unit vector and e the length of a unit axis in that
space (sqrt((m - 1) / m) where the mean is removed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from bench.errors import BenchError
from bench.theory.activations import Array, Nonlinearity
from bench.theory.describe import DenseNetwork
from bench.theory.maps import PairMoments, moments, pair_moments
from bench.theory.noise import Noise, noise_of
from bench.theory.quadrature import LEAST, gaussian_nodes, panel_nodes, piece_nodes

EPSILON = {
    "batch_normalization": 1e-3,
    "layer_normalization": 1e-3,
    "group_normalization": 1e-3,
    "rms_normalization": 1e-6,
}
LEAST_BATCH = 4  # batch normalization's expected growth is infinite below
HALF = 0.5 * np.pi


@dataclass(frozen=True)
class Sphere:
    """The law of m normalized values of mean square `length`^2 / m together.

    Attributes:
        count: m.
        centered: whether their mean is removed.
        length: R, the length of the vector of the m values.
    """

    count: int
    centered: bool
    length: float

    @property
    def dimensions(self) -> int:
        """d, the dimensions of the space in which the direction is uniform."""
        return self.count - int(self.centered)

    @property
    def scale(self) -> float:
        """R e: the largest value that one entry can take."""
        return self.length * float(np.sqrt(self.dimensions / self.count))

    def nodes(self, phi: Nonlinearity, order: int = 24) -> tuple[Array, Array]:
        """Nodes and weights of one value u, each [nodes]."""
        cuts = [float(np.arcsin(k / self.scale)) for k in (0.0, *phi.kinks) if abs(k) < self.scale]
        smallest = min(0.5, 0.5 / self.dimensions**0.5, 0.5 / self.scale)
        theta, weights = panel_nodes(-HALF, HALF, cuts, smallest, order)
        return self.scale * np.sin(theta), weights * _density(theta, self.dimensions)

    def pair_nodes(self, phi: Nonlinearity, order: int = 14) -> tuple[Array, Array, Array]:
        """Nodes of two of the values: u [rows], u' [rows, nodes] and weights [rows, nodes]; centred ones only."""
        c = -1.0 / self.dimensions
        apart = float(np.sqrt(1.0 - c * c))
        cuts = sorted(k for k in {0.0, *phi.kinks} if abs(k) < self.scale)
        smallest = min(0.5, 0.5 / self.dimensions**0.5, 0.5 / self.scale)
        angles = [float(np.arcsin(k / self.scale)) for k in cuts]
        theta, weights = panel_nodes(-HALF, HALF, angles, smallest, order)
        weights = weights * _density(theta, self.dimensions)
        first, rest = np.sin(theta), apart * np.cos(theta)
        where = (np.asarray(cuts)[None] / self.scale - c * first[:, None]) / rest[:, None]
        where = np.arcsin(np.clip(np.concatenate([where, np.zeros((len(theta), 1))], axis=1), -1.0, 1.0))
        inner, inner_weights = piece_nodes(np.sort(where, axis=1), (-HALF, HALF), smallest, order)
        other = c * first[:, None] + rest[:, None] * np.sin(inner)
        inner_weights = inner_weights * _density(inner, self.dimensions - 1)
        return self.scale * first, self.scale * other, weights[:, None] * inner_weights


def _density(theta: Array, dimensions: int) -> Array:
    """Of theta, where sin(theta) is a coordinate of a uniform unit vector: cos(theta)^(d - 2), normalized."""
    log_norm = gammaln(0.5 * dimensions) - gammaln(0.5 * (dimensions - 1)) - 0.5 * np.log(np.pi)
    with np.errstate(divide="ignore"):
        powers = (dimensions - 2) * np.log(np.maximum(np.cos(theta), 1e-300))
    density: Array = np.exp(log_norm + powers)
    return density


def centered_gain(phi: Nonlinearity, law: Sphere) -> tuple[float, float, float]:
    """Moments of batch normalization over law.count samples, exact for any activation.

    Returns:
        E[phi^2]; E[phi phi'] of two samples' values; and the growth of the squared gradient norm per sample from phi
        to the pre-activation, times the variance of a pre-activation around the batch's common part.

    Derivation: u = sqrt(B) P s / |P s|, P = I - 11'/B, has the Jacobian sqrt(B) / |P s| (P - u u'/B), independent in
    length and direction; the gradient for phi that comes from above has covariance proportional to P, and
    E[1 / |P s|^2] = 1 / (v (B - 3)). For relu it is the finite-batch form of Yang et al. 2019 (arXiv:1902.08129) and
    tends to pi / (pi - 1); for linear it is (B - 2) / (B - 3) with the next layer's v.
    """
    count = law.count
    u, weights = law.nodes(phi)
    value, slope = phi.value(u), phi.slope(u)
    square, slopes, bent = (float(weights @ of) for of in (value**2, slope**2, (u * slope) ** 2))
    first, other, joint = law.pair_nodes(phi)
    inner_slope = np.sum(joint * phi.slope(other), axis=1)
    inner_bent = np.sum(joint * other * phi.slope(other), axis=1)
    product = float(phi.value(first) @ np.sum(joint * phi.value(other), axis=1))
    slope_product = float(phi.slope(first) @ inner_slope)
    bent_product = float((first * phi.slope(first)) @ inner_bent)
    kept = 1.0 - 1.0 / count
    ratio = law.length**2 / count  # 1, or less where epsilon counts
    total = count * kept**2 * slopes + kept * slope_product - kept * (bent - bent_product) / ratio
    return square, product, ratio * count * total / ((count - 3) * (count - 1))


@dataclass(frozen=True)
class Response:
    """What a layer makes of its pre-activation.

    Attributes:
        square, product: mean square of h per unit, and its covariance between two samples.
        growth: of the squared gradient norm from h to the pre-activation; chi is sigma_w^2 times it.
        cosine: of phi between two samples.
        decorrelation: squared factor on the cosine of two samples' gradients.
        noise: variances of what a finite number of units adds.
    """

    square: float
    product: float
    growth: float
    cosine: float
    decorrelation: float
    noise: Noise


@dataclass(frozen=True)
class Unit:
    """Responses of one network's hidden layers."""

    network: DenseNetwork

    @cached_property
    def kind(self) -> str:
        """The normalization of values; empty where there is none."""
        return self.network.normalization.name if self.network.position else ""

    @cached_property
    def count(self) -> int:
        """How many values are normalized together."""
        if self.kind == "batch_normalization":
            return self.network.batch_size
        if self.kind == "group_normalization":
            groups = int(self.network.normalization.setting("groups"))
            if self.network.width % groups:
                raise BenchError(f"groups: {groups} does not divide the width {self.network.width}.")
            return self.network.width // groups
        return self.network.width

    @property
    def centered(self) -> bool:
        """Whether the normalization removes the mean."""
        return self.kind not in ("rms_normalization", "unit_normalization")

    def check(self) -> None:
        """Refuse normalizations over so few values that the expected gradient is infinite.

        Raises:
            BenchError: there are too few.
        """
        if self.kind and self.count < LEAST_BATCH:
            raise BenchError(
                f"{self.kind} over {self.count} values: the expected squared gradient is infinite below {LEAST_BATCH}."
            )

    def respond(self, q: float, k: float) -> Response:
        """The response to mean square q and covariance k."""
        if self.network.position == "before":
            return self._batch_before(q, k) if self.kind == "batch_normalization" else self._before(q, k)
        return self._after(q, k) if self.kind else self._plain(q, k)

    def single(self, q: float) -> tuple[float, float]:
        """`square` and `growth` for one sample, many units and a large batch: how they bend with q."""
        phi, epsilon = self.network.phi, EPSILON.get(self.kind, 0.0)
        if self.network.position == "before":
            at = moments(phi, self._share(q) if q > 0 else 0.0, 16)
            return at.square, at.slope_square / (q + epsilon) if q > 0 else 0.0
        at = moments(phi, q, 16)
        if not self.kind:
            return at.square, at.slope_square
        left = at.square - (at.mean**2 if self.centered else 0.0)
        return left / (left + epsilon), at.slope_square / (left + epsilon)

    def _share(self, q: float) -> float:
        """Mean square of a normalized pre-activation."""
        if self.kind == "unit_normalization":
            return 1.0 / self.network.width
        return q / (q + EPSILON[self.kind])

    def _plain(self, q: float, k: float) -> Response:
        phi, c = self.network.phi, _cosine(k, q)
        at, pair = moments(phi, q), pair_moments(phi, q, c)
        noise = noise_of(phi, gaussian_nodes(q, phi.kinks), (q, c), pair)
        return _response(at.square, pair, at.slope_square, noise)

    def _before(self, q: float, k: float) -> Response:
        phi, share, c = self.network.phi, self._share(q), _cosine(k, q)
        sphere = Sphere(self.count, self.centered, float(np.sqrt(share * self.count)))
        u, weights = sphere.nodes(phi)
        value, slope = phi.value(u), phi.slope(u)
        square, slopes, bent = (float(weights @ of) for of in (value**2, slope**2, (u * slope) ** 2))
        kept = sphere.dimensions * slopes - bent / share if share > 0.0 else 0.0
        growth = kept * share / (max(q, LEAST) * (sphere.dimensions - 2))
        pair = pair_moments(phi, share, c)
        noise = noise_of(phi, gaussian_nodes(share, phi.kinks), (share, c), pair).on_sphere(centered=self.centered)
        return _response(square, pair, growth, noise, slopes)

    def _batch_before(self, q: float, k: float) -> Response:
        phi, count, apart = self.network.phi, self.count, max(q - k, LEAST)
        share = apart / (apart + EPSILON[self.kind])
        square, product, gain = centered_gain(phi, Sphere(count, True, float(np.sqrt(share * count))))
        pair = pair_moments(phi, share, -1.0 / (count - 1))
        noise = noise_of(phi, gaussian_nodes(share, phi.kinks), (share, 0.0), pair).on_sphere(centered=True)
        slopes = moments(phi, share).slope_square
        return Response(
            square, product, gain / apart, product / square if square else float("nan"),
            _squared_ratio(pair.slope_product, slopes), noise,
        )  # fmt: skip

    def _after(self, q: float, k: float) -> Response:
        phi, c, epsilon = self.network.phi, _cosine(k, q), EPSILON.get(self.kind, 0.0)
        at, pair = moments(phi, q), pair_moments(phi, q, c)
        batch = self.kind == "batch_normalization"
        mean_square = at.mean**2 if self.centered else 0.0
        left, growth, above = self._scattered(q, k) if batch else self._of_batch(phi, q, 0.0, epsilon)
        square = left * above if batch else left / max(left + epsilon, LEAST)
        product = -square / (self.count - 1) if batch else (pair.product - mean_square) / max(left + epsilon, LEAST)
        if self.kind == "unit_normalization":
            square, product = square / self.network.width, product / self.network.width
            growth = growth / self.network.width
        center = at.mean if self.centered else 0.0
        noise = noise_of(phi, gaussian_nodes(q, phi.kinks), (q, c), pair, center=center).normalized()
        cosine = pair.product / at.square if at.square else float("nan")
        return Response(square, product, growth, cosine, _squared_ratio(pair.slope_product, at.slope_square), noise)

    def _scattered(self, q: float, k: float) -> tuple[float, float, float]:
        """Batch normalization after the activation: variance of phi over a batch, and the two growths.

        The units differ in the part that a batch has in common, which is averaged over. Finite batches to first order:
        growth = E[phi'^2] / V (1 + c / (B - 3)), c = E[h^4] - 2 E[h^2 phi'^2] / E[phi'^2], h = (phi - mean) / sqrt(V);
        c = 1 for linear, where it is exact.
        """
        phi, epsilon = self.network.phi, EPSILON[self.kind]
        shared = float(np.sqrt(min(max(k, 0.0), q)))
        apart = q - shared**2
        nodes, weights = np.polynomial.hermite_e.hermegauss(15 if shared > 1e-6 * np.sqrt(q) else 1)
        found = np.zeros(3)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            found += weight * np.array(self._of_batch(phi, apart, shared * float(node), epsilon))
        return float(found[0]), float(found[1]), float(found[2])

    def _of_batch(self, phi: Nonlinearity, apart: float, shift: float, epsilon: float) -> tuple[float, float, float]:
        """The same for values of variance `apart` around `shift`, and for normalization over units."""
        x, weights = gaussian_nodes(apart, [kink - shift for kink in phi.kinks])
        z = shift + np.sqrt(max(apart, LEAST)) * x
        value, slopes = phi.value(z), phi.slope(z) ** 2
        mean = float(weights @ value) if self.centered else 0.0
        away: Array = (value - mean) ** 2
        left, slope_square = float(weights @ away), float(weights @ slopes)
        above = 1.0 / max(left + epsilon, LEAST)
        if not slope_square or not left:
            return left, 0.0, above
        fourth = float(weights @ away**2) / left**2
        bent = float(weights @ (away * slopes)) / (left * slope_square)
        finite = 1.0 + (fourth - 2.0 * bent) / (self.count - 3)
        return left, slope_square * above * max(finite, 0.1), above


def _cosine(k: float, q: float) -> float:
    return float(np.clip(k / q, -1.0, 1.0)) if q > LEAST else 1.0


def _squared_ratio(product: float, square: float) -> float:
    return min((product / square) ** 2, 1.0) if square > 0.0 else 0.0


def _response(square: float, pair: PairMoments, growth: float, noise: Noise, slopes: float | None = None) -> Response:
    cosine = pair.product / square if square > 0.0 else float("nan")
    decorrelation = _squared_ratio(pair.slope_product, growth if slopes is None else slopes)
    return Response(square, pair.product, growth, cosine, decorrelation, noise)
