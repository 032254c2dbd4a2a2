"""How inputs, and values to predict, are scaled before they are trained on."""

from __future__ import annotations

from bench.factors.base import Factor, Level, Place

PREPROCESSING = Factor(
    "preprocessing", "How the inputs are scaled.", Place.GRAPH, default="standardize",
    levels=(
        Level("none", "Inputs as they come.", "Baseline"),
        Level("scale", "Each feature from 0 to 1 over the training rows.", "scikit-learn's MinMaxScaler"),
        Level("standardize", "Each feature to mean 0 and variance 1 over the training rows.", "LeCun et al. 1998"),
        Level(
            "robust", "Each feature less its median, over its interquartile range, by the training rows.",
            "scikit-learn's RobustScaler",
        ),
        Level(
            "unit_mean_square", "Standardized, then each row to mean square 1, as mean-field theory assumes.",
            "Poole et al. 2016",
        ),
    ),
)  # fmt: skip

TARGET_PREPROCESSING = Factor(
    "target_preprocessing", "How values to predict are scaled; losses are those of the scaled values.", Place.GRAPH,
    default="none",
    levels=(
        Level("none", "Values as they come.", "Baseline"),
        Level("scale", "Each value from 0 to 1 over the training rows.", "scikit-learn's MinMaxScaler"),
        Level("standardize", "Each value to mean 0 and variance 1 over the training rows.", "Bishop 1995, section 8.2"),
        Level(
            "robust", "Each value less its median, over its interquartile range, by the training rows.",
            "scikit-learn's RobustScaler",
        ),
    ),
)  # fmt: skip
