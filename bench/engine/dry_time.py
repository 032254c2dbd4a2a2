"""The rows of `time_gradients` by formula, for `dry`.

Going back one time step the gradient for the state changes by `TIME_SHARE` of the decades by which it changes through a
layer, with gates by `GATED_SHARE`; the first layer's is that of its signal by `dry`. An LSTM's gradient for its cell is
half of that for the state, and so is what the input puts into the pre-activations; a step's term of the recurrent
kernel's gradient is a tenth of it. A gate that keeps the state is open by half, and none of its values is saturated.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.factors import planned_moments
from bench.plan import Cohort
from bench.schema import conform

TIME_SHARE, GATED_SHARE = 0.5, 0.1
GATED = ("lstm", "gru")


def time_gradients(
    cohort: Cohort,
    run: NDArray[np.int64],
    step: NDArray[np.int64],
    signal: NDArray[np.float64],
    growth: NDArray[np.float64],
) -> pa.Table:
    """The table.

    Args:
        run, step: the run's place in the cohort and the step of each recorded pair, [rows].
        signal: its gradient norm in each hidden layer, [rows, layers].
        growth: the decades by which that grows back through a layer at that step, [rows].
    """  # fmt: skip
    told = planned_moments(cohort.structure)
    cell = cohort.structure["cell"].name
    per_step = growth * (GATED_SHARE if cell in GATED else TIME_SHARE)
    layers = np.array([layer for layer, _ in told], np.int64)
    lags = np.array([moment.lag for _, moment in told], np.int64)
    state = (signal[:, layers] * 10.0 ** (per_step[:, None] * lags)).ravel()
    ids = np.array([each.run_id for each in cohort.runs], object)
    columns: dict[str, object] = {
        "run_id": np.repeat(ids[run], len(told)),
        "step": np.repeat(step, len(told)),
        "layer_index": np.tile(layers, len(run)),
        "lag": np.tile(lags, len(run)),
        "state_grad_norm": state,
        "preactivation_grad_norm": state / 2.0,
        "recurrent_kernel_grad_norm": state / 10.0,
        "state_mean_square": np.full(state.size, 0.25),
    }
    for name in ("direction", "time"):
        columns[name] = np.tile([getattr(moment, name) for _, moment in told], len(run))
    if cell == "lstm":
        columns["cell_grad_norm"] = state / 2.0
    if cell in GATED:
        columns |= {"gate_mean": np.full(state.size, 0.5), "gate_saturated_fraction": np.zeros(state.size)}
    return conform("time_gradients", columns)
