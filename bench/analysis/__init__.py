"""From tables to judgements: responses (one number per run), verdicts, counts, estimates and curves.

Everything here takes frames and returns frames, keeps nothing, and never trains. Start with `judge(tables)`.
"""

from __future__ import annotations

from bench.analysis.curves import gradient_profile, loss_bands
from bench.analysis.effects import variance_shares
from bench.analysis.estimates import counts, estimate, median_interval
from bench.analysis.remedies import remedies, wilson
from bench.analysis.responses import RESPONSES, LostRule, Response, measure, response
from bench.analysis.tables import Moment, Tables
from bench.analysis.tallies import matched, tally
from bench.analysis.thresholds import Threshold, Thresholds, default_thresholds, read_thresholds
from bench.analysis.verdicts import Outcome, Symptom, judge

__all__ = [
    "RESPONSES",
    "LostRule",
    "Moment",
    "Outcome",
    "Response",
    "Symptom",
    "Tables",
    "Threshold",
    "Thresholds",
    "counts",
    "default_thresholds",
    "estimate",
    "gradient_profile",
    "judge",
    "loss_bands",
    "matched",
    "measure",
    "median_interval",
    "read_thresholds",
    "remedies",
    "response",
    "tally",
    "variance_shares",
    "wilson",
]
