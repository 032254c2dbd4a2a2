"""Claims judged: a number per run, one per replicate, an effect with its interval, and a verdict.

Start with `judge_claims(tables, suite.claims)`.
"""

from __future__ import annotations

from bench.analysis.claims.decide import judge_claims, judge_stored
from bench.analysis.claims.judged import Counts, Judged, JudgedPart, Verdict
from bench.analysis.claims.words import rule_in_words

__all__ = ["Counts", "Judged", "JudgedPart", "Verdict", "judge_claims", "judge_stored", "rule_in_words"]
