"""Regularization: what pulls the weights towards zero or bounds them."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, above_zero

REGULARIZATION = Factor(
    "regularization", "The penalty or bound on the weights.", Place.RUN, default="none",
    levels=(
        Level("none", "No penalty and no bound.", "Baseline"),
        Level(
            "l1", "strength times the sum of |w| is added to the loss.", "Tibshirani 1996",
            settings={"strength": above_zero(1e-4, "Factor of the penalty.")},
        ),
        Level(
            "l2", "strength times the sum of w squared is added to the loss.", "Krogh & Hertz 1992",
            settings={"strength": above_zero(1e-4, "Factor of the penalty.")},
        ),
        Level(
            "weight_decay",
            "Each step takes learning rate times strength times w off each weight, apart from the gradient.",
            "Loshchilov & Hutter 2019",
            settings={"strength": above_zero(0.004, "Factor of the decay; with adamw it replaces adamw's own.")},
        ),
        Level(
            "max_norm", "After each step, the weights into each unit are scaled down to an L2 norm of at most limit.",
            "Srivastava et al. 2014; Keras `MaxNorm`",
            settings={"limit": above_zero(3.0, "Largest L2 norm of a unit's weights.")},
        ),
    ),
)  # fmt: skip
