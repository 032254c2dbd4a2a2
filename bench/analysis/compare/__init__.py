"""Two results of one suite compared: pairs, counts, differences with intervals and margins, and verdicts.

Start with `compare(base, candidate)`. The rules stand in docs/rules.md, under "Comparing two results".
"""

from __future__ import annotations

from bench.analysis.compare.decide import compare
from bench.analysis.compare.model import Comparison, Margin, Power, Side, Verdict
from bench.analysis.compare.pairs import NotComparable, Pairs
from bench.analysis.compare.responses import RESPONSES, TIME, Response
from bench.analysis.compare.tables import changed_tables

__all__ = [
    "RESPONSES", "TIME", "Comparison", "Margin", "NotComparable", "Pairs", "Power", "Response", "Side", "Verdict",
    "changed_tables", "compare",
]  # fmt: skip
