"""What recurrent networks alone have: a cell, the starts of its kernel and gates, and how far its gradient goes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bench.factors.base import Choice, Factor, Level, Place, Rule, Setting, above_zero
from bench.factors.datasets import dataset_level
from bench.factors.initializers import INITIALIZER

IN_TIME = ("truncate", "gate_bias")  # factors with levels that must fit the length of the sequences
SHORTEST = 2  # chrono's times are drawn between 1 and t_max - 1
GATES = {"simple": 1, "lstm": 4, "gru": 3}  # blocks of a cell's kernels, [units, gates x units]
FORWARD, BACKWARD = "forward", "backward"

CELL = Factor(
    "cell", "What a recurrent layer computes at each time step.", Place.GRAPH, default="none",
    levels=(
        Level("none", "No cell: the network is not recurrent.", "Baseline", elsewhere=True),
        Level("simple", "h = activation(W x + U h + b): Keras's SimpleRNN.", "Elman 1990"),
        Level(
            "lstm", "A cell state behind an input, a forget and an output gate: Keras's LSTM.",
            "Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
        ),
        Level("gru", "An update and a reset gate: Keras's GRU, which resets after the product.", "Cho et al. 2014"),
    ),
)  # fmt: skip

RECURRENT_INITIALIZER = Factor(
    "recurrent_initializer",
    "How recurrent kernels are drawn; a cell's gates stand side by side in one kernel, [units, gates x units].",
    Place.RUN, default="none",
    levels=(
        Level("none", "No recurrent kernel: the network is not recurrent.", "Baseline", elsewhere=True),
        Level(
            "identity", "Each gate's part of the kernel the identity times `gain`: with relu, IRNN.",
            "Le, Jaitly & Hinton 2015", settings={"gain": above_zero(1.0, "Factor on the identity.")},
        ),
        *(level for level in INITIALIZER.levels if level.target),
    ),
)  # fmt: skip

GATE_BIAS = Factor(
    "gate_bias", "What the biases of a recurrent cell's gates start at, on top of the bias initializer's draw.",
    Place.RUN, default="none",
    levels=(
        Level("none", "No gates: the network is not recurrent.", "Baseline", elsewhere=True),
        Level(
            "unit_forget", "1 in an LSTM's forget gate, 0 in every other gate of any cell: as Keras starts them.",
            "Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015",
        ),
        Level("zeros", "0 in every gate.", "Keras's unit_forget_bias=False"),
        Level(
            "chrono",
            "The gate that keeps the state at ln u, u uniform between 1 and t_max - 1; an LSTM's input gate at -ln u.",
            "Tallec & Ollivier 2018",
            settings={
                "t_max": Setting(
                    "length", "Longest memory, in time steps; length: that of the sequences.", minimum=float(SHORTEST),
                    exclusive=True, or_number=True,
                ),
            },
        ),
        Level(
            "remember", "One number in the gate that keeps the state: an LSTM's forget gate, a GRU's update gate.",
            "Jozefowicz, Zaremba & Sutskever 2015", settings={"value": Setting(1.0, "The bias.")},
        ),
    ),
)  # fmt: skip

TRUNCATE = Factor(
    "truncate", "How far back in time a recurrent layer's gradient goes; the state itself goes on.", Place.RUN,
    default="none",
    levels=(
        Level("none", "To the first time step.", "Baseline"),
        Level(
            "bptt",
            "To the first of a window of `steps` time steps, where the state is taken as given; windows follow one "
            "another from the sequence's beginning.",
            "Williams & Peng 1990; Keras's stop_gradient on the state",
            settings={"steps": Setting(10, "Time steps of a window; at most the sequence's.", minimum=1)},
        ),
    ),
)  # fmt: skip

DIRECTION = Factor(
    "direction", "From which end a recurrent layer reads its sequence.", Place.GRAPH, default="forward",
    levels=(
        Level("forward", "From the first time step to the last.", "Elman 1990"),
        Level(
            "bidirectional",
            "From both ends, with weights and `width` units for each; what reads the layer reads both side by side.",
            "Schuster & Paliwal 1997; Keras's Bidirectional",
        ),
    ),
)  # fmt: skip


def misfit_in_time(factor: str, choice: Choice, length: int) -> str:
    """Why a recurrent network's level does not fit sequences of so many time steps, and what does; empty if it does."""
    if factor == "truncate" and choice.name == "bptt" and int(choice.setting("steps")) > length:
        return f"its sequences have {length} time steps: steps can be {length} at most, which cuts nothing, as none."
    if factor == "gate_bias" and choice.name == "chrono" and choice.setting("t_max") == "length" and length <= SHORTEST:
        return (
            f"its sequences have {length} time steps, and chrono draws memories from a t_max above {SHORTEST}: "
            f'{{ level = "chrono", t_max = {SHORTEST + 1} }} gives it one.'
        )
    return ""


def directions_of(structure: Mapping[str, Choice]) -> tuple[str, ...]:
    """In which directions each recurrent layer of a structure goes."""
    return (FORWARD, BACKWARD) if structure["direction"].name == "bidirectional" else (FORWARD,)


def _cell_has_gates(cell: Choice, gate_bias: Choice) -> str:
    if cell.name != "simple" or gate_bias.name not in ("chrono", "remember"):
        return ""
    return "a simple cell has no gates; lstm and gru have."


def _fits_length(factor: str, dataset: Choice, choice: Choice) -> str:
    data = dataset_level(dataset)
    return misfit_in_time(factor, choice, data.steps) if data is not None and data.steps else ""


def _normalizes_before(architecture: Choice, normalization: Choice) -> str:
    if architecture.name != "recurrent" or dict(normalization.settings).get("position") != "after":
        return ""
    return "inside a cell it stands before gates and activation. Leave position at before."


RECURRENCE_RULES: tuple[Rule, ...] = (
    (("cell", "gate_bias"), _cell_has_gates),
    *((("dataset", factor), partial(_fits_length, factor)) for factor in IN_TIME),
    (("architecture", "normalization"), _normalizes_before),
)
