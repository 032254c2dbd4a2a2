"""The results folder: whole files or none, one driver at a time, read as frames.

    <folder>/manifest.json
    <folder>/tables/<table>/<cohort>.parquet
    <folder>/digests/<cohort>.json

A cohort's files are written aside, flushed to disk and renamed, its digests first and its `runs` file last: where that
file exists, the cohort is done.
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.digests import DIGESTS, DONE_MARK, CohortFiles, digest_of, record_text
from bench.errors import ResultsError
from bench.placing import ASIDE, aside, make_folder, place, set_down, write_aside
from bench.reading import check_tables, read_json
from bench.schema import TABLES, RunStatus

SUPERSEDED = "superseded"
DISCARDED = ".discarded"
DONE_MARK_LAST = (*(table for table in TABLES if table != DONE_MARK), DONE_MARK)
REPEATED = ("run_id", "layer_name", "split")  # read as categories: millions of rows hold few different words


class Results:
    """A results folder, to write into while it is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifest_path(self) -> Path:
        """Where the suite's text, versions, machine and times are kept."""
        return self.folder / "manifest.json"

    def table_path(self, table: str, cohort: str) -> Path:
        """The file of a cohort's rows of a table."""
        return CohortFiles(self.folder, cohort).path(table)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one driver.

        Raises:
            ResultsError: another driver has it, or it cannot be written to.
        """
        try:
            make_folder(self.folder)
            handle = (self.folder / ".lock").open("w")
        except OSError as error:
            raise ResultsError(f"{self.folder}: cannot be written to ({error.strerror}). Try another --out.") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                message = f"{self.folder}: another `bench run` is writing here. Wait for it, or choose another --out."
                raise ResultsError(message) from error
            for left in self.folder.rglob(f"*{ASIDE}"):
                left.unlink(missing_ok=True)  # a driver was killed while it wrote
            shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)  # or while it discarded
            yield

    def clear(self) -> None:
        """Discard all tables, those set aside too: each folder goes at one moment and stays away.

        Raises:
            ResultsError: the folder cannot be written to.
        """
        for name in (SUPERSEDED, "tables", DIGESTS):  # what could come back beside newer tables first
            with self._writable():
                if (self.folder / name).exists():
                    set_down(self.folder / name, self.folder / DISCARDED)
                shutil.rmtree(self.folder / DISCARDED, ignore_errors=True)

    def done(self, cohorts: Iterable[str]) -> set[str]:
        """Those of the cohorts whose files are all here and whole, with some or all of their runs.

        Others run again: a file is missing beside a done-mark, cannot be read or does not fit its digest.
        """
        present = set(done_cohorts(self.folder))
        return {each for each in cohorts if each in present and CohortFiles(self.folder, each).whole()}

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
        self._replace(cohort, {table: tables[table] for table in DONE_MARK_LAST})

    def _replace(self, cohort: str, tables: Mapping[str, pa.Table]) -> None:
        """Replace some of a cohort's files: all aside first, then their digests, then one name after the other."""
        files = CohortFiles(self.folder, cohort)
        try:
            with self._writable():
                digests = {}
                for table, rows in tables.items():
                    content = _parquet(rows)
                    digests[table] = digest_of(content)
                    write_aside(files.path(table), content)
                place(files.record_path, record_text(digests, files.digests()))
                for table in tables:
                    set_down(aside(files.path(table)), files.path(table))
        finally:
            for table in tables:
                aside(files.path(table)).unlink(missing_ok=True)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        with self._writable():
            place(self.manifest_path, (json.dumps(manifest, indent=2) + "\n").encode())

    def arrange(self, planned: Iterable[str]) -> int:
        """Set aside the cohorts that the suite no longer plans, and take back those that it plans again.

        Nothing is deleted: files move between `tables` and `superseded`. Returns how many cohorts were set aside.
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
        """Move a cohort's files aside, the done-mark first; or back, the done-mark last."""
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


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every table of a results folder, with the schema's columns; empty where nothing was recorded.

    Rows come in the order of their cohorts' names. `run_id`, `layer_name` and `split` are categories but in `runs`.

    Raises:
        ResultsError: there are no results, a file cannot be read or is not one of ours, or two hold the same run.
    """
    done = done_cohorts(folder)
    if not done:
        raise ResultsError(f"{folder}: no results here. `bench run SUITE --out {folder}` makes some.")
    frames, files = {}, [CohortFiles(folder, cohort) for cohort in done]
    for table in TABLES:
        words = repeated_words(table)
        parts = [each.read(table, words) for each in files]
        frames[table] = pa.concat_tables(parts).unify_dictionaries().to_pandas()
    check_tables(frames, folder)
    return frames


def repeated_words(table: str) -> tuple[str, ...]:
    """The columns of a table that are read as categories."""
    return tuple(name for name in REPEATED if name in TABLES[table].columns and table != DONE_MARK)


def done_cohorts(folder: Path) -> list[str]:
    """The names of a folder's done-marks, sorted; none where no folder of that name can be."""
    try:
        return sorted(path.stem for path in (folder / "tables" / DONE_MARK).glob("*.parquet"))
    except (OSError, ValueError):
        return []


def read_manifest(folder: Path, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The manifest of a results folder; each key that `bench run` writes has the type it gives it.

    Raises:
        ResultsError: it is missing, not JSON, lacks a required key, or has a wrong type.
    """
    try:
        return read_json(folder / "manifest.json", required)
    except FileNotFoundError as error:
        raise ResultsError(f"{folder}: no manifest.json here. Is this a results folder (reports/<suite>)?") from error


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
