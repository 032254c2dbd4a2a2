"""From tables to judgements: quantities (one number per run), verdicts, counts, estimates and curves.

Everything here takes frames and returns frames, keeps nothing, and never trains. Start with `judge(tables)`.
"""

from __future__ import annotations

from bench.analysis.advice import Advice, advice
from bench.analysis.agreement import agreement, alarms, areas, detection, equal_rates, sweep
from bench.analysis.causes import (
    Cause,
    Signs,
    against,
    causes_of,
    evidence,
    findings,
    helping,
    helping_all,
    is_first,
    is_last,
)
from bench.analysis.comparison import at_best
from bench.analysis.curves import gradient_profile, layer_step, loss_bands
from bench.analysis.effects import interactions, main_effects, variance_shares
from bench.analysis.estimates import counts, estimate, matched, median_interval
from bench.analysis.full_part import FullPart, largest_full_part
from bench.analysis.mean_field import Theory, disagreement, predictions, theory_of
from bench.analysis.mean_field_causes import CAUSES, expected_by_chance, independent_runs, moved, settings
from bench.analysis.opposites import Opposites, opposites
from bench.analysis.quantities import Measurements, measure
from bench.analysis.rates import rates
from bench.analysis.remedies import remedies, remedies_by
from bench.analysis.setbacks import setbacks
from bench.analysis.survival import deepest_trainable, onset, survival, symptom_by_depth
from bench.analysis.tables import Moment, Tables
from bench.analysis.verdicts import Outcome, gate_open, judge, rules_held, symptoms
from bench.rules import Symptom

__all__ = [
    "CAUSES", "Advice", "Cause", "FullPart", "Measurements", "Moment", "Opposites", "Outcome", "Signs", "Symptom",
    "Tables", "Theory", "advice", "against", "agreement", "alarms", "areas", "at_best", "causes_of", "counts",
    "deepest_trainable", "detection", "disagreement", "equal_rates", "estimate", "evidence", "expected_by_chance",
    "findings", "gate_open", "gradient_profile", "helping", "helping_all", "independent_runs", "interactions",
    "is_first", "is_last", "judge", "largest_full_part", "layer_step", "loss_bands", "main_effects", "matched",
    "measure", "median_interval", "moved", "onset", "opposites", "predictions", "rates", "remedies", "remedies_by",
    "rules_held", "setbacks", "settings", "survival", "sweep", "symptom_by_depth", "symptoms", "theory_of",
    "variance_shares",
]  # fmt: skip
