"""What the levels of a cohort's runs say, as one number a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bench.engine.precision import compute_dtype
from bench.plan import Run


@dataclass(frozen=True)
class RunSettings:
    """The settings of factors whose levels share a graph.

    Attributes:
        runs: the runs, in the order of the run axis.
        graph_runs: those whose levels decide what is in the graph, if they are not `runs`.
    """

    runs: Sequence[Run]
    graph_runs: Sequence[Run] = ()

    @property
    def dtype(self) -> tf.DType:
        """What layers compute in; all runs of a cohort in the same."""
        return compute_dtype(self.runs[0].choices["precision"])

    def __call__(self, factor: str, level: str, setting: str, absent: float) -> tf.Tensor | None:
        """One number a run of a level's setting, `absent` where a run has another level; None if no graph run has it.

        Returns:
            [R] in float32.
        """
        if all(run.choices[factor].name != level for run in self.graph_runs or self.runs):
            return None
        choices = [run.choices[factor] for run in self.runs]
        return constant([float(c.setting(setting)) if c.name == level else absent for c in choices])

    def number(self, factor: str, absent: float) -> tf.Tensor | None:
        """One number a run, the level of a factor that is a number; None if `absent` is that of every graph run.

        Returns:
            [R] in float32.
        """
        if all(run.choices[factor].value == absent for run in self.graph_runs or self.runs):
            return None
        return constant([float(run.choices[factor].value or 0) for run in self.runs])

    def class_weights(self, balanced: Sequence[float]) -> list[tf.Tensor]:
        """How much each class counts in each run, [R, K] in float32; nothing if all count alike in every graph run."""
        if all(run.choices["class_weight"].is_none for run in self.graph_runs or self.runs):
            return []
        alike = [1.0] * len(balanced)
        rows = [alike if run.choices["class_weight"].is_none else list(balanced) for run in self.runs]
        return [tf.constant(np.asarray(rows, np.float32))]


def constant(values: Sequence[float]) -> tf.Tensor:
    """Numbers, one a run, in float32."""
    return tf.constant(np.asarray(values, np.float32))
