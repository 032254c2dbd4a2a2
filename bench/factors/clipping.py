"""Clipping: how a gradient is shortened before the optimizer sees it."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place, above_zero

CLIPPING = Factor(
    "clipping", "How gradients are clipped before the optimizer.", Place.RUN, default="none",
    levels=(
        Level("none", "Gradients reach the optimizer as they are.", "Baseline"),
        Level(
            "value", "Each number of the gradient is held between -threshold and threshold.",
            "Mikolov 2012; Keras `clipvalue`", settings={"threshold": above_zero(0.5, "Largest absolute value.")},
        ),
        Level(
            "norm", "Each variable's gradient is scaled down to an L2 norm of at most threshold.", "Keras `clipnorm`",
            settings={"threshold": above_zero(1.0, "Largest L2 norm of one variable's gradient.")},
        ),
        Level(
            "global_norm", "The whole gradient is scaled down to an L2 norm of at most threshold.",
            "Pascanu, Mikolov & Bengio 2013; Keras `global_clipnorm`",
            settings={"threshold": above_zero(1.0, "Largest L2 norm of the whole gradient.")},
        ),
        Level(
            "adaptive", "Each unit's gradient is scaled down to at most threshold times the norm of its weights.",
            "Brock et al. 2021",
            settings={"threshold": above_zero(0.01, "Largest ratio of gradient norm to weight norm.")},
        ),
    ),
)  # fmt: skip
