"""Dry runs without worker processes, which take seconds to start: for tests of what is around the workers."""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.cli import main
from bench.commands.run import Options, run_suite
from bench.executors.child import Answer, Status
from bench.executors.worker import answer
from bench.plan import REFERENCE, Cohort
from bench.results.files import replace_durably
from bench.schema import TABLES
from bench.suite import Suite, load_suite
from tests.cohorts import suite_text
from tests.executors.targets import is_poisoned

SUITE = suite_text("tiny", "?", 2, {"steps": 5, "width": 4}, depth=[2, 6], clipping=["none", "value", "global_norm"])


class InlineExecutor:
    """Answers in this process, before `submit` returns, as a worker would."""

    slots = 2

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(
        self,
        target: str,
        argument: object,
        timeout: float | None = None,
        reached: Callable[[int], None] = lambda step: None,
    ) -> Future[Answer]:
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(self.respond(target, argument, reached))
        return future

    def respond(self, target: str, argument: object, reached: Callable[[int], None]) -> Answer:
        """What a request is answered with."""
        return Answer(*answer(target, argument, reached))


class Failing(InlineExecutor):
    """Where a cohort with the poisoned run ends so, this many times at most, and any other is trained."""

    def __init__(self, status: Status, times: float = math.inf, said: str = "planted") -> None:
        self.answer = Answer(status, said)
        self.times = times
        self.failed: Counter[str] = Counter()

    def respond(self, target: str, argument: object, reached: Callable[[int], None]) -> Answer:
        assert isinstance(argument, Cohort)
        if not is_poisoned(argument) or self.failed[argument.key] >= self.times:
            return super().respond(target, argument, reached)
        self.failed[argument.key] += 1
        return self.answer


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command would ask of worker processes is done in this one, whatever it is told of where."""
    with monkeypatch.context() as context:
        for place in ("run.open_executor", "check.LocalExecutor", "data.LocalExecutor"):
            context.setattr(f"bench.commands.{place}", lambda *_: InlineExecutor())
        yield


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power loss threatens a test's thousands of files."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line in this process, from the project's folder: how it ended and what it printed."""
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as context, redirect_stdout(said), redirect_stderr(complained):
        context.setattr(sys, "argv", ["bench", *map(str, words)])
        context.setattr("bench.commands.plan.machine_rates", lambda _: REFERENCE)
        context.setattr("bench.commands.run.machine_rates", lambda _: REFERENCE)
        context.setenv("COLUMNS", "200")
        context.chdir(Path(__file__).parents[1])
        with pytest.raises(SystemExit) as ended:
            main()
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), said.getvalue(), complained.getvalue())


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every table's files, but for those of timings."""
    paths = sorted((folder / "tables").glob("*/*.parquet"))
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in paths if p.parent.name != "timings"}


def altered(folder: Path, table: str, change: Callable[[list[dict[str, Any]]], object]) -> str:
    """Change the rows of the first file of a table, as in a folder of a version without digests; its cohort."""
    path = sorted((folder / "tables" / table).glob("*.parquet"))[0]
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[table].arrow), path)
    shutil.rmtree(folder / "digests", ignore_errors=True)
    return path.stem


@contextmanager
def killed_before(name: str) -> Iterator[None]:
    """A driver that ends when it is about to put the folder of this name, or a file into one, in its place."""

    def killed(written: Path, path: Path) -> None:
        if name in (written.name, path.parent.name):
            raise KeyboardInterrupt
        replace_durably(written, path)

    with pytest.MonkeyPatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("bench.results.folder.replace_durably", killed)
        yield


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """A disk with room for so many files of tables."""
    write, files = pq.write_table, count()

    def written(*args: object, **settings: object) -> None:
        if next(files) >= room:
            raise OSError(28, "No space left on device")
        write(*args, **settings)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(pq, "write_table", written)
        yield


def suite_of(folder: Path, depths: str = "[2, 6]", question: str = "?", name: str = "tiny") -> Suite:
    """The suite, or one with other depths and another question, from a file of this name."""
    path = folder / f"{name}.toml"
    path.write_text(SUITE.replace("[2, 6]", depths).replace('"?"', f'"{question}"'))
    return load_suite(path)


@dataclass(frozen=True)
class Tiny:
    """12 runs in two cohorts, a folder to work in, and the files that an undisturbed run leaves."""

    folder: Path
    suite: Suite
    undisturbed: Mapping[str, bytes]

    def run(self, out: str = "out", suite: Suite | None = None, **options: Any) -> Path:
        """Run it, or another suite, by formula into a folder of this name, which is returned."""
        return run_suite(suite or self.suite, Options(self.folder / out, **{"dry": True} | options))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as context:
        context.setattr("bench.commands.run.open_executor", lambda *_: InlineExecutor())
        return files(run_suite(suite_of(folder), Options(folder / "out", dry=True)))


@pytest.fixture
def tiny(tmp_path: Path, undisturbed: Mapping[str, bytes], inline: None) -> Tiny:
    return Tiny(tmp_path, suite_of(tmp_path), undisturbed)
