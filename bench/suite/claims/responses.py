"""The names of the responses (bench.analysis.responses): a suite is told of a wrong one when it is read."""

from __future__ import annotations

RESPONSE_NAMES = (
    "decay_rate_start",
    "decay_rate_end",
    "signal_ratio_start",
    "signal_ratio_end",
    "weight_ratio_start",
    "weight_rms_ratio_start",
    "weight_rms_ratio_end",
    "update_ratio_start",
    "update_ratio_end",
    "gradient_correlation_start",
    "gradient_correlation_end",
    "collapse_gap_start",
    "collapse_gap_end",
    "saturated_fraction_start",
    "saturated_fraction_end",
    "dead_fraction_start",
    "dead_fraction_end",
    "final_validation_accuracy",
    "final_validation_loss",
    "final_train_loss",
    "best_validation_accuracy",
    "best_validation_loss",
    "steps_to_accuracy",
    "steps_to_divergence",
    "loss_area",
    "clipped_share",
    "steps_completed",
    "milliseconds_per_step",
)
