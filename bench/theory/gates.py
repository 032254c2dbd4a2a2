"""How far gated cells keep a gradient: sums over the ways through gate and kernel, with the same weights every step.

With small inputs a gate stands at sigmoid(b), and the state's Jacobian is the same matrix at every step: M = A + B, A
the diagonal of the gate that keeps, B the candidate's way through the recurrent kernel. B is R-diagonal (a block of an
orthogonal kernel, or independent entries), so that in a wide layer only words with their B's matched in order stay of
|M^k u|^2. With one gate value a, and s^2 / n the variance of B's entries,

    |M^k u|^2 = sum_j C(k, j)^2 a^(2 (k - j)) s^(2 j),   which grows by (a + s)^2 a step at last.

It is not (a^2 + s^2)^k, which holds for weights drawn anew at each step: the two ways add up, and do not forget each
other. LSTM: a = sigmoid(b_f), s = i o phi'(0)^2 sigma_w; GRU: a = sigmoid(b_z), s = (1 - z) r phi'(0) sigma_w. Derived
for this project (free probability: Haagerup & Larsen 2000, J. Funct. Anal. 176).

Which delta: the LSTM's delta_c is the total derivative of the loss by c_t, which *includes* the way through
h_t = o tanh(c_t) of the same step. A variable added to c_t behind the cell reads the derivative without that way:
a M^(k-1) u instead of M^k u, which is `past_hidden` here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.special import expit, gammaln, logsumexp, xlogy

from bench.theory.activations import Array
from bench.theory.cells import RecurrentCell
from bench.theory.quadrature import gaussian_nodes

LOG10 = np.log(10.0)
ROUNDS = 200  # of the gates' means and the variances that they make
SETTLED = 1e-13
LEAST_LOST = 1e-9  # share of its mean square that a state forgets per step, where the gate never closes


@dataclass(frozen=True)
class Gates:
    """The mean Jacobian of a gated cell: keep on the diagonal, and write times a random matrix.

    Attributes:
        keep: a of each node of the units' law, [nodes].
        write: factor of what the candidate writes into a unit, [nodes].
        weights: of the nodes.
        mixing: what is left of the matrix: sigma_w times the slopes and gates that all units share.
    """

    keep: Array
    write: Array
    weights: Array
    mixing: float

    @property
    def rate(self) -> float:
        """log10 of the norm's growth per step at last where all units have one gate value: a + s; else NaN."""
        return float(np.log10(self.keep[0] + self.write[0] * self.mixing)) if len(self.keep) == 1 else float("nan")


@dataclass(frozen=True)
class GatedSums:
    """log10 of the norms of three gradients at each lag, [lags + 1], each 0 at lag 0.

    Attributes:
        state: delta_c of an LSTM with the way through h of the same step, delta_h of a GRU.
        past_hidden: delta_c without that way.
        hidden: delta_h of an LSTM whose loss reads h: s at lag 1, then as delta_c.
    """

    state: Array
    past_hidden: Array
    hidden: Array


def tied_sum(keep: float, step: float, lags: Iterable[int]) -> Array:
    """log10 of the norm: half of log10 sum_j C(k, j)^2 a^(2 (k - j)) s^(2 j), for each lag k.

    Args:
        keep: a.
        step: s.
        lags: whole numbers from 0 on.
    """
    found = [
        logsumexp(2.0 * (_binomials(int(k)) + xlogy(k - np.arange(k + 1), keep) + xlogy(np.arange(k + 1), step)))
        for k in lags
    ]
    return np.asarray(np.array(found) * 0.5 / LOG10, np.float64)


def _binomials(k: int) -> Array:
    j = np.arange(k + 1.0)
    return np.asarray(gammaln(k + 1.0) - gammaln(j + 1.0) - gammaln(k - j + 1.0), np.float64)


def gated_sums(gates: Gates, lags: int) -> GatedSums:
    """The three gradients at lags 0 to `lags`."""
    with np.errstate(divide="ignore"):
        if len(gates.keep) == 1:
            keep, step = float(gates.keep[0]), float(gates.write[0]) * gates.mixing
            state = tied_sum(keep, step, range(lags + 1))
            past, hidden = np.log10(keep) + state, np.log10(step) + state
        else:
            squares, scale = spread_sums(gates, lags)
            at = np.arange(lags + 1) * np.log10(scale)
            state = at + 0.5 * np.log10(gates.weights @ squares)
            past = at + 0.5 * np.log10((gates.weights * gates.keep**2) @ squares)
            hidden = at + 0.5 * np.log10((gates.weights * gates.write**2) @ squares) + np.log10(gates.mixing)
    return GatedSums(state, np.append(0.0, past[:-1]), np.append(0.0, hidden[:-1]))


def spread_sums(gates: Gates, lags: int) -> tuple[Array, float]:
    """Mean squares of the gradient in units of each gate value, where units have different ones.

    A word is A^p B A^p' B ... and its partner A^l B A^l' B ...; between two B's both stand in one unit, which gives
    E[a^(p + l)], times write^2 where a B follows. With F = E[write^2 / ((1 - a x)(1 - a y))] over units, all pairs of
    words that end in a unit of gate a are the coefficients at x^k y^k of

        1 / ((1 - a x)(1 - a y)) / (1 - mixing^2 x y F).

    With one gate value this is `tied_sum`. Derived here.

    Returns:
        squares [nodes, lags + 1], at lag k to be multiplied by scale^(2 k), and the scale, which keeps them in range.
    """
    scale = float(gates.keep.max() + gates.write.max() * gates.mixing) or 1.0
    keep, mixing = gates.keep / scale, (gates.mixing / scale) ** 2
    inner = mixing * gates.weights * gates.write**2
    row, ending, found = np.zeros(lags + 1), np.zeros((len(keep), lags + 1)), np.zeros((len(keep), lags + 1))
    row[0] = 1.0
    for k in range(lags + 1):
        if k:
            row = np.append(0.0, (inner @ ending)[:-1])
        ending = np.array([lfilter([1.0], [1.0, -a], row) for a in keep]) + keep[:, None] * ending
        found[:, k] = ending[:, k]
    return found, scale


def gates_of(cell: RecurrentCell, input_variance: float) -> Gates:
    """The mean Jacobian of an LSTM or a GRU, at the variances that inputs of variance v in each gate bring about.

    At v = 0 gates stand at sigmoid(b) and slopes at phi'(0). Above, each factor is replaced by its mean over Gaussian
    pre-activations of variance v + sigma_w^2 E[h^2], with E[h^2] at its fixed point; what the factors' fluctuations
    add is left out, which the sum is a few per cent too low for at v = 0.1 (derived here, first order in v).
    """
    return _lstm(cell, input_variance) if cell.cell == "lstm" else _gru(cell, input_variance)


@dataclass(frozen=True)
class _Normal:
    """Means over z ~ N(0, q) of functions that map an array to an array."""

    x: Array
    weights: Array
    scale: float

    @classmethod
    def of(cls, q: float, kinks: tuple[float, ...] = ()) -> _Normal:
        x, weights = gaussian_nodes(q, kinks, 16)
        return cls(x, weights, float(np.sqrt(max(q, 0.0))))

    @property
    def z(self) -> Array:
        return self.scale * self.x

    def gate(self, biases: Array, power: int = 1) -> Array:
        """E[sigmoid(z + b)^power] for each bias."""
        return np.asarray(expit(self.z + biases[:, None]) ** power @ self.weights, np.float64)

    def mean(self, values: Array) -> float:
        return float(self.weights @ values)


def _lstm(cell: RecurrentCell, v: float) -> Gates:
    """Of c' = f c + i phi(g) and h = o phi(c), whose variances follow from each other."""
    phi, sigma, none = cell.phi, cell.weight_variance, np.zeros(1)
    hidden = 0.0
    for _ in range(ROUNDS):
        gate = _Normal.of(v + sigma * hidden, phi.kinks)
        written = gate.gate(cell.write_bias, 2) * np.ones_like(cell.keep_bias) * gate.mean(phi.value(gate.z) ** 2)
        squares = written / np.maximum(1.0 - gate.gate(cell.keep_bias, 2), LEAST_LOST)
        states = [_Normal.of(float(square), phi.kinks) for square in squares]
        read = np.array([state.mean(phi.value(state.z) ** 2) for state in states])
        before, hidden = hidden, float(gate.gate(none, 2)[0] * (cell.weights @ read))
        if abs(hidden - before) < SETTLED:
            break
    slopes = np.array([state.mean(phi.slope(state.z)) for state in states])
    output = float(gate.gate(none)[0] * np.sqrt(cell.weights @ slopes**2))
    write = gate.gate(cell.write_bias) * np.ones_like(cell.keep_bias)
    return Gates(gate.gate(cell.keep_bias), write, cell.weights, cell.gain * output * abs(gate.mean(phi.slope(gate.z))))


def _gru(cell: RecurrentCell, v: float) -> Gates:
    """Of h' = z h + (1 - z) phi(W x + r U h), alike to first order whether r comes before the kernel or after it."""
    phi, sigma, none = cell.phi, cell.weight_variance, np.zeros(1)
    hidden = 0.0
    for _ in range(ROUNDS):
        gate = _Normal.of(v + sigma * hidden)
        candidate = _Normal.of(v + sigma * hidden * float(gate.gate(none, 2)[0]), phi.kinks)
        keep, squares = gate.gate(cell.keep_bias), gate.gate(cell.keep_bias, 2)
        written = (1.0 - 2.0 * keep + squares) * candidate.mean(phi.value(candidate.z) ** 2)
        before, hidden = hidden, float(cell.weights @ (written / np.maximum(1.0 - squares, LEAST_LOST)))
        if abs(hidden - before) < SETTLED:
            break
    slope = abs(candidate.mean(phi.slope(candidate.z)))
    mixing = cell.gain * float(gate.gate(none)[0]) * slope
    return Gates(keep, 1.0 - keep, cell.weights, mixing)
