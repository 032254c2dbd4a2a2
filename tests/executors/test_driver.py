"""The driver loop: a cohort that does not come back harms no run but the one that ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from bench.engine.dry import train_cohort
from bench.executors.child import Answer, Status
from bench.executors.driver import TIMEOUT_FLOOR, Driver, Incident, Outcome, default_timeout
from bench.executors.local import LocalExecutor
from bench.executors.tables import Tables, failed_tables, join, without
from bench.plan import Cohort
from tests.cohorts import EVALUATED, cohorts
from tests.executors.targets import is_poisoned
from tests.inline import Failing, InlineExecutor

TARGETS = "tests.executors.targets:"
DRY = "bench.engine.dry:train_cohort"
FACTORS = 'depth = [2, 6]\nclipping = ["none", "value", "global_norm"]'


@pytest.fixture(scope="module")
def planned() -> tuple[Cohort, ...]:
    """Two cohorts of six runs; in each, replicate 1 with clipping by value is poisoned."""
    return cohorts(FACTORS, "steps = 5\nwidth = 4", 2, EVALUATED)


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(2) as executor:
        yield executor


def run(driver: Driver, planned: tuple[Cohort, ...]) -> tuple[list[Outcome], list[Incident]]:
    events = list(driver.events(planned))
    return [e for e in events if isinstance(e, Outcome)], [e for e in events if isinstance(e, Incident)]


def lost(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.answer.status is not Status.OK]


def assert_complete(outcomes: list[Outcome], planned: tuple[Cohort, ...]) -> None:
    """Each run ended once, and the rows of those that came back are those of an undisturbed cohort."""
    ended = Counter(run.run_id for outcome in outcomes for run in outcome.cohort.runs)
    assert ended == Counter(run.run_id for cohort in planned for run in cohort.runs)
    gone = [run.run_id for outcome in lost(outcomes) for run in outcome.cohort.runs]
    for cohort in planned:
        parts = [
            dict(outcome.answer.value)
            if outcome.answer.status is Status.OK
            else failed_tables(outcome.cohort, outcome.answer.value)
            for outcome in outcomes
            if outcome.cohort.key == cohort.key
        ]
        joined, undisturbed = join(cohort, parts), train_cohort(cohort)
        assert joined["runs"]["run_id"].to_pylist() == [run.run_id for run in cohort.runs]
        for table in joined.keys() - {"timings"}:
            assert without(joined, gone)[table].equals(without(undisturbed, gone)[table]), table


def test_what_comes_back_is_handed_on_in_one_piece(executor: LocalExecutor, planned: tuple[Cohort, ...]) -> None:
    outcomes, incidents = run(Driver(executor, DRY), planned)
    assert len(outcomes) == len(planned)
    assert not incidents
    assert_complete(outcomes, planned)


@pytest.mark.parametrize(
    ("status", "measures"),
    [
        (Status.ERROR, {"split", "given up"}),
        (Status.TIMEOUT, {"split", "given up"}),
        (Status.CRASHED, {"tried again", "split", "given up"}),
        (Status.KILLED, {"tried again", "made smaller", "given up"}),
        (Status.MEMORY, {"made smaller", "given up"}),
    ],
)
def test_a_run_that_ends_its_cohort_is_found_and_lost_alone(
    planned: tuple[Cohort, ...], status: Status, measures: set[str]
) -> None:
    outcomes, incidents = run(Driver(Failing(status), DRY), planned)
    assert_complete(outcomes, planned)
    assert [(len(each.cohort.runs), is_poisoned(each.cohort)) for each in lost(outcomes)] == [(1, True)] * len(planned)
    assert {incident.measure for incident in incidents} == measures


KERAS_SAYS = "ValueError: Exception encountered when calling Plus.call().\n\nRuntimeError: planted\n\n"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("exit code 3\nlast words", "exit code 3"),
        ("Traceback (most recent call last):\n  File\nValueError: planted", "ValueError: planted"),
        (f"Traceback\n  File\n{KERAS_SAYS}Arguments received by Plus.call():\n  • x=tf.Tensor(shape=(1, 24))",
         "RuntimeError: planted"),
        ("Traceback\n  File\nmine.Fault: planted", "mine.Fault: planted"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_incident_says_in_a_line_what_was_raised(planned: tuple[Cohort, ...], value: str, reason: str) -> None:
    assert Incident(planned[0], Answer(Status.ERROR, value), "given up").reason == reason


@pytest.mark.parametrize(
    ("target", "timeout", "status", "reasons"),
    [
        ("crash_if_poisoned", None, Status.CRASHED, ["exit code 3", "last words"]),
        pytest.param("raise_if_poisoned", None, Status.ERROR, ["RuntimeError: planted"], marks=pytest.mark.full),
        # A healthy part takes milliseconds.
        pytest.param("hang_if_poisoned", 4.0, Status.TIMEOUT, ["longer than 4 s"], marks=pytest.mark.full),
    ],
)
def test_a_worker_that_dies_raises_or_hangs_costs_one_run(
    planned: tuple[Cohort, ...], target: str, timeout: float | None, status: Status, reasons: list[str]
) -> None:
    with LocalExecutor(2) as executor:
        outcomes, incidents = run(Driver(executor, TARGETS + target, timeout), planned[:1])
    assert_complete(outcomes, planned[:1])
    (gone,) = lost(outcomes)
    (only,) = gone.cohort.runs
    assert (only.choices["clipping"].name, only.replicate) == ("value", 1)
    assert gone.answer.status is status
    assert [reason for reason in reasons if reason not in gone.answer.value] == []
    assert {incident.measure for incident in incidents} >= {"split", "given up"}


def test_out_of_memory_leads_to_smaller_cohorts(planned: tuple[Cohort, ...]) -> None:
    outcomes, incidents = run(Driver(InlineExecutor(), TARGETS + "hoard_if_large"), planned)
    assert_complete(outcomes, planned)
    assert not lost(outcomes)
    assert {(incident.answer.status, incident.measure) for incident in incidents} == {(Status.MEMORY, "made smaller")}


@pytest.mark.parametrize(("status", "times"), [(Status.KILLED, 1), (Status.CRASHED, 1), (Status.LOST, 4)])
def test_a_death_by_chance_costs_no_run(planned: tuple[Cohort, ...], status: Status, times: int) -> None:
    outcomes, incidents = run(Driver(Failing(status, times), DRY), planned)
    assert_complete(outcomes, planned)
    assert not lost(outcomes)
    assert [incident.measure for incident in incidents] == ["tried again"] * times * len(planned)


def test_a_cohort_like_one_that_failed_in_every_run_is_not_taken_apart(planned: tuple[Cohort, ...]) -> None:
    driver = Driver(InlineExecutor(), TARGETS + "fail")
    outcomes, incidents = run(driver, planned[:1])
    assert len(lost(outcomes)) == len(outcomes) == 6
    outcomes, incidents = run(driver, planned[1:])
    assert [len(outcome.cohort.runs) for outcome in outcomes] == [6]
    assert [incident.measure for incident in incidents] == ["given up"]


def test_nothing_is_started_after_a_stop(executor: LocalExecutor, planned: tuple[Cohort, ...]) -> None:
    assert list(Driver(executor, DRY).events(planned, stop=lambda: True)) == []


def test_a_deadline_is_generous(planned: tuple[Cohort, ...]) -> None:
    assert default_timeout(planned[0]) == TIMEOUT_FLOOR
    (long,) = cohorts("depth = [200]", "steps = 1000\nwidth = 1024\nbatch_size = 256")
    assert default_timeout(long) > 10 * TIMEOUT_FLOOR


def test_timings_of_parts_are_summed(planned: tuple[Cohort, ...]) -> None:
    whole = planned[0]
    tables: Tables = train_cohort(whole)
    joined = join(whole, [without(tables, [whole.runs[0].run_id]), without(tables, [r.run_id for r in whole.runs[1:]])])
    (row,) = joined["timings"].to_pylist()
    assert (row["cohort"], row["runs"], row["steps"]) == (whole.key, 12, 5)
    assert joined["runs"].equals(tables["runs"])
