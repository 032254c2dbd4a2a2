"""Build a cohort's structure and take one step, to see that it can be trained."""

from __future__ import annotations

from dataclasses import replace

from bench.engine.train import Training
from bench.plan import Cohort


def build_cohort(cohort: Cohort) -> int:
    """Build the structure of a cohort for its first run and train one step; returns its trainable numbers.

    Raises:
        Exception: whatever the dataset, the network or a plugin raised.
    """
    training = Training(replace(cohort, runs=cohort.runs[:1], schedules={}))
    training.steps = 1
    training.run()
    return training.recorder.parameter_count
