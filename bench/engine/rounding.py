"""How soon rounding decides a run's course: for how many steps two trainings of it have the same losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.engine.batches import batches
from bench.engine.train import Training
from bench.plan import Cohort, Run

TWINS = 4
# Of a weight, by what layers compute in: a unit in the last place, of half precision half of one.
NUDGE = {"float32": 2.0**-23, "mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}
APART = {"float32": 2e-5, "mixed_float16": 3e-3, "mixed_bfloat16": 1e-2}  # of a loss, or of SMALL where it is smaller
SMALL = 0.01


def steady_steps(run: Run, steps: int) -> int:
    """The first step of so many at which a twin's loss is apart, or a loss is not finite; `steps` if none is.

    Twins start from the run's weights, each multiplied by 1 + `NUDGE` times a normal number, and see the same batches.
    Where gradients explode, as behind many batch normalizations, such a difference grows tenfold at each step.
    """
    precision = run.choices["precision"].name
    runs = tuple(replace(run, run_id=f"{run.run_id}-{twin}") for twin in range(1 + TWINS))
    training = Training(Cohort(run.cell_key, "", runs, {}))
    rng = np.random.default_rng(0)
    for variable in training.ensemble.variables:
        values = variable.numpy()
        values[:, 1:] *= 1.0 + NUDGE[precision] * rng.standard_normal(values[:, 1:].shape, np.float32)
        variable.assign(values)
    for step, indices in enumerate(batches(runs, len(training.data.y), training.batch, steps)):
        losses = training.losses(step, indices)
        if not np.isfinite(losses).all() or np.ptp(losses) > APART[precision] * max(abs(losses[0]), SMALL):
            return step
    return steps
