"""How long a plan takes: the machine's rates, measured once, and what is said of a plan that takes long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands import rates
from bench.commands.executor import fitting_workers
from bench.commands.rates import cache_folder, machine_rates
from bench.commands.shrink import long_plan
from bench.executors.child import Answer, Status
from bench.plan import Rates, estimate_memory
from bench.suite import parse_suite
from tests.cohorts import cohorts, suite_text
from tests.inline import InlineExecutor

MEASURED = Rates(5.0, 1.5, 0.002, 5e10, 9e8)


class Worker(InlineExecutor):
    """One that measures what it is told."""

    asked = 0
    answer = Answer(Status.OK, MEASURED)

    def __init__(self, _: int) -> None:
        pass

    def respond(self, target: str, argument: object, reached: Callable[[int], None]) -> Answer:
        type(self).asked += 1
        return self.answer


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Worker]:
    monkeypatch.setattr(rates, "LocalExecutor", Worker)
    monkeypatch.setattr(Worker, "asked", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Worker


def test_a_machine_is_measured_once_and_anew_when_it_is_another(
    worker: type[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    assert machine_rates(said.append) == machine_rates(said.append) == MEASURED
    assert (worker.asked, len(said)) == (1, 1)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    machine_rates(said.append)
    assert worker.asked == 2
    for damaged in ("", "[]", '{"rates": {"import_seconds": 1}}'):
        for kept in cache_folder().iterdir():
            kept.write_text(damaged)
        assert machine_rates(said.append) == MEASURED
    assert worker.asked == 5


def test_a_cache_that_cannot_be_written_is_no_error(worker: type[Worker]) -> None:
    cache_folder().parent.write_text("no folder")
    assert machine_rates(str) == machine_rates(str) == MEASURED
    assert worker.asked == 2


def test_a_machine_that_cannot_be_measured_has_no_rates(worker: type[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "answer", Answer(Status.ERROR, "no TensorFlow"))
    assert machine_rates(str) is None
    assert not cache_folder().exists()


def test_a_plan_over_an_hour_says_how_to_shrink_it() -> None:
    suite = parse_suite(
        suite_text("long", "?", 4, {"steps": 20_000}, depth=[1, 2, 3], clipping=["none", "norm"]), Path()
    )
    assert long_plan(suite, 3600.0) == ""
    assert long_plan(suite, 7260.0) == (
        "This takes over an hour, about 2 h 1 min. What would shorten it: fewer levels of depth (3) and clipping (2), "
        "fewer replicates (4) and fewer steps (up to 20000), or a part of it at a time by --only 'depth==1'."
    )


def test_there_are_no_more_workers_than_the_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = cohorts("depth = [2, 4, 8]\nwidth = [64, 512]")
    largest = max(map(estimate_memory, planned))
    monkeypatch.setattr("bench.commands.executor.default_workers", lambda: 4)
    for free, workers in ((1, 1), (largest, 1), (2 * largest, 2), (100 * largest, 4), (None, 4)):
        monkeypatch.setattr("bench.commands.executor.free_memory", lambda free=free: free)
        assert fitting_workers(planned) == workers, free
