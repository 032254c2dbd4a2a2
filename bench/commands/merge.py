"""`bench merge`: results of one suite from several machines, joined in a new folder.

Rows are joined by cohort: each run once, in the plan's order, and the same wherever it is.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.errors import ResultsError
from bench.executors.tables import in_order
from bench.plan import Cohort, Plan, make_plan
from bench.results import CohortFiles, Manifest, Results, check_tables, done_cohorts, read_manifest, repeated_words
from bench.results.manifest import Word
from bench.schema import TABLES, conform, recorded
from bench.suite import Suite, parse_suite

MAY_DIFFER = ("cohort", "error")  # in `runs`: who trained together, and the end of a log
SECONDS = tuple(name for name in TABLES["timings"].columns if name.endswith("_seconds"))
MEASURED = tuple(table for table in TABLES if table != "timings")


def merge(folders: Sequence[Path], out: Path, command: str = "") -> Path:
    """Join results folders into `out`, which must not exist or be empty, and return it.

    Raises:
        ResultsError: a folder holds no results, or those of another suite, of other versions, or dry beside trained
            ones; a run differs between two folders; or `out` cannot be written to. Nothing is left of `out` then.
    """
    _check_free(folders, out)
    manifests = [read_manifest(folder) for folder in folders]
    plan = _common_plan(folders, manifests)
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        _refuse_other(folders[0], manifests[0], folder, manifest)
    sources = [_source(folder, plan) for folder in folders]
    temporary = out.with_name(f".{out.name}.merging-{os.getpid()}")
    try:
        found = _write(Results(temporary), plan, sources)
        Results(temporary).write_manifest(_joined(folders, manifests, command))
        temporary.replace(out)
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written to ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    missing = len(plan.runs) - found
    left = f"; {missing} are in none of them, and `bench run` trains those" if missing else ""
    print(f"{found} of {len(plan.runs)} runs from {len(folders)} folders{left}\n{out}")
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if other := manifests[0].other_arithmetic(manifest):
            print(f"{folders[0]} and {folder} were computed with other arithmetic ({other}): last digits may differ.")
    return out


def _check_free(folders: Sequence[Path], out: Path) -> None:
    named: set[Path] = set()
    try:
        for folder in folders:
            if folder.resolve() in named:
                raise ResultsError(f"{folder} is named twice.")
            named.add(folder.resolve())
        taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{error.filename}: {error.strerror}.") from error
    if taken:
        raise ResultsError(f"{out}: is there already, and not empty. Choose another --out: nothing is overwritten.")


def _common_plan(folders: Sequence[Path], manifests: Sequence[Manifest]) -> Plan:
    """The plan of the first folder's suite, which must be every other's too."""
    first = _suite(folders[0], manifests[0])
    plan = make_plan(first)
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if (manifest.text, manifest.datasets) == (manifests[0].text, manifests[0].datasets):
            continue
        other = _suite(folder, manifest)
        difference = _difference(first, plan, other)
        if difference:
            raise ResultsError(f"{folders[0]} and {folder} are not of one suite: {difference}.")
    return plan


def _suite(folder: Path, manifest: Manifest) -> Suite:
    known = manifest.datasets
    return parse_suite(manifest.text, folder / "manifest.json", digest_of=lambda path: known.get(path, ""))


def _difference(first: Suite, plan: Plan, other: Suite) -> str:
    """In what another suite would train or record other things, whatever its text."""
    if first.name != other.name:
        return f'"{first.name}" and "{other.name}"'
    if first.record != other.record:
        return "their [record] differs"
    ours, theirs = ({run.run_id for run in each.runs} for each in (plan, make_plan(other)))
    if ours == theirs:
        return ""
    alone = f"{len(ours - theirs)} runs only the first plans, {len(theirs - ours)} only the second"
    return f"{alone}, among them {min(ours ^ theirs)}"


def _refuse_other(folder: Path, manifest: Manifest, other: Path, others: Manifest) -> None:
    if manifest.dry != others.dry:
        raise ResultsError(
            f"{folder} holds {manifest.kind} results and {other} {others.kind} ones, which are never mixed."
        )
    differ = [f"{name} {ours} and {theirs}" for name, (ours, theirs) in manifest.other_versions(others).items()]
    if differ:
        raise ResultsError(
            f"{folder} and {other} hold results of different versions ({', '.join(differ)}), which are never mixed."
        )


def _source(folder: Path, plan: Plan) -> Source:
    source = Source(folder)
    foreign = source.files.keys() - {run.run_id for run in plan.runs}
    if foreign:
        run = min(foreign)
        raise ResultsError(
            f"{folder}: {len(foreign)} runs are not planned by its suite, among them {run[:200]} in "
            f"{source.files[run]}.parquet. `bench run` sets aside what a suite does not plan."
        )
    for file in source.sizes:
        check_tables({table: source.read(table, file, words=True).to_pandas() for table in TABLES}, folder)
    return source


def _write(results: Results, plan: Plan, sources: Sequence[Source]) -> int:
    """Write every cohort of which there are runs; returns how many runs there are.

    An incomplete one keeps its name, as after `bench run --only`: `bench run` trains the runs that it lacks.
    """
    known = set().union(*(source.files for source in sources))
    for cohort in plan.cohorts:
        runs = tuple(run for run in cohort.runs if run.run_id in known)
        if runs:
            results.write(cohort.key, _join(replace(cohort, runs=runs), sources))
    return len(known)


def _joined(folders: Sequence[Path], manifests: Sequence[Manifest], command: str) -> Manifest:
    """The first folder's manifest, with all machines and incidents, the first start and the last end."""
    own = [
        manifest.sources
        or [{"folder": folder.resolve().name} | {k: getattr(manifest, k) for k in ("started", "ended", "machine")}]
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    ended = [manifest.ended for manifest in manifests if manifest.ended]
    names = manifests[0].machine
    return replace(
        manifests[0],
        machine={name: _together([manifest.machine.get(name) for manifest in manifests]) for name in names},
        command=command,
        started=min((manifest.started for manifest in manifests if manifest.started), default=None),
        ended=max(ended) if len(ended) == len(manifests) else None,
        incidents=[incident for manifest in manifests for incident in manifest.incidents],
        sources=[source for sources in own for source in sources],
    )


def _together(values: Sequence[Word]) -> Word:
    """The value that all machines share, or each of them once."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else "; ".join(map(str, distinct))


class Source:
    """A results folder to take rows from; `files` says in which file each run's rows are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        for file in done_cohorts(folder):
            ids = self.read("runs", file)["run_id"].to_pylist()
            self.sizes[file] = len(ids)
            for run in ids:
                if run in self.files:
                    raise ResultsError(f"{folder}: run {run} is in several files ({self.files[run]}, {file}).")
                self.files[run] = file
        if not self.files:
            raise ResultsError(f"{folder}: no results here to merge.")

    def rows(self, table: str, runs: Sequence[str]) -> pa.Table:
        """The rows of these runs, in their order."""
        files = dict.fromkeys(self.files[run] for run in runs)
        return in_order(
            pa.concat_tables([TABLES[table].arrow.empty_table(), *(self.read(table, f) for f in files)]), runs
        )

    def timings(self, runs: Collection[str]) -> Iterable[tuple[dict[str, Any], float]]:
        """The timings of each file that holds some of these runs, and the share of its runs that they are."""
        for file, count in Counter(self.files[run] for run in runs).items():
            for row in self.read("timings", file).to_pylist():
                yield row, count / self.sizes[file]

    def read(self, table: str, file: str, *, words: bool = False) -> pa.Table:
        """A file's rows; with `words` those that repeat as dictionaries."""
        return CohortFiles(self.folder, file).read(table, repeated_words(table) if words else ())


def _join(cohort: Cohort, sources: Sequence[Source]) -> dict[str, pa.Table]:
    """All tables of a cohort, each run from the first source that has it.

    Raises:
        ResultsError: a run has other rows in another source; the message names run, table, column and folders.
    """
    runs = [run.run_id for run in cohort.runs]
    owned = {source: [run for run in runs if _first(run, sources) is source] for source in sources}
    tables = {}
    for table in (each for each in MEASURED if recorded(each, cohort.schedules)):
        joined = in_order(pa.concat_tables([source.rows(table, own) for source, own in owned.items()]), runs)
        for source in sources[1:]:
            again = [run for run in runs if run in source.files and run not in owned[source]]
            if again and _row_difference(in_order(joined, again), source.rows(table, again), table):
                _refuse_rows(table, again, source, [_first(run, sources) for run in again])
        tables[table] = joined
    own_name = pa.array([cohort.key] * len(runs), pa.string())
    column = tables["runs"].schema.get_field_index("cohort")
    tables["runs"] = tables["runs"].set_column(column, tables["runs"].schema.field(column), own_name)
    return {**tables, "timings": _timings(cohort, owned)}


def _first(run: str, sources: Sequence[Source]) -> Source:
    return next(source for source in sources if run in source.files)


def _refuse_rows(table: str, runs: Sequence[str], other: Source, owners: Sequence[Source]) -> None:
    for run, owner in zip(runs, owners, strict=True):
        column = _row_difference(owner.rows(table, [run]), other.rows(table, [run]), table)
        if column:
            raise ResultsError(
                f"{owner.folder} and {other.folder} disagree on run {run}: table {table}, {column}. A run that is in "
                "both must be the same in both. Leave one folder out, or train that run again in one of them."
            )


def _row_difference(one: pa.Table, other: pa.Table, table: str) -> str:
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
