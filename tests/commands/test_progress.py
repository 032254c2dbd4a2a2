"""What progress says: counts of every kind, steps within a cohort, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

import pytest

from bench.commands import progress
from bench.commands.found import Found
from bench.commands.progress import Tally
from bench.executors.child import Answer, Status
from bench.executors.driver import Driver, Outcome, Part
from bench.plan import REFERENCE, Cohort, Plan, estimate_seconds
from tests.cohorts import cohorts


class NoExecutor:
    """Two slots in which nothing runs."""

    slots = 2

    def submit(
        self, target: str, argument: object, timeout: float | None = None, reached: Callable[[int], None] = print
    ) -> Future[Answer]:
        raise NotImplementedError


@pytest.fixture
def planned() -> tuple[Cohort, ...]:
    """Four cohorts of three runs that cost the same."""
    return cohorts('activation = ["relu", "tanh", "sigmoid", "linear"]', "depth = 2\nsteps = 10", replicates=3)


@pytest.fixture
def tally(planned: tuple[Cohort, ...], monkeypatch: pytest.MonkeyPatch) -> Tally:
    """On a clock that stands still, where nothing is trusted but what was measured."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(progress, "TRUSTED_SECONDS", 1e-9)
    plan = Plan(tuple(run for cohort in planned for run in cohort.runs), planned)
    tally = Tally(Found(plan, left=list(planned)), Driver(NoExecutor(), "nowhere:nothing"))
    tally.rates = REFERENCE
    return tally


def fly(tally: Tally, cohorts: Iterable[Cohort], seconds: float, step: int = 0) -> None:
    """Let cohorts be in hand since so many seconds, and have reached a step now."""
    for cohort in cohorts:
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        began = time.monotonic() - seconds
        heard = time.monotonic() if step else began
        tally.driver.flying[future] = Part(cohort, cohort, taken=began, began=began, heard=heard, step=step)


def wait_for(tally: Tally, cohorts: Iterable[Cohort]) -> None:
    for cohort in cohorts:
        tally.driver.flying[Future()] = Part(cohort, cohort)


def test_the_plan_is_what_is_estimated_before_anything_was_measured(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    two_after_another = REFERENCE.import_seconds + 2 * estimate_seconds(planned[0])
    assert tally.seconds_left() == pytest.approx(two_after_another)
    assert tally.counts()["left"] == 12
    tally.rates = None
    assert tally.seconds_left() is None


def test_what_waits_is_shared_by_the_workers_at_its_measured_cost(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    tally.add(Outcome(planned[0], Answer(Status.OK, None, seconds=40.0)), ["completed", "diverged", "failed"])
    fly(tally, planned[1:3], seconds=10.0)
    wait_for(tally, planned[3:])
    counts = tally.counts()
    assert [counts[name] for name in ("done", "running", "failed", "diverged", "left")] == [3, 6, 1, 1, 3]
    assert tally.seconds_left() == pytest.approx(40 - 10 + 40)


def test_the_estimate_is_no_less_than_what_the_longest_cohort_takes(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    for cohort in planned[:3]:
        tally.add(Outcome(cohort, Answer(Status.OK, None, seconds=40.0)), ["completed"] * 3)
    fly(tally, planned[3:], seconds=10.0)
    assert tally.seconds_left() == pytest.approx(30.0)
    assert "30 s to go" in tally.sentence()


def test_a_step_within_a_cohort_tells_how_fast_it_is(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    estimate = tally._estimate(planned[0])
    fly(tally, planned[:1], seconds=3 * estimate.seconds(5), step=5)
    assert tally.seconds_left() == pytest.approx(3 * (estimate.seconds() - estimate.seconds(5)))
    assert "; step 5 of 10" in tally.sentence()
    assert 0 < tally.share() < 3


def test_the_estimate_is_trusted_until_more_was_measured(
    tally: Tally, planned: tuple[Cohort, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TRUSTED_SECONDS", 10.0)
    cost = estimate_seconds(planned[0])
    wait_for(tally, planned[:1])
    errors = []
    for _ in range(4):
        left = tally.seconds_left()
        assert left is not None
        errors.append(5 * cost - left)  # the machine takes five times as long as the plan says
        tally.add(Outcome(planned[1], Answer(Status.OK, None, seconds=5 * cost * 100)), [])
        tally.expected_ended += 99 * cost
    assert errors[0] == pytest.approx(4 * cost)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2


def test_nothing_is_left_at_the_end(tally: Tally, planned: tuple[Cohort, ...]) -> None:
    for cohort in planned:
        tally.add(Outcome(cohort, Answer(Status.OK, None, seconds=1.0)), ["completed"] * 3)
    assert tally.seconds_left() == 0.0
    assert "took" in tally.sentence()
