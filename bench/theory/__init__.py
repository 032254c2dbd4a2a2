"""What is known of these networks without training one: mean-field theory in numpy."""

from __future__ import annotations

from bench.theory.activations import Nonlinearity, activation
from bench.theory.critical import CriticalKind, CriticalPoint, critical_point
from bench.theory.custom import nonlinearity_of, slope_error
from bench.theory.maps import (
    Moments,
    PairMoments,
    correlation_map,
    correlation_slope,
    growth_factor,
    moments,
    pair_moments,
    variance_map,
    variance_slope,
)
from bench.theory.quadrature import Expectation, expectation, pair_expectation

__all__ = [
    "CriticalKind",
    "CriticalPoint",
    "Expectation",
    "Moments",
    "Nonlinearity",
    "PairMoments",
    "activation",
    "correlation_map",
    "correlation_slope",
    "critical_point",
    "expectation",
    "growth_factor",
    "moments",
    "nonlinearity_of",
    "pair_expectation",
    "pair_moments",
    "slope_error",
    "variance_map",
    "variance_slope",
]
