"""Runs of few cells with given final scores, and the recipes that follow from them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis.recipes import Recipes, recipes

LEVELS = {
    "depth": ("4", "32"), "activation": ("tanh", "relu"), "normalization": ("none", "batch_normalization"),
    "skip": ("none", "residual"), "optimizer": ("momentum", "adam"), "learning_rate": ("0.01", "0.001"),
}  # fmt: skip
PLAIN = {"depth": "4", "activation": "tanh", "normalization": "none", "skip": "none", "optimizer": "adam",
         "learning_rate": "0.001"}  # fmt: skip


def cell(scores: list[float], loss: float = 0.1, values: bool = False, cohort: str = "a", **levels: str) -> list[dict]:
    """A cell's runs: final accuracies, or losses; an accuracy of NaN is a run that diverged."""
    shown = PLAIN | levels
    key = "-".join(shown.values())
    return [
        shown | {
            "run_id": f"{key}-r{number}", "cell_key": key, "replicate": number, "dataset": "digits", "cohort": cohort,
            "status": "diverged" if np.isnan(score) else "completed",
            "outcome": "diverged" if np.isnan(score) else
                       "learned" if (score <= 0.5 if values else score >= 0.5) else "not_learned",
            "symptom_start": "vanishing", "chance_accuracy": np.nan if values else 0.1, "naive_loss": 1.0,
            "final_validation_accuracy": np.nan if values else score,
            "final_validation_loss": score if values else loss,
        }
        for number, score in enumerate(scores)
    ]  # fmt: skip


def found(*cells: list[dict], report: dict | None = None, varied: tuple[str, ...] = tuple(LEVELS)) -> Recipes:
    runs = pd.DataFrame([run for each in cells for run in each])
    timings = pd.DataFrame({"cohort": ["a", "b"], "train_seconds": [1.0, 1.5], "runs": [1, 1], "steps": [11, 11]})
    return recipes(runs, {name: LEVELS[name] for name in varied}, timings, report)


GOOD, CLOSE, POOR = [0.97] * 3, [0.93] * 3, [0.1] * 3
BATCH, SKIP, RATE = {"normalization": "batch_normalization"}, {"skip": "residual"}, {"learning_rate": "0.01"}
