"""The results folder: whole files or none, and one driver at a time.

    <folder>/manifest.json
    <folder>/tables/<table>/<cohort>.parquet
    <folder>/digests/<cohort>.json

A cohort's files are written to temporary ones, flushed to disk and renamed, its digests first and its `runs` file last:
where that file exists, the cohort is done.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import ResultsError
from bench.results.files import (
    DIGESTS,
    DONE_MARK,
    TEMPORARY,
    UNREADABLE,
    CohortFiles,
    digest_of,
    make_folder,
    record_text,
    replace_durably,
    temporary_path,
    write_atomically,
    write_temporary,
)
from bench.results.manifest import NAME as MANIFEST
from bench.results.manifest import Manifest
from bench.results.reading import done_cohorts
from bench.schema import TABLES, RunStatus, recorded

SUPERSEDED = "superseded"
DISCARDED = ".discarded"
LOCK = ".lock"
DONE_MARK_LAST = (*(table for table in TABLES if table != DONE_MARK), DONE_MARK)


class Results:
    """A results folder, to write into while it is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one driver; where it ends before there is any table, the folder is as it was before.

        Raises:
            ResultsError: another driver has it, or it cannot be written to.
        """
        new = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        try:
            make_folder(self.folder)
            handle = (self.folder / LOCK).open("w")
        except OSError as error:
            raise ResultsError(f"{self.folder}: cannot be written to ({error.strerror}). Try another --out.") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.fstat(handle.fileno()).st_nlink:
                    raise BlockingIOError  # the lock of a driver that ended at this moment, and took it along
            except OSError as error:
                message = f"{self.folder}: another `bench run` is writing here. Wait for it, or choose another --out."
                raise ResultsError(message) from error
            for left in self.folder.rglob(f"*{TEMPORARY}"):
                left.unlink(missing_ok=True)  # a driver was killed while it wrote
            shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)  # or while it discarded
            try:
                yield
            finally:
                with suppress(OSError):  # somebody else was here
                    if {path.name for path in self.folder.iterdir()} <= {LOCK, MANIFEST}:
                        for name in (MANIFEST, LOCK):
                            (self.folder / name).unlink(missing_ok=True)
                        for each in new:
                            each.rmdir()

    def clear(self) -> None:
        """Discard all tables, superseded ones too: each folder goes at one moment and stays away.

        Raises:
            ResultsError: the folder cannot be written to.
        """
        for name in (SUPERSEDED, "tables", DIGESTS):  # what could come back beside newer tables first
            with self._writable():
                if (self.folder / name).exists():
                    replace_durably(self.folder / name, self.folder / DISCARDED)
                shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)

    def holds_tables(self) -> bool:
        """Whether there is any table, superseded ones too."""
        return any(any((self.folder / name).glob("*/*.parquet")) for name in ("tables", SUPERSEDED))

    def holds_any(self, runs: Collection[str]) -> bool:
        """Whether one of these runs is here, superseded or not."""
        for path in (*self.folder.glob("tables/runs/*.parquet"), *self.folder.glob(f"{SUPERSEDED}/runs/*.parquet")):
            with suppress(*UNREADABLE):  # it trains again
                if not set(pq.read_table(path, columns=["run_id"])["run_id"].to_pylist()).isdisjoint(runs):
                    return True
        return False

    def done(self, cohorts: Iterable[str]) -> set[str]:
        """Those of the cohorts whose files are all here and whole, with some or all of their runs.

        Others run again: a file is missing beside a done-mark, cannot be read or does not fit its digest.
        """
        return {each for each in self.present(cohorts) if CohortFiles(self.folder, each).whole()}

    def of_another_version(self, cohorts: Iterable[str]) -> dict[str, str]:
        """Those of the cohorts that are done and sound in tables of another schema than today's, and how it differs."""
        found = {each: CohortFiles(self.folder, each).of_another_version() for each in self.present(cohorts)}
        return {cohort: said for cohort, said in found.items() if said}

    def present(self, cohorts: Iterable[str]) -> set[str]:
        """Those of the cohorts with a done-mark, whole or not."""
        return set(done_cohorts(self.folder)) & set(cohorts)

    def read(self, cohort: str) -> dict[str, pa.Table]:
        """A cohort's tables: the rows of the runs that are done.

        Raises:
            ResultsError: a file is missing, cut short or altered.
        """
        files = CohortFiles(self.folder, cohort)
        # Without digests nothing else says whether a driver was killed between two files.
        return {table: files.of_done(files.read(table)) for table in TABLES}

    def statuses(self, cohort: str) -> dict[str, str]:
        """The status of each run of a cohort that is done."""
        return CohortFiles(self.folder, cohort).statuses()

    def forget(self, cohort: str, runs: Collection[str]) -> None:
        """Take these runs out of a cohort's done-mark: they are to be tried again."""
        kept = self.read(cohort)[DONE_MARK]
        self._replace(cohort, {DONE_MARK: kept.filter(pc.invert(pc.is_in(kept["run_id"], value_set=pa.array(runs))))})

    def write(self, cohort: str, tables: Mapping[str, pa.Table]) -> None:
        """Write a cohort's tables; they appear one by one, the done-mark last.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to. Nothing half-written is left visible.
        """
        self._replace(cohort, {table: tables[table] for table in DONE_MARK_LAST if recorded(table, tables)})

    def _replace(self, cohort: str, tables: Mapping[str, pa.Table]) -> None:
        """Replace some of a cohort's files: temporary ones first, then their digests, then one name after the other."""
        files = CohortFiles(self.folder, cohort)
        try:
            with self._writable():
                digests = {}
                for table, rows in tables.items():
                    content = _parquet(rows)
                    digests[table] = digest_of(content)
                    write_temporary(files.path(table), content)
                write_atomically(files.record_path, record_text(digests, files.digests()))
                for table in tables:
                    replace_durably(temporary_path(files.path(table)), files.path(table))
        finally:
            for table in tables:
                temporary_path(files.path(table)).unlink(missing_ok=True)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        with self._writable():
            manifest.write(self.folder)

    def arrange(self, planned: Iterable[str]) -> int:
        """Move the cohorts that the suite no longer plans to `superseded`, and take back those that it plans again.

        Nothing is deleted. Returns how many cohorts were moved away.
        """
        wanted = set(planned)
        superseded = self.folder / SUPERSEDED
        moved = {path.stem for path in (self.folder / "tables").glob("*/*.parquet")} - wanted
        for cohort in moved:
            self._move(CohortFiles(self.folder, cohort), superseded)
        for cohort in wanted & {path.stem for path in superseded.glob("*/*.parquet")}:
            self._move(CohortFiles(self.folder, cohort), superseded, back=True)
        return len(moved)

    def _move(self, files: CohortFiles, superseded: Path, *, back: bool = False) -> None:
        """Move a cohort's files to `superseded`, the done-mark first; or back, the done-mark last."""
        pairs = [(files.record_path, superseded / DIGESTS / files.record_path.name)]
        pairs += [(files.path(table), superseded / table / files.path(table).name) for table in DONE_MARK_LAST]
        for here, there in pairs if back else reversed(pairs):
            source, to = (there, here) if back else (here, there)
            if source.exists():
                make_folder(to.parent)
                source.replace(to)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ResultsError(
                f"{self.folder}: cannot be written to ({error.strerror or error}). What was written before is whole; "
                "once that is mended, the same command goes on from there."
            ) from error


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=True, write_page_checksum=True)
    return sink.getvalue()


def count_statuses(folder: Path) -> dict[str, int]:
    """How many runs of a results folder have each status, 0 where none has; only the `runs` files are read.

    Raises:
        ResultsError: there are no results, or a file cannot be read.
    """
    done = done_cohorts(folder)
    if not done:
        raise ResultsError(f"{folder}: no table {DONE_MARK} here.")
    found: Counter[str] = Counter()
    for cohort in done:
        found.update(Results(folder).statuses(cohort).values())
    return {status.value: found[status] for status in RunStatus}
