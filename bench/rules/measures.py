"""What a rule may test: a number per run and recorded step, or one per run, with its unit and definition.

`bench.analysis.measurements` computes each; a test holds the two lists together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measurable quantity: its unit ("1" for a pure number), the table it is computed from, and how."""

    unit: str
    table: str
    definition: str
    per_run: bool = False  # one number a run, whatever the step


def _gradient(definition: str, unit: str = "1") -> Measure:
    return Measure(unit, "gradient_norms", definition)


def _activation(definition: str) -> Measure:
    return Measure("1", "activations", definition)


def _accuracy(definition: str) -> Measure:
    return Measure("1", "evaluations", f"{definition}, over both splits.", per_run=True)


# `_min` and `_max` are over all layers, the head included; shares are those of the hidden layer with the largest.
MEASURES: dict[str, Measure] = {
    "signal_ratio": _gradient(
        "log10 of the first hidden layer's pre-activation gradient norm over the last hidden layer's.", "decades"
    ),
    "collapse_gap": _activation("One minus the mean cosine between two samples in the last hidden layer."),
    "weight_gradient_first": _gradient("L2 norm of the gradient of the first layer's kernel."),
    "weight_gradient_ratio": _gradient("L2 norm of the gradient of the first layer's kernel over that of the head's."),
    "mean_abs_gradient_min": _gradient("Mean absolute entry of a kernel's gradient, the smallest over layers."),
    "mean_abs_gradient_max": _gradient("Mean absolute entry of a kernel's gradient, the largest over layers."),
    "zero_gradient_fraction": _gradient("Share of exact zeros among the entries of all kernels' gradients."),
    "rate_ratio_min": _gradient(
        "Learning rate times the norm of a kernel's gradient over the kernel's norm, the smallest over layers."
    ),
    "rate_ratio_max": _gradient(
        "Learning rate times the norm of a kernel's gradient over the kernel's norm, the largest over layers."
    ),
    "update_ratio_min": _gradient("A kernel's change in one step over the kernel, L2 norms, the smallest over layers."),
    "update_ratio_max": _gradient("A kernel's change in one step over the kernel, L2 norms, the largest over layers."),
    "mean_log_update_min": Measure(
        "decades",
        "gradient_norms",
        "log10 of a kernel's change over it, mean over recorded steps from 10 on, the smallest over layers.",
        per_run=True,
    ),
    "mean_log_update_max": Measure(
        "decades",
        "gradient_norms",
        "log10 of a kernel's change over it, mean over recorded steps from 10 on, the largest over layers.",
        per_run=True,
    ),
    "weight_square_min": _gradient("Mean square of a kernel's entries: the smallest over layers."),
    "weight_square_max": _gradient("Mean square of a kernel's entries: the largest over layers."),
    "nonpositive_fraction": _activation("Share of samples and units with an activation of 0 or less."),
    "large_fraction": _activation("Share of samples and units whose activation is fed 5 or more, up or down."),
    "dead_fraction": _activation("Share of units whose derivative is 0 on every probe sample."),
    "saturated_fraction": _activation("Share of samples and units with a derivative below a fifth of its maximum."),
    "nonfinite": Measure(
        "1", "divergence_events", "1 where a NaN or an infinity was met anywhere, else 0.", per_run=True
    ),
    "best_accuracy": _accuracy("Best accuracy over recorded steps"),
    "largest_gain": _accuracy("Largest gain of accuracy from one recorded evaluation to the next"),
}
