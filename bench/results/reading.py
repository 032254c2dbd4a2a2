"""A results folder's tables as frames: what does not belong together is one message."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.errors import ResultsError, nearest, printable
from bench.factors import FACTORS, OWN
from bench.quantities import LAYERED
from bench.results.files import DONE_MARK, KEYS, MAX_REASON, CohortFiles
from bench.schema import TABLES, RunStatus

COUNTS = ("replicate", "depth", "steps_completed", "step", "layer_index", "time", "lag", "head", "row", "column")
Reduce = Callable[[dict[str, pd.DataFrame], str], pd.DataFrame]
MOST_COUNTED = 2**31 - 1
MOST_KEYS = 2**62
NARROWER: Mapping[str, tuple[type, ...]] = {"i": (np.int16, np.int32), "f": (np.float32,)}
SAMPLE = 1000  # rows that tell at once that a column needs its 64 bits
# Read as categories: many rows hold few different words.
REPEATED = ("run_id", "layer_name", "split", "direction", "group")


def read_tables(
    folder: Path, columns: Mapping[str, Collection[str]] | None = None, reduce: Reduce | None = None
) -> dict[str, pd.DataFrame]:
    """Every table of a results folder, with the schema's columns; empty where nothing was recorded.

    Rows come in the order of their cohorts' names. `run_id` and other words that repeat are categories but in `runs`.

    Args:
        columns: what to read of a table, beside its keys (`files.KEYS`); a table that is not named is read whole.
        reduce: makes what is kept of a table with layers, given the tables so far and its name; they come last, one
            after the other, so that two are never whole at once. Their numbers then have the narrowest types that
            hold them exactly.

    Raises:
        ResultsError: there are no results, a file cannot be read or is not one of ours, or two hold the same run.
    """
    done = done_cohorts(folder)
    if not done:
        raise no_results(folder)
    files = [CohortFiles(folder, cohort) for cohort in done]
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what was freed: a gigabyte for 10,000 runs
    narrow = LAYERED if reduce else ()
    frames = {table: _frame(files, table, (columns or {}).get(table)) for table in TABLES if table not in narrow}
    check_tables(frames, folder)
    for table in narrow:
        frames[table] = _narrow_frame(files, table, (columns or {}).get(table))
        _check_rows(table, frames[table], set(frames["runs"]["run_id"]), folder)
        if reduce:
            frames[table] = reduce(frames, table)
        pa.default_memory_pool().release_unused()
    return frames


def _frame(files: list[CohortFiles], table: str, columns: Collection[str] | None) -> pd.DataFrame:
    """One table; each column leaves Arrow's memory as it enters pandas', so that there are never two copies of all."""
    words = repeated_words(table)
    rows = pa.concat_tables([each.read(table, words, columns) for each in files]).unify_dictionaries()
    frame: pd.DataFrame = rows.to_pandas(split_blocks=True, self_destruct=True)
    del rows
    pa.default_memory_pool().release_unused()
    return frame


def _narrow_frame(files: list[CohortFiles], table: str, columns: Collection[str] | None) -> pd.DataFrame:
    """One table in as few bytes as hold its numbers exactly: each file's are narrowed before the next is read."""
    words = repeated_words(table)
    parts: dict[str, list[Any]] = {}  # Arrow's columns of words, NumPy's of numbers
    for each in files:
        rows = each.read(table, words, columns)
        for name in rows.column_names:
            column = rows[name]
            parts.setdefault(name, []).append(column if name in words else _narrowed(column.to_numpy()))
    found = {}
    for name in list(parts):
        pieces = parts.pop(name)
        if name in words:
            chunks = pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], pieces[0].type)
            found[name] = pa.table({name: chunks}).unify_dictionaries().to_pandas()[name]
        else:
            found[name] = pd.Series(np.concatenate(pieces), copy=False)
        del pieces
        pa.default_memory_pool().release_unused()
    return pd.DataFrame(found, copy=False)


def _narrowed(values: np.ndarray) -> np.ndarray:
    """The same numbers in the narrowest type that holds every one exactly."""
    for kind in NARROWER.get(values.dtype.kind, ()):
        if _fits(values[:SAMPLE], kind) and _fits(values, kind):
            return values.astype(kind)
    return values


def _fits(values: np.ndarray, kind: type) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(values.astype(kind), values, equal_nan=values.dtype.kind == "f"))


def repeated_words(table: str) -> tuple[str, ...]:
    """The columns of a table that are read as categories."""
    return tuple(name for name in REPEATED if name in TABLES[table].columns and table != DONE_MARK)


def done_cohorts(folder: Path) -> list[str]:
    """The names of a folder's done-marks, sorted; none where no folder of that name can be."""
    try:
        return sorted(path.stem for path in (folder / "tables" / DONE_MARK).glob("*.parquet"))
    except (OSError, ValueError):
        return []


def no_results(folder: Path) -> ResultsError:
    """What to say of a folder without any."""
    if folder.is_file():
        return ResultsError(f"{folder} is a file: name a results folder (reports/<suite>).")
    return ResultsError(f"{folder}: no results here. `bench run SUITE --out {folder}` makes some.")


def check_tables(frames: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Refuse tables that do not belong together, or whose counts no run can have.

    Raises:
        ResultsError: a status is unknown, a count is negative or huge, a run or cohort is there twice, or a row is of
            a run that is not in `runs`.
    """
    for status in frames["runs"]["status"].unique():
        if status not in set(RunStatus):
            raise ResultsError(f'{folder}: status "{printable(str(status))[:60]}". {nearest(status, RunStatus)}')
    _check_one_file_a_run(frames["runs"], folder)
    # Of one's own training the levels do not say all: two models may share them.
    own = "suite" in frames["runs"] and bool((frames["runs"]["suite"] == OWN).all())
    words = ["cell_key"] if own else [name for name in FACTORS if name in frames["runs"]]
    _check_unique(frames["runs"], ["replicate", *words], folder)
    _check_unique(frames["timings"], ["cohort"], folder)
    for table, frame in frames.items():
        _check_rows(table, frame, set(frames["runs"]["run_id"]), folder)


def _check_rows(table: str, frame: pd.DataFrame, known: set[str], folder: Path) -> None:
    for name in COUNTS:
        if name not in frame or frame.empty:
            continue
        least, most = frame[name].min(), frame[name].max()
        if least < 0 or most > MOST_COUNTED:
            wrong = int(most if most > MOST_COUNTED else least)
            raise ResultsError(f"{folder}: table {table}: {name} {wrong} is not from 0 to {MOST_COUNTED}.")
    if "run_id" not in frame or table == "runs":
        return
    if table != "divergence_events" and not _each_once(frame, KEYS[table][1:]):
        raise ResultsError(f"{folder}: table {table} has rows that are there twice.")
    foreign = sorted(set(frame["run_id"].cat.categories) - known)
    if foreign:
        shown = printable(str(foreign[0]))[:200]
        raise ResultsError(
            f'{folder}: table {table} has rows of "{shown}", a run that table runs lacks. `bench run` mends it.'
        )


def _each_once(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether no two rows share `run_id` and these columns; events may, so for those it is not asked."""
    key, room = frame["run_id"].cat.codes.to_numpy("int64"), max(1, len(frame["run_id"].cat.categories))
    for name in names:
        values = frame[name].cat.codes.to_numpy() if name in REPEATED else frame[name].to_numpy()
        size = int(values.max()) + 1 if len(values) else 1
        key *= size
        key += values
        room *= size
    if room > MOST_KEYS:  # the products above may have wrapped round
        return not bool(frame.duplicated(["run_id", *names]).any())
    key.sort()  # in place: a table of hashes would take as much memory as four columns
    return bool((key[1:] != key[:-1]).all())


def _check_one_file_a_run(runs: pd.DataFrame, folder: Path) -> None:
    twice = runs["run_id"].duplicated()
    if twice.any():
        run = runs.loc[twice, "run_id"].iloc[0]
        files = sorted(set(runs.loc[runs["run_id"] == run, "cohort"]))
        raise ResultsError(
            f"{folder}: run {run} is in several files ({', '.join(files)}). `bench run` sets aside those that the "
            "suite does not plan."
        )


def _check_unique(frame: pd.DataFrame, names: list[str], folder: Path) -> None:
    twice = frame.duplicated(names)
    if twice.any():
        at = frame.loc[twice].iloc[0]
        shown = printable(str(at.get("run_id", at["cohort"])))[:200]
        raise ResultsError(f'{folder}: "{shown}" is there twice: same {", ".join(names)[:MAX_REASON]}.')
