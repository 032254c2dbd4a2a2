"""What architectures from outside say of themselves, before their cohorts are trained or built."""

from __future__ import annotations

from dataclasses import replace

from bench.errors import SuiteError
from bench.executors.child import Status
from bench.executors.local import LocalExecutor
from bench.factors import FACTORS
from bench.plan import Plan, make_plan
from bench.suite import Suite

ASK = "bench.engine.outside:costs_of_cells"


def planned(suite: Suite) -> Plan:
    """The plan of a suite that is to be trained: a worker imports what comes from outside, and says its costs.

    Which runs share a cohort does not depend on these, so that whoever may import no plugin makes the same plan.

    Raises:
        SuiteError: an architecture from outside cannot be imported, or has no use for a level that it is combined with.
        DataError: a local dataset cannot be read.
    """
    plan = make_plan(suite)
    outside = [cell for cell in suite.cells if FACTORS["architecture"].level(cell["architecture"].name) is None]
    if not outside:
        return plan
    with LocalExecutor(1) as executor:
        answer = executor.submit(ASK, [dict(cell) for cell in outside]).result()
    if answer.status is not Status.OK:
        raise SuiteError(f"{suite.path}: {answer.line}")
    costs = {id(cell): each for cell, each in zip(outside, answer.value, strict=True)}
    cohorts = (replace(cohort, costs=costs.get(id(cohort.runs[0].choices))) for cohort in plan.cohorts)
    return replace(plan, cohorts=tuple(cohorts))
