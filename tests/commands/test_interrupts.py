"""Signals to a running `bench run`: what ends, what is kept, what is left behind."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import read_tables
from tests.inline import InlineExecutor, Tiny, bench, files, suite_of

ROOT = Path(__file__).parents[2]
SLOW = "import bench.commands.run as run, bench.cli; run.DRY = 'tests.executors.targets:take_a_while'; bench.cli.main()"


@pytest.fixture
def many(tiny: Tiny) -> Tiny:
    """12 cohorts."""
    return replace(tiny, suite=suite_of(tiny.folder, f"{list(range(2, 14))}", name="many"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, undisturbed: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The files that an undisturbed run of them leaves."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.commands.run.open_executor", lambda *_: InlineExecutor())
        tiny = Tiny(folder, suite_of(folder, f"{list(range(2, 14))}", name="many"), undisturbed)
        return files(tiny.run("undisturbed"))


@pytest.fixture
def driver(many: Tiny) -> Iterator[subprocess.Popen[str]]:
    """A driver of them that has written two."""
    command = [sys.executable, "-c", SLOW, "run", str(many.suite.path), "--dry", "--no-report"]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell has it ignored
    process = subprocess.Popen(
        [*command, "--out", str(many.folder / "out"), "--workers", "2"],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heard,
    )  # fmt: skip
    until(lambda: len(list(many.folder.glob("out/tables/runs/*.parquet"))) >= 2)
    yield process
    process.kill()
    process.wait()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds()


def workers(driver: subprocess.Popen[str]) -> list[int]:
    """The process ids of a driver's workers."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == driver.pid and "bench.executors.worker" in row[2]]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def assert_continues(many: Tiny, expected: Mapping[str, bytes]) -> None:
    """What is there is whole, and the same command makes the tables of an undisturbed run."""
    assert 12 <= len(read_tables(many.folder / "out")["runs"]) < 72
    assert not list(many.folder.rglob("*.writing"))
    assert files(many.run()) == expected


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), pytest.param(signal.SIGTERM, 1, marks=pytest.mark.full)],
)
def test_an_interrupted_driver_leaves_nothing_half_done_and_no_worker(
    driver: subprocess.Popen[str], many: Tiny, expected: Mapping[str, bytes], number: signal.Signals, times: int
) -> None:
    children = workers(driver)
    assert children
    for _ in range(times):
        driver.send_signal(number)
        time.sleep(0.03)
    _, said = driver.communicate(timeout=30)
    # A second interrupt may come when Python has taken its handler down: a shell shows 130 for that too.
    assert driver.returncode in (130, -signal.SIGINT) if times > 1 else driver.returncode == 130, said
    assert "interrupt again to stop at once" in said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    until(lambda: not any(map(alive, children)), 10)
    assert_continues(many, expected)


def test_a_driver_that_is_stopped_before_anything_ended_claims_no_results(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.commands.run.planned", stopped)
    done = bench("run", tiny.suite.path, "--dry", "--out", tiny.folder / "out")
    assert done.returncode == 130
    assert done.stderr == f"Stopped. Nothing had ended, and {tiny.folder / 'out'} holds no results.\n"


def test_a_killed_driver_takes_its_workers_with_it(
    driver: subprocess.Popen[str], many: Tiny, expected: Mapping[str, bytes]
) -> None:
    children = workers(driver)
    assert children
    driver.kill()
    driver.wait()
    until(lambda: not any(map(alive, children)), 10)
    for left in many.folder.rglob("*.writing"):
        left.unlink()
    assert_continues(many, expected)


def test_a_killed_worker_costs_no_run_and_a_second_driver_is_refused(
    driver: subprocess.Popen[str], many: Tiny, expected: Mapping[str, bytes]
) -> None:
    os.kill(workers(driver)[0], signal.SIGKILL)
    command = [sys.executable, "-m", "bench", "run", many.suite.path, "--dry", "--out", many.folder / "out"]
    driver.send_signal(signal.SIGSTOP)  # it holds its lock until it goes on, however long a second one takes to start
    second = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    driver.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another `bench run` is writing here" in second.stderr
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 0, said
    assert "tried again (killed)" in said
    assert files(many.folder / "out") == expected
