"""Child processes: what they answer, and what happens when they die."""

from collections.abc import Iterator

import pytest

from bench.executors.child import Status
from bench.executors.local import LocalExecutor

TARGETS = "tests.targets:"


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(1) as executor:
        yield executor


def test_a_value_comes_back(executor: LocalExecutor) -> None:
    answer = executor.submit(TARGETS + "double", 21).result()
    assert (answer.status, answer.value) == (Status.OK, 42)


def test_prints_do_not_disturb_the_answers(executor: LocalExecutor) -> None:
    assert executor.submit(TARGETS + "chatter", 7).result().value == 7
    assert executor.submit(TARGETS + "double", 7).result().value == 14


def test_an_exception_is_an_answer_with_its_traceback(executor: LocalExecutor) -> None:
    answer = executor.submit(TARGETS + "fail", None).result()
    assert answer.status is Status.ERROR
    assert "RuntimeError: planted" in answer.value


def test_a_users_mistake_is_told_apart(executor: LocalExecutor) -> None:
    answer = executor.submit(TARGETS + "refuse", None).result()
    assert (answer.status, answer.value) == (Status.REFUSED, "mend your suite")


@pytest.mark.parametrize(("target", "how"), [("die", "SIGKILL"), ("leave", "exit code 3")])
def test_a_dead_child_is_an_answer_and_the_next_request_gets_a_new_one(
    executor: LocalExecutor, target: str, how: str
) -> None:
    answer = executor.submit(TARGETS + target, None).result()
    assert answer.status is Status.CRASHED
    assert how in answer.value
    assert executor.submit(TARGETS + "double", 1).result().value == 2


def test_the_last_words_of_a_dead_child_are_kept(executor: LocalExecutor) -> None:
    executor.submit(TARGETS + "double", 1).result()
    assert "last words" in executor.submit(TARGETS + "die", None).result().value


def test_workers_are_processes_of_one_thread_that_do_not_load_tensorflow_by_themselves() -> None:
    with LocalExecutor(2) as executor:
        asked = [executor.submit(TARGETS + "process", None) for _ in range(4)]
        assert len({future.result().value for future in asked}) == 2
        assert executor.submit(TARGETS + "threads", None).result().value == "1"
        assert executor.submit(TARGETS + "tensorflow_is_loaded", None).result().value is False


def test_a_child_is_replaced_after_many_requests(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.executors.child.RECYCLE_AFTER", 2)
    processes = [executor.submit(TARGETS + "process", None).result().value for _ in range(5)]
    assert processes[0] == processes[1] != processes[2] == processes[3] != processes[4]
