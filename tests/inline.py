"""Dry runs without worker processes, which take seconds to start: for tests of what is around the workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from bench.commands.executor import open_executor
from bench.executors.answers import Answer
from bench.executors.worker import answer


class InlineExecutor:
    """Answers in this process, before `submit` returns, as a worker would."""

    slots = 2

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, target: str, argument: object, timeout: float | None = None) -> Future[Answer]:
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(Answer(*answer(target, argument)))
        return future


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`run_suite` trains in this process, whatever it is told of where, unless `with_workers`."""
    with monkeypatch.context() as context:
        context.setattr("bench.commands.run.open_executor", lambda *_: InlineExecutor())
        yield


def with_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo `inline`, where a run must be able to end its process."""
    monkeypatch.setattr("bench.commands.run.open_executor", open_executor)


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power loss threatens a test's thousands of files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
