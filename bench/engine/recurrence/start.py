"""How recurrent kernels and the biases of gates start."""

from __future__ import annotations

import keras
import numpy as np

from bench.errors import SuiteError
from bench.factors import Choice
from bench.factors.recurrence import GATES

# Blocks of Keras's kernels: the gate whose large bias keeps the state, and the one that lets new in, if it is another.
KEEPING = {"lstm": (1, 0), "gru": (0, None)}


def identity_kernel(choice: Choice, shape: tuple[int, ...]) -> np.ndarray:
    """The identity times a gain in each gate's block, [units, gates x units] (Le, Jaitly & Hinton 2015)."""
    units, wide = shape
    block = keras.initializers.Identity(gain=float(choice.setting("gain")))((units, units))
    return np.tile(np.asarray(block), (1, wide // units))


def gate_biases(cell: Choice, choice: Choice, seed: int, shape: tuple[int, ...], length: int) -> np.ndarray:
    """What is added to a cell's biases, [gates x units]; of a GRU, which has two rows of them, to the first.

    Sources: Keras's `unit_forget_bias`; `chrono`, Tallec & Ollivier 2018 (arXiv:1804.11188), equation 16: the keeping
    gate's bias is ln u with u uniform between 1 and t_max - 1, the input gate's its negative. Keras's GRU keeps the
    state where its update gate is open, so that there too the sign is positive.

    Args:
        length: time steps of a sample.

    Raises:
        SuiteError: chrono, for sequences of under three steps.
    """
    biases = np.zeros(shape, np.float32)
    if cell.name not in KEEPING:
        return biases
    row = biases if biases.ndim == 1 else biases[0]
    blocks = row.reshape(GATES[cell.name], -1)
    keeping, entering = KEEPING[cell.name]
    match choice.name:
        case "unit_forget" if cell.name == "lstm":
            blocks[keeping] = 1.0
        case "remember":
            blocks[keeping] = float(choice.setting("value"))
        case "chrono":
            t_max = choice.setting("t_max")
            longest = float(length if t_max == "length" else t_max)
            if longest <= 2.0:
                raise SuiteError(f"gate_bias chrono needs a t_max above 2, and the sequences have {length} steps.")
            drawn = np.log(np.random.default_rng(seed).uniform(1.0, longest - 1.0, blocks.shape[1]))
            blocks[keeping] = drawn
            if entering is not None:
                blocks[entering] = -drawn
    return biases
