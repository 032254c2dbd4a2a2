"""What architectures from outside say of themselves, before their cohorts are trained or built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.errors import SuiteError
from bench.executors.child import Status
from bench.executors.local import LocalExecutor
from bench.factors import FACTORS
from bench.plan import Cohort, Plan, estimate_seconds, make_plan, one_by_one, stacked
from bench.suite import Suite
from bench.text import plural

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


def of_models(cohorts: Sequence[Cohort], *, known: bool) -> str:
    """How much longer runs of Keras models of a user's own take, which train one at a time; empty where there are none.

    Args:
        known: whether a worker has said what they are; otherwise any architecture from outside may be one.
    """
    outside = [
        cohort for cohort in cohorts if FACTORS["architecture"].level(cohort.structure["architecture"].name) is None
    ]
    alone = [each for each in outside if each.costs and each.costs.alone] if known else outside
    if not alone:
        return ""
    names = ", ".join(dict.fromkeys(each.structure["architecture"].label for each in alone))
    together = sum(estimate_seconds(stacked(each)) for each in alone)
    slower = sum(estimate_seconds(one_by_one(each)) for each in alone) / together
    runs = plural(sum(len(each.runs) for each in alone), "run")
    if known:
        how = f"about {slower:.1f} times as long as stacked cohorts"
        return f"{names}: a Keras model, so {runs} train one at a time, {how}"
    return (
        f"{names}: not imported to plan. If it is a Keras model (it has `reads`), its {runs} train one at a time, "
        f"about {slower:.1f} times as long as said here"
    )
