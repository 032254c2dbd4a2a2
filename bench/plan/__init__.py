"""A suite's runs, in order, the cohorts in which they train, and what these cost."""

from bench.plan.costs import (
    PROBE,
    REFERENCE,
    Estimate,
    Rates,
    estimate_bytes,
    estimate_memory,
    estimate_report_seconds,
    estimate_rows,
    estimate_seconds,
    makespan,
    one_by_one,
    sizes_of,
    stacked,
)
from bench.plan.make import COHORT_BYTES, MAX_COHORT_RUNS, make_plan
from bench.plan.model import GRAPH_FACTORS, Cohort, Plan, Run

__all__ = [
    "COHORT_BYTES", "GRAPH_FACTORS", "MAX_COHORT_RUNS", "PROBE", "REFERENCE", "Cohort", "Estimate", "Plan", "Rates",
    "Run", "estimate_bytes", "estimate_memory", "estimate_report_seconds", "estimate_rows", "estimate_seconds",
    "make_plan", "makespan", "one_by_one", "sizes_of", "stacked",
]  # fmt: skip
