"""`bench check`: whether a suite can run: it is read and expanded, and on request every structure is built."""

from __future__ import annotations

from pathlib import Path

from bench.errors import SuiteError
from bench.executors.answers import Status
from bench.executors.local import LocalExecutor, default_workers, run_cohorts
from bench.plan import make_plan
from bench.suite import load_suite

BUILD = "bench.engine.check:build_cohort"


def check_suite(suite_path: Path, *, build: bool, plugins: bool = True) -> None:
    """Print what was checked.

    Raises:
        SuiteError: it cannot run; with `build` every structure that cannot be built is named.
    """
    suite = load_suite(suite_path, plugins=plugins)
    plan = make_plan(suite)
    print(f"{suite_path}: {len(suite.cells)} cells, {len(plan.runs)} runs, {len(plan.cohorts)} cohorts")
    if not build:
        return
    broken = []
    with LocalExecutor(min(default_workers(), len(plan.cohorts))) as executor:
        for outcome in run_cohorts(executor, BUILD, plan.cohorts):
            if outcome.answer.status is not Status.OK:
                broken.append(f"{outcome.cohort.key}: {str(outcome.answer.value).strip().splitlines()[-1]}")
    if broken:
        raise SuiteError(f"{suite_path}: {len(broken)} structures cannot be built:\n  " + "\n  ".join(sorted(broken)))
    print(f"{len(plan.cohorts)} structures built and run for one step")
