"""Rows of several results folders joined by cohort: each run once, in the plan's order, and the same wherever it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.errors import ResultsError
from bench.executors.joining import in_order
from bench.plan import Cohort
from bench.results import CohortFiles, check_tables, done_cohorts, repeated_words
from bench.schema import TABLES, conform

MAY_DIFFER = ("cohort", "error")  # in `runs`: who trained together, and the end of a log
SECONDS = tuple(name for name in TABLES["timings"].columns if name.endswith("_seconds"))
MEASURED = tuple(table for table in TABLES if table != "timings")


class Source:
    """A results folder to take rows from; `files` says in which file each run's rows are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        for file in done_cohorts(folder):
            ids = self._read("runs", file)["run_id"].to_pylist()
            self.sizes[file] = len(ids)
            for run in ids:
                if run in self.files:
                    raise ResultsError(f"{folder}: run {run} is in several files ({self.files[run]}, {file}).")
                self.files[run] = file
        if not self.files:
            raise ResultsError(f"{folder}: no results here to merge.")

    def check(self, file: str) -> None:
        """Refuse a file set whose tables do not belong together.

        Raises:
            ResultsError: they do not.
        """
        check_tables({table: self._read(table, file, words=True).to_pandas() for table in TABLES}, self.folder)

    def rows(self, table: str, runs: Sequence[str]) -> pa.Table:
        """The rows of these runs, in their order."""
        files = dict.fromkeys(self.files[run] for run in runs)
        return in_order(
            pa.concat_tables([TABLES[table].arrow.empty_table(), *(self._read(table, f) for f in files)]), runs
        )

    def timings(self, runs: Collection[str]) -> Iterable[tuple[dict[str, Any], float]]:
        """The timings of each file that holds some of these runs, and the share of its runs that they are."""
        for file, count in Counter(self.files[run] for run in runs).items():
            for row in self._read("timings", file).to_pylist():
                yield row, count / self.sizes[file]

    def _read(self, table: str, file: str, *, words: bool = False) -> pa.Table:
        return CohortFiles(self.folder, file).read(table, repeated_words(table) if words else ())


def join(cohort: Cohort, sources: Sequence[Source]) -> dict[str, pa.Table]:
    """All tables of a cohort, each run from the first source that has it.

    Raises:
        ResultsError: a run has other rows in another source; the message names run, table, column and folders.
    """
    runs = [run.run_id for run in cohort.runs]
    owned = {source: [run for run in runs if _first(run, sources) is source] for source in sources}
    tables = {}
    for table in MEASURED:
        joined = in_order(pa.concat_tables([source.rows(table, own) for source, own in owned.items()]), runs)
        for source in sources[1:]:
            again = [run for run in runs if run in source.files and run not in owned[source]]
            if again and _difference(in_order(joined, again), source.rows(table, again), table):
                _refuse(table, again, source, [_first(run, sources) for run in again])
        tables[table] = joined
    own_name = pa.array([cohort.key] * len(runs), pa.string())
    column = tables["runs"].schema.get_field_index("cohort")
    tables["runs"] = tables["runs"].set_column(column, tables["runs"].schema.field(column), own_name)
    return {**tables, "timings": _timings(cohort, owned)}


def _first(run: str, sources: Sequence[Source]) -> Source:
    return next(source for source in sources if run in source.files)


def _refuse(table: str, runs: Sequence[str], other: Source, owners: Sequence[Source]) -> None:
    for run, owner in zip(runs, owners, strict=True):
        column = _difference(owner.rows(table, [run]), other.rows(table, [run]), table)
        if column:
            raise ResultsError(
                f"{owner.folder} and {other.folder} disagree on run {run}: table {table}, {column}. A run that is in "
                "both must be the same in both. Leave one folder out, or train that run again in one of them."
            )


def _difference(one: pa.Table, other: pa.Table, table: str) -> str:
    """In what two lots of rows differ; empty where they are equal, NaN being equal to NaN and null to null."""
    if len(one) != len(other):
        return f"{len(one)} rows and {len(other)}"
    for name in one.column_names:
        if table == "runs" and name in MAY_DIFFER:
            continue
        left, right = one[name].combine_chunks(), other[name].combine_chunks()
        if not left.is_null().equals(right.is_null()):
            return f"column {name}"
        if pa.types.is_floating(left.type):
            pair = [values.fill_null(0.0).to_numpy(zero_copy_only=False) for values in (left, right)]
            if not np.array_equal(pair[0], pair[1], equal_nan=True):
                return f"column {name}"
        elif not left.equals(right):
            return f"column {name}"
    return ""


def _timings(cohort: Cohort, owned: Mapping[Source, Sequence[str]]) -> pa.Table:
    """One row: the seconds of every file that gave runs, in proportion to what it gave."""
    found = [pair for source, runs in owned.items() if runs for pair in source.timings(runs)]
    if not found:
        return conform("timings", {})
    row: dict[str, object] = {"cohort": cohort.key, "runs": len(cohort.runs)}
    row["steps"] = max((each["steps"] for each, _ in found if each["steps"] is not None), default=None)
    for name in SECONDS:
        parts = [share * float(each[name]) for each, share in found if each[name] is not None]
        row[name] = sum(parts) if parts else None
    return conform("timings", {name: [value] for name, value in row.items()})
