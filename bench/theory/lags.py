"""A recurrent layer's gradient by lag before training: which law covers the cell, what it says, and how far it holds.

delta_t is the total derivative of a loss that is read at the last step T, by the state of step t: h of a simple cell
and of a GRU; of an LSTM c, with the way through h_t = o tanh(c_t) of the same step included. What no law covers is
refused as not predicted, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bench.errors import BenchError, SuiteError
from bench.theory.activations import Array
from bench.theory.cells import RecurrentCell
from bench.theory.gates import gated_sums, gates_of
from bench.theory.quadrature import check_variance
from bench.theory.simple_cells import arcsine_share, chi_in_time, input_state

LEFT = 0.01  # of the norm: where the horizon lies
LONGEST = 1000  # lags that a horizon is sought in
SMALL, SMALL_CONSTANT = 0.1, 0.001  # input variances to which gated cells are predicted
FLAT = 1e-9


class Law(StrEnum):
    """What a gradient's decay with the lag follows from."""

    CHI = "chi"
    RADIUS = "radius"
    ARCSINE = "arcsine"
    GATES = "gates"


HOLDS = {
    Law.CHI: (
        "wide layers; tanh at n = 256 within 1 % of a rate of 0.03 to 0.2 decades a step, 0.002 decades near chi = 1"
    ),
    Law.RADIUS: (
        "wide layers, lags below about the root of the width; beyond, the largest eigenvalue of the one matrix wins"
    ),
    Law.ARCSINE: "any width; inputs of mean 0, symmetric, independent from step to step or constant",
    Law.GATES: (
        f"wide layers, input variance to {SMALL:g}: at n = 256 and lag 40 within 0.06 decades at 0.0001, 0.12 at "
        f"{SMALL:g}; constant input to {SMALL_CONSTANT:g}"
    ),
}


@dataclass(frozen=True)
class LagProfile:
    """Predictions at initialization; arrays [lag + 1], log10 of a norm over that at lag 0.

    Attributes:
        law: what they follow from.
        state: delta of the cell's own state: h; c of an LSTM, with the way through h of the same step.
        past_hidden: of an LSTM: delta_c without that way, as a variable added to c behind the cell reads it.
        hidden: of an LSTM: delta_h, where the loss reads h.
        rate: log10 of the growth per step at large lags; NaN where there is no one rate.
        q, chi: of a mixing simple cell at the last step: mean square of the pre-activation, and growth per step back
            of the squared norm. NaN elsewhere.
    """

    law: Law
    state: Array
    past_hidden: Array | None = None
    hidden: Array | None = None
    rate: float = float("nan")
    q: float = float("nan")
    chi: float = float("nan")

    @property
    def holds(self) -> str:
        """The range in which the law was found to hold."""
        return HOLDS[self.law]


def lag_profile(
    cell: RecurrentCell, lag: int, input_variance: float, *, constant: bool = False, length: int | None = None
) -> LagProfile:
    """The predicted gradient at lags 0 to `lag`.

    Args:
        cell: the layer.
        lag: the largest, in steps.
        input_variance: v, of the input's part of each gate's pre-activation (n_in Var(W) times the input's mean
            square), over units and samples; 0 without inputs.
        constant: whether the input stays the same from step to step.
        length: T, steps of the sequence; None: far from its beginning.

    Raises:
        SuiteError: a lag longer than the sequence, or a law that needs the length.
        BenchError: not predicted; the message says why.
    """
    check_variance(input_variance)
    if length is not None and length < lag:
        raise SuiteError(f"A sequence of {length} steps has no lag of {lag}: lags to {length}.")
    if cell.cell != "simple":
        return _gated(cell, lag, input_variance, constant=constant)
    if cell.kernel == "identity":
        return _identity(cell, lag, input_variance, length, constant=constant)
    if not input_variance and 0.0 in cell.phi.kinks:
        raise _not_predicted(f"without input the state is 0, where the slope of {cell.phi.name} jumps")
    still = constant or not input_variance
    at = input_state(cell.phi, cell.weight_variance, input_variance)
    law = Law.RADIUS if still and at.chi <= 1.0 else Law.CHI
    if length is None or still:
        state = np.append(0.0, at.rate * np.arange(1.0, lag + 1.0))
    else:
        with np.errstate(divide="ignore"):
            steps = 0.5 * np.log10(chi_in_time(cell.phi, cell.weight_variance, input_variance, length))
        state = np.append(0.0, np.cumsum(steps[::-1][:lag]))
    return LagProfile(law, state, rate=at.rate, q=at.q, chi=at.chi)


def horizon(profile: LagProfile, left: float = LEFT) -> int | None:
    """The smallest lag at which less than `left` of the gradient's norm is left; None if there is none so far."""
    below = np.flatnonzero(profile.state < np.log10(left))
    return int(below[0]) if len(below) else None


def _not_predicted(why: str) -> BenchError:
    return BenchError(f"Not predicted: {why}.")


def _identity(
    cell: RecurrentCell, lag: int, input_variance: float, length: int | None, *, constant: bool
) -> LagProfile:
    """A kernel that mixes no units.

    A constant input drives half of the units up for ever, which pass all, and holds the others at 0.
    """
    if cell.phi.name != "relu" or abs(cell.gain - 1.0) > FLAT:
        raise _not_predicted(
            f"of kernels that mix no units only identity(gain=1) with relu has a law, not gain {cell.gain:g} with "
            f"{cell.phi.name}"
        )
    if not input_variance:
        raise _not_predicted("without input the state is 0, where the slope of relu jumps")
    if constant:
        half = np.full(lag + 1, 0.5 * np.log10(0.5))
        half[0] = 0.0
        return LagProfile(Law.ARCSINE, half)
    if length is None:
        raise SuiteError("What relu with identity keeps depends on the sequence's length: give --length.")
    return LagProfile(Law.ARCSINE, 0.5 * np.log10(arcsine_share(length, range(lag + 1))))


def _gated(cell: RecurrentCell, lag: int, input_variance: float, *, constant: bool) -> LagProfile:
    phi, largest = cell.phi, SMALL_CONSTANT if constant else SMALL
    if cell.kernel == "identity":
        raise _not_predicted(
            f"the sum over gates needs a kernel that mixes units; with identity a unit of {cell.cell} moves its own "
            "gates"
        )
    if 0.0 in phi.kinks or abs(float(phi.value(0.0))) > FLAT:
        why = "whose slope jumps at 0" if 0.0 in phi.kinks else "which is not 0 at 0"
        raise _not_predicted(f"the sum over gates needs a state near 0; {cell.cell} has {phi.name}, {why}")
    if input_variance > largest:
        kind = "constant inputs" if constant else "inputs"
        raise _not_predicted(
            f"{kind} of variance {input_variance:g} move the gates from step to step; the sum over gates covers 0 to "
            f"{largest:g}"
        )
    gates = gates_of(cell, input_variance)
    sums = gated_sums(gates, lag)
    own = cell.cell == "lstm"
    return LagProfile(
        Law.GATES, sums.state, sums.past_hidden if own else None, sums.hidden if own else None, gates.rate
    )
