"""What a results folder holds of a plan, and what is left to train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from bench.commands.only import Fits
from bench.plan import Cohort, Plan, Run, estimate_seconds
from bench.schema import RunStatus
from bench.store import Results


@dataclass
class Found:
    """Runs by what became of them, and the cohorts or parts of cohorts that are left, longest first.

    Attributes:
        statuses: of the planned runs that are in the folder and stay there.
        left_out: planned runs that are not in the folder and that `--only` leaves for another time.
        retried: failed runs that are to be tried again.
        partial: the cohorts that have some of their runs in the folder.
    """

    plan: Plan
    set_aside: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    left: list[Cohort] = field(default_factory=list)
    left_out: int = 0
    retried: int = 0
    partial: set[str] = field(default_factory=set)

    def sentences(self) -> list[str]:
        """What was found, for people."""
        done, failed = self.statuses.total(), self.statuses[RunStatus.FAILED]
        left = sum(len(cohort.runs) for cohort in self.left)
        said = [f"{len(self.plan.runs)} runs in {len(self.plan.cohorts)} cohorts: {done} done earlier, {left} to run"]
        if self.left_out:
            said[0] += f", {self.left_out} left out by --only"
        if failed:
            said.append(f"{failed} of those done have failed and are left alone; --retry-failed tries them again")
        if self.retried:
            said.append(f"{self.retried} of those to run have failed before")
        if self.set_aside:
            said.append(f"{self.set_aside} cohorts that the suite no longer plans were moved to superseded/")
        return said


def look(results: Results, plan: Plan, fits: Fits | None, *, retry_failed: bool) -> Found:
    """Compare a folder with a plan. Cohorts that are no longer planned are set aside.

    Failed runs that are to be tried again are taken out of the folder's tables.
    """
    keys = [cohort.key for cohort in plan.cohorts]
    found = Found(plan, set_aside=results.arrange(keys))
    done = results.done(keys)
    for cohort in plan.cohorts:
        held = results.statuses(cohort.key) if cohort.key in done else {}
        again = [
            run.run_id
            for run in cohort.runs
            if retry_failed and held.get(run.run_id) == RunStatus.FAILED and _fits(fits, run)
        ]
        if again:
            results.forget(cohort.key, again)
            held = {run_id: status for run_id, status in held.items() if run_id not in again}
        missing = [run for run in cohort.runs if run.run_id not in held]
        wanted = tuple(run for run in missing if _fits(fits, run))
        found.statuses.update(held.values())
        found.retried += len(again)
        found.left_out += len(missing) - len(wanted)
        if held or again:
            found.partial.add(cohort.key)
        if wanted:
            found.left.append(replace(cohort, runs=wanted))
    found.left.sort(key=estimate_seconds, reverse=True)
    return found


def _fits(fits: Fits | None, run: Run) -> bool:
    return fits is None or fits(run.choices)
