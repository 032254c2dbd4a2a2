"""What is known of these networks without training one: mean-field theory in numpy."""

from __future__ import annotations

from bench.theory.activations import Nonlinearity, activation, nonlinearity_of
from bench.theory.attention import condensation, entropy_bound, entropy_closed, logit_deviation, softmax
from bench.theory.cells import RecurrentCell, recurrent_cell_of
from bench.theory.convnets import ConvNetwork, conv_network_of
from bench.theory.convolution import ConvProfile, conv_profile, leak, leak_rate, mode_depth, spatial_mode, window
from bench.theory.critical import CriticalKind, CriticalPoint, critical_point
from bench.theory.describe import DenseNetwork, choice_of, network_of
from bench.theory.gates import tied_sum
from bench.theory.lags import LagProfile, Law, horizon, lag_profile
from bench.theory.maps import (
    correlation_map,
    fixed_point,
    fixed_points,
    growth_map,
    moments,
    pair_moments,
    variance_map,
    variance_slope,
)
from bench.theory.profile import Profile, profile
from bench.theory.simple_cells import InputState, SingularBound, arcsine_share, input_state, singular_bound
from bench.theory.streams import StreamProfile, later_profile, stream_profile
from bench.theory.tokens import Tokens
from bench.theory.trajectory import TrainableDepth, gain_rates, trainable_depth
from bench.theory.transformers import Transformer, embedded, transformer_of
from bench.theory.weights import weight_law

__all__ = [
    "ConvNetwork", "ConvProfile", "CriticalKind", "CriticalPoint", "DenseNetwork", "InputState", "LagProfile", "Law",
    "Nonlinearity", "Profile", "RecurrentCell", "SingularBound", "StreamProfile", "Tokens", "TrainableDepth",
    "Transformer", "activation", "arcsine_share", "choice_of", "condensation", "conv_network_of", "conv_profile",
    "correlation_map", "critical_point", "embedded", "entropy_bound", "entropy_closed", "fixed_point", "fixed_points",
    "gain_rates", "growth_map", "horizon", "input_state", "lag_profile", "later_profile", "leak", "leak_rate",
    "logit_deviation", "mode_depth", "moments", "network_of", "nonlinearity_of", "pair_moments", "profile",
    "recurrent_cell_of", "singular_bound", "softmax", "spatial_mode", "stream_profile", "tied_sum", "trainable_depth",
    "transformer_of", "variance_map", "variance_slope", "weight_law", "window",
]  # fmt: skip
