"""From tables to judgements: responses (one number per run), verdicts, counts, estimates and curves.

Everything here takes frames and returns frames, keeps nothing, and never trains. Start with `judge(tables)`.
"""

from __future__ import annotations

from bench.analysis.agreement import agreement, alarms, detection
from bench.analysis.curves import gradient_profile, loss_bands
from bench.analysis.effects import variance_shares
from bench.analysis.estimates import counts, estimate, median_interval
from bench.analysis.measurements import Measurements, measurements
from bench.analysis.remedies import remedies, wilson
from bench.analysis.responses import RESPONSES, LostRule, Response, measure, response
from bench.analysis.sweeps import areas, sweep
from bench.analysis.symptoms import gate_open, rules_held, symptoms
from bench.analysis.tables import Moment, Tables
from bench.analysis.tallies import matched, tally
from bench.analysis.verdicts import Outcome, judge
from bench.rules import Symptom

__all__ = [
    "RESPONSES",
    "LostRule",
    "Measurements",
    "Moment",
    "Outcome",
    "Response",
    "Symptom",
    "Tables",
    "agreement",
    "alarms",
    "areas",
    "counts",
    "detection",
    "estimate",
    "gate_open",
    "gradient_profile",
    "judge",
    "loss_bands",
    "matched",
    "measure",
    "measurements",
    "median_interval",
    "remedies",
    "response",
    "rules_held",
    "sweep",
    "symptoms",
    "tally",
    "variance_shares",
    "wilson",
]
