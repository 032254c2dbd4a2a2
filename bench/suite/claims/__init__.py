"""Claims: what the literature says of a suite's cells, each with the rule that decides it, as data."""

from __future__ import annotations

from bench.suite.claims.model import Cells, Claim, Part, Reduction, Statement

__all__ = ["Cells", "Claim", "Part", "Reduction", "Statement"]
