"""What recurrent networks alone have: a cell, the start of its recurrent kernel, and the start of its gates' biases."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, Setting, above_zero
from bench.factors.initializers import INITIALIZER

CELL = Factor(
    "cell", "What a recurrent layer computes at each time step.", Place.GRAPH, default="none",
    levels=(
        Level("none", "No cell: the network is not recurrent.", "Baseline"),
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
        Level("none", "No recurrent kernel: the network is not recurrent.", "Baseline"),
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
        Level("none", "No gates: the network is not recurrent.", "Baseline"),
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
                    "length", "Longest memory, in time steps; length: that of the sequences.", minimum=2.0,
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
