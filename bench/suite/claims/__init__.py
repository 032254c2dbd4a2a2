"""Claims: what the literature says of a suite's cells, each with the rule that decides it, as data."""

from __future__ import annotations

from bench.suite.claims.model import Cells, Claim, Part, Reduction
from bench.suite.claims.numbers import ColumnNumber, LearnedNumber, Number, ResponseNumber
from bench.suite.claims.responses import RESPONSE_NAMES

__all__ = [
    "RESPONSE_NAMES",
    "Cells",
    "Claim",
    "ColumnNumber",
    "LearnedNumber",
    "Number",
    "Part",
    "Reduction",
    "ResponseNumber",
]
