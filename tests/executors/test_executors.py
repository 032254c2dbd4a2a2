"""Child processes: what they answer, and what happens when they die."""

import subprocess
from collections.abc import Iterator

import pytest

from bench.executors.child import STARTED, Status
from bench.executors.local import LocalExecutor

TARGETS = "tests.executors.targets:"


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    """One worker for all tests: a new one is started only after its death."""
    with LocalExecutor(1) as executor:
        yield executor


@pytest.fixture
def fresh() -> Iterator[LocalExecutor]:
    with LocalExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("fail", Status.ERROR, "RuntimeError: planted"),
        ("refuse", Status.REFUSED, "mend your suite"),  # a user's mistake
        ("hoard", Status.MEMORY, "MemoryError: planted"),
        ("die", Status.KILLED, "(SIGKILL, as when memory runs out)\nlast words"),
        ("leave", Status.CRASHED, "exit code 3"),
        ("exit_early", Status.CRASHED, "exit code 4"),
        ("segfault", Status.CRASHED, "SIGSEGV"),
    ],
)
def test_what_goes_wrong_is_an_answer_and_the_next_request_gets_a_worker(
    executor: LocalExecutor, target: str, status: Status, said: str
) -> None:
    answer = executor.submit(TARGETS + target, None).result()
    assert answer.status is status
    assert answer.value == said if status is Status.REFUSED else said in answer.value
    again = executor.submit(TARGETS + "double", 21).result()
    assert (again.status, again.value) == (Status.OK, 42)


def test_a_target_tells_its_steps_now_and_then(executor: LocalExecutor) -> None:
    steps: list[int] = []
    answer = executor.submit(TARGETS + "walk", 5, None, steps.append).result()
    assert (answer.status, answer.value) == (Status.OK, 5)
    assert steps[0] == STARTED
    assert steps == sorted(set(steps))
    assert 1 < len(steps) < 5  # a second is more than a step


def test_prints_do_not_disturb_the_answers(executor: LocalExecutor) -> None:
    assert executor.submit(TARGETS + "chatter", 7).result().value == 7
    assert executor.submit(TARGETS + "double", 7).result().value == 14


def test_workers_are_processes_of_one_thread_that_do_not_load_tensorflow_by_themselves() -> None:
    with LocalExecutor(2) as executor:
        asked = [executor.submit(TARGETS + "process", None) for _ in range(4)]
        assert len({future.result().value for future in asked}) == 2
        assert executor.submit(TARGETS + "threads", None).result().value == "1"
        assert executor.submit(TARGETS + "tensorflow_is_loaded", None).result().value is False


def test_a_child_is_replaced_after_many_requests(fresh: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.executors.child.RECYCLE_AFTER", 2)
    processes = [fresh.submit(TARGETS + "process", None).result().value for _ in range(5)]
    assert processes[0] == processes[1] != processes[2] == processes[3] != processes[4]


def test_a_child_is_replaced_when_it_has_grown(fresh: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.executors.child.RECYCLE_GROWTH", 64 * 2**20)
    first = fresh.submit(TARGETS + "process", None).result().value
    assert fresh.submit(TARGETS + "process", None).result().value == first
    fresh.submit(TARGETS + "grow", 128 * 2**20).result()
    assert fresh.submit(TARGETS + "process", None).result().value != first


def test_a_hang_is_interrupted_and_its_traceback_kept(executor: LocalExecutor) -> None:
    answer = executor.submit(TARGETS + "sleep", 600.0, 1.0).result()
    assert answer.status is Status.TIMEOUT
    assert answer.value.startswith("it took longer than 1 s")
    assert "in sleep" in answer.value and "KeyboardInterrupt" in answer.value
    assert executor.submit(TARGETS + "sleep", 0.0, 60.0).result().value == "slept"


def test_a_hang_that_hears_no_signal_is_killed_with_all_it_started(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.executors.child.GRACE_SECONDS", 0.2)
    answer = executor.submit(TARGETS + "sleep_deaf", 616.5, 1.0).result()
    assert answer.status is Status.TIMEOUT
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [line for line in lines if "time.sleep(616.5)" in line and "defunct" not in line]
