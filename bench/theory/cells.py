"""What the theory needs of a recurrent cell, read from levels spelled as in a suite.

Keras's kernels [n, g n] hold g blocks, one a gate: 1 of a simple cell, 4 of an LSTM (input, forget, candidate, output)
and 3 of a GRU (update, reset, candidate). What enters is a block's sigma_w^2 = n Var(U). Of an orthogonal kernel the n
rows are orthonormal, so that a block has gain^2 / g: 1/4 and 1/3, not 1. Formulas: Keras 3.15,
`keras/src/layers/rnn/` and `keras/src/initializers/random_initializers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError, SuiteError, during
from bench.factors import FACTORS, Choice, Factor, read_label
from bench.factors.recurrence import CELL, GATE_BIAS, GATES, RECURRENT_INITIALIZER
from bench.theory.activations import Array, Nonlinearity, activation
from bench.theory.describe import choice_of
from bench.theory.quadrature import legendre
from bench.theory.weights import weight_law

CHRONO_NODES = 16  # of the uniform law of chrono's times

UNCOVERED = {
    "normalization": "a cell that is normalized inside divides its gradient by deviations that change with the input",
    "truncate": "truncation ends the gradient at the start of a window, whatever the cell",
}

KERAS = {"cell": "simple", "recurrent_initializer": "orthogonal", "gate_bias": "unit_forget"}  # what is not given


@dataclass(frozen=True)
class RecurrentCell:
    """A recurrent layer at initialization, biases 0 but for the gates'.

    Attributes:
        cell: `simple`, `lstm` or `gru`.
        phi: the activation of the candidate, of an LSTM of its output too; gates are sigmoids.
        width: n, units of the state.
        weight_variance: sigma_w^2 = n Var(U) of one block of the recurrent kernel.
        kernel: `independent` entries, `orthogonal`, or `identity` times sigma_w.
        keep_bias, write_bias: of the gate that keeps the state (forget; update) and of the LSTM's input gate, over
            units of equal weight or nodes of their law: [nodes].
        weights: of the nodes; they sum to 1.
        memory: steps over which the gate alone forgets, 1 / (1 - sigmoid(b)), of the shortest unit and of the longest;
            with chrono 1 + u for u from 1 to t_max - 1 (Tallec & Ollivier 2018, arXiv:1804.11188).
    """

    cell: str
    phi: Nonlinearity
    width: int
    weight_variance: float
    kernel: str
    keep_bias: Array
    write_bias: Array
    weights: Array
    memory: tuple[float, float]

    @property
    def gain(self) -> float:
        """sigma_w, which an orthogonal kernel and the identity are scaled by."""
        return float(np.sqrt(self.weight_variance))


def recurrent_cell_of(levels: Mapping[str, object], length: int | None = None) -> RecurrentCell:
    """The recurrent cell that levels describe.

    Args:
        levels: `cell`, `activation` (default tanh, or a `Nonlinearity`), `recurrent_initializer`, `gate_bias` and
            `width`, as `network_of` takes levels. What is missing or `none` takes its default, which is Keras's;
            `normalization` and `truncate` must be missing or `none`, and what is none of these is left alone.
        length: steps of the sequences, which chrono without its own t_max reads.

    Raises:
        SuiteError: a level that does not exist, or that the cell has no use for; the message names what is allowed.
        BenchError: an activation or an initializer of which no formula is known, or a level that no law covers.
    """
    for name, why in UNCOVERED.items():
        written = levels.get(name)
        if not (written.is_none if isinstance(written, Choice) else written in (None, "none")):
            raise BenchError(f"Not predicted: {why}.")
    cell = _choice(CELL, levels).name
    own = levels.get("activation") or "tanh"
    phi = own if isinstance(own, Nonlinearity) else _activation(own)
    initializer, width = _choice(RECURRENT_INITIALIZER, levels), _width(levels)
    keep, write, weights, memory = _gate_biases(cell, _choice(GATE_BIAS, levels), length)
    if initializer.name == "identity":
        variance, kernel = float(initializer.setting("gain")) ** 2, "identity"
    else:
        variance = weight_law(initializer, width, width * GATES[cell]).variance
        kernel = "orthogonal" if initializer.name == "orthogonal" else "independent"
    return RecurrentCell(cell, phi, width, variance, kernel, keep, write, weights, memory)


def _activation(written: object) -> Nonlinearity:
    choice = choice_of("activation", written)
    return activation(choice.name, dict(choice.settings))


def _choice(factor: Factor, levels: Mapping[str, object]) -> Choice:
    written = levels.get(factor.name)
    if isinstance(written, Choice) and not written.is_none:
        return written
    with during(f"{factor.name}:"):
        return read_label(factor, KERAS[factor.name] if written in (None, "none") else written)


def _width(levels: Mapping[str, object]) -> int:
    written = levels.get("width")
    return int(choice_of("width", FACTORS["width"].default if written is None else written).value or 0)


def _gate_biases(cell: str, choice: Choice, length: int | None) -> tuple[Array, Array, Array, tuple[float, float]]:
    """Biases of the gate that keeps and of the one that writes, the weights of their nodes, and the memory.

    Raises:
        SuiteError: a start of gates that the cell has no use for, or chrono of sequences whose length is not known.
    """
    if cell == "simple" and choice.name in ("chrono", "remember"):
        raise SuiteError(
            f'gate_bias: "{choice.label}" is for gates, which a simple cell has not. Cells with gates: lstm, gru.'
        )
    if choice.name == "chrono":
        longest = length if choice.setting("t_max") == "length" else float(choice.setting("t_max"))
        if longest is None or longest <= 2.0:
            raise SuiteError(
                'gate_bias: chrono needs the length of the sequences, above 2, or a number: "chrono(t_max=100)".'
            )
        return _chrono(float(longest))
    if choice.name == "remember":
        return _alike(float(choice.setting("value")))
    return _alike(1.0 if choice.name == "unit_forget" and cell == "lstm" else 0.0)


def _alike(bias: float) -> tuple[Array, Array, Array, tuple[float, float]]:
    memory = 1.0 + math.exp(min(bias, 700.0))
    return np.full(1, bias), np.zeros(1), np.ones(1), (memory, memory)


def _chrono(longest: float) -> tuple[Array, Array, Array, tuple[float, float]]:
    """Biases ln u with u uniform between 1 and t_max - 1, in nodes of b, of which gates are smooth functions."""
    nodes, weights = legendre(CHRONO_NODES)
    bias = nodes * math.log(longest - 1.0)
    weights = weights * np.exp(bias)
    return bias, -bias, weights / weights.sum(), (2.0, longest)
