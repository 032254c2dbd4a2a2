"""The results folder: whole files or none, one driver at a time, read as frames.

    <folder>/manifest.json
    <folder>/tables/<table>/<cohort>.parquet

A cohort's files are written aside, flushed to disk and renamed, its `runs` file last: where that file exists, the
cohort is done.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import ResultsError
from bench.reading import UNREADABLE, check_tables, read_file, read_json
from bench.schema import TABLES, RunStatus

ASIDE = ".writing"
DONE_MARK = "runs"
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
        return self.folder / "tables" / table / f"{cohort}.parquet"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one driver.

        Raises:
            ResultsError: another driver has it, or it cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
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
            yield

    def done(self, cohorts: Iterable[str]) -> set[str]:
        """Those of the cohorts whose files are all here and whole, with some or all of their runs.

        Others run again: a file is missing beside a done-mark, cannot be read or does not fit its checksums.
        """
        present = set(done_cohorts(self.folder))
        return {cohort for cohort in cohorts if cohort in present and self._whole(cohort)}

    def _whole(self, cohort: str) -> bool:
        try:
            return all(rows.schema.equals(TABLES[table].arrow) for table, rows in self.read(cohort).items())
        except UNREADABLE:
            return False

    def read(self, cohort: str) -> dict[str, pa.Table]:
        """A cohort's tables; one of UNREADABLE is raised where a file is missing, cut short or altered."""
        return {table: _read_checked(self.table_path(table, cohort)) for table in TABLES}

    def statuses(self, cohort: str) -> dict[str, str]:
        """The status of each run of a cohort that is done."""
        rows = pq.read_table(self.table_path(DONE_MARK, cohort), columns=["run_id", "status"])
        return dict(zip(rows["run_id"].to_pylist(), rows["status"].to_pylist(), strict=True))

    def forget(self, cohort: str, runs: Collection[str]) -> None:
        """Take these runs out of a cohort's done-mark: they are to be tried again."""
        kept = self.read(cohort)[DONE_MARK]
        kept = kept.filter(pc.invert(pc.is_in(kept["run_id"], value_set=pa.array(runs))))
        self._place(self.table_path(DONE_MARK, cohort), partial(_write_parquet, kept))

    def write(self, cohort: str, tables: Mapping[str, pa.Table]) -> None:
        """Write a cohort's tables; they appear one by one, the done-mark last.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to. Nothing half-written is left visible.
        """
        for table in [*(table for table in TABLES if table != DONE_MARK), DONE_MARK]:
            self._place(self.table_path(table, cohort), partial(_write_parquet, tables[table]))

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        text = json.dumps(manifest, indent=2) + "\n"
        self._place(self.manifest_path, lambda aside: aside.write_text(text, encoding="utf-8"))

    def arrange(self, planned: Iterable[str]) -> int:
        """Set aside the cohorts that the suite no longer plans, and take back those that it plans again.

        Nothing is deleted: files move between `tables` and `superseded`. Returns how many cohorts were set aside.
        """
        wanted = set(planned)
        tables, aside = self.folder / "tables", self.folder / "superseded"
        moved = [path for path in tables.glob("*/*.parquet") if path.stem not in wanted]
        for path in moved:
            _move(path, aside / path.parent.name / path.name)
        for path in aside.glob("*/*.parquet"):
            if path.stem in wanted:
                _move(path, tables / path.parent.name / path.name)
        return len({path.stem for path in moved})

    def _place(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a file aside, flush it to disk and rename it."""
        aside = path.with_name(f"{path.name}{ASIDE}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(aside)
                _flush(aside)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
            _flush(path.parent)  # the rename itself survives a power loss
        except OSError as error:
            raise ResultsError(
                f"{self.folder}: cannot be written to ({error.strerror or error}). What was written before is whole; "
                "once that is mended, the same command goes on from there."
            ) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.replace(to)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", store_schema=True, write_page_checksum=True)


def _read_checked(path: Path) -> pa.Table:
    return pq.ParquetFile(path, page_checksum_verification=True).read()


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every table of a results folder, with the schema's columns; empty where nothing was recorded.

    Rows come in the order of their cohorts' names. `run_id`, `layer_name` and `split` are categories but in `runs`.

    Raises:
        ResultsError: there are no results, a file cannot be read or is not one of ours, or two hold the same run.
    """
    done = done_cohorts(folder)
    if not done:
        raise ResultsError(f"{folder}: no results here. `bench run SUITE --out {folder}` makes some.")
    frames = {}
    for table in TABLES:
        words = repeated_words(table)
        parts = [read_file(folder / "tables" / table / f"{cohort}.parquet", table, words) for cohort in done]
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
        try:
            found.update(Results(folder).statuses(cohort).values())
        except UNREADABLE as error:
            raise ResultsError(f"{folder}: table {DONE_MARK} cannot be read ({error}).") from error
    return {status.value: found[status] for status in RunStatus}
