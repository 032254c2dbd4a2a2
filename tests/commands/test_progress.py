"""What progress says: counts of every kind, and an estimate from what cohorts cost on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future

import pytest

from bench.commands.found import Found
from bench.commands.progress import Tally
from bench.executors.child import Answer, Status
from bench.executors.driver import Driver, Outcome, Part
from bench.plan import Cohort, Plan, estimate_seconds
from tests.cohorts import cohorts


class NoExecutor:
    """Two slots in which nothing runs."""

    slots = 2

    def submit(self, target: str, argument: object, timeout: float | None = None) -> Future[Answer]:
        raise NotImplementedError


@pytest.fixture
def planned() -> tuple[Cohort, ...]:
    """Four cohorts of three runs that cost the same."""
    return cohorts('activation = ["relu", "tanh", "sigmoid", "linear"]', "depth = 2\nsteps = 10", replicates=3)


@pytest.fixture
def tally(planned: tuple[Cohort, ...]) -> Tally:
    plan = Plan(tuple(run for cohort in planned for run in cohort.runs), planned)
    return Tally(Found(plan, left=list(planned)), Driver(NoExecutor(), "nowhere:nothing"))


def fly(tally: Tally, cohorts: Iterable[Cohort], seconds: float) -> None:
    """Let cohorts be in hand since so many seconds."""
    for cohort in cohorts:
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        tally.driver.flying[future] = Part(cohort, cohort, started=time.monotonic() - seconds)


def test_nothing_is_estimated_before_a_cohort_has_ended(tally: Tally) -> None:
    assert tally.seconds_left() is None
    assert tally.counts()["left"] == 12


def test_the_estimate_is_the_measured_cost_of_what_is_left_shared_by_the_workers(
    tally: Tally, planned: tuple[Cohort, ...]
) -> None:
    tally.add(Outcome(planned[0], Answer(Status.OK, None, seconds=40.0)), ["completed", "diverged", "failed"])
    fly(tally, planned[1:3], seconds=10.0)
    tally.started -= (40 + 2 * 10) / 2
    counts = tally.counts()
    assert [counts[name] for name in ("done", "running", "failed", "diverged", "left")] == [3, 6, 1, 1, 3]
    assert tally.seconds_left() == pytest.approx((3 * 40 - 2 * 10) / 2, rel=1e-2)


def test_the_estimate_is_no_less_than_what_the_longest_cohort_still_takes(
    tally: Tally, planned: tuple[Cohort, ...]
) -> None:
    for cohort in planned[:3]:
        tally.add(Outcome(cohort, Answer(Status.OK, None, seconds=40.0)), ["completed"] * 3)
    fly(tally, planned[3:], seconds=10.0)
    tally.started -= (3 * 40 + 10) / 2
    assert tally.seconds_left() == pytest.approx(30.0, rel=1e-2)
    assert "30 s to go" in tally.sentence()


def test_a_slow_machine_is_told_from_a_quick_one(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    cost = estimate_seconds(planned[0])
    tally.add(Outcome(planned[0], Answer(Status.OK, None, seconds=cost)), ["completed"] * 3)
    tally.started -= cost / 2
    quick = tally.seconds_left()
    tally.add(Outcome(planned[1], Answer(Status.OK, None, seconds=9 * cost)), ["completed"] * 3)
    tally.started -= 9 * cost / 2
    slow = tally.seconds_left()
    assert quick is not None and slow is not None
    assert slow == pytest.approx(quick * 5 * 2 / 3, rel=1e-2)


def test_nothing_is_left_at_the_end(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    for cohort in planned:
        tally.add(Outcome(cohort, Answer(Status.OK, None, seconds=1.0)), ["completed"] * 3)
    assert tally.seconds_left() == 0.0
    assert "took" in tally.sentence()
