"""Files of a results folder, checked as they are read: what cannot be what `bench run` wrote is one message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import ResultsError, nearest, printable
from bench.factors import FACTORS
from bench.schema import TABLES, RunStatus

# What no row can be without. Other columns may be absent from results of an older version: they read as not measured.
KEYS = {
    "runs": ("run_id", "suite", "cell_key", "replicate", "seed", "cohort", "depth", "status", "steps_completed"),
    "gradient_norms": ("run_id", "step", "layer_index"),
    "activations": ("run_id", "step", "layer_index"),
    "loss_curves": ("run_id", "step"),
    "evaluations": ("run_id", "step", "split"),
    "divergence_events": ("run_id", "step", "kind", "tensor"),
    "timings": ("cohort",),
}
# What pyarrow raises for a file that is missing or damaged, its footer perhaps.
UNREADABLE = (OSError, ArithmeticError, LookupError, MemoryError, TypeError, ValueError, pa.ArrowException)
COUNTS = ("replicate", "depth", "steps_completed", "step", "layer_index")
MOST_COUNTED = 2**31 - 1
MOST_KEYS = 2**62
MAX_REASON = 300  # characters of what another library says
_WORDS = (str, int, float, bool, type(None))
_MANIFEST: Mapping[str, tuple[type, ...]] = {
    "suite": (str,),
    "title": (str, type(None)),
    "question": (str,),
    "text": (str,),
    "seed": (int,),
    "replicates": (int,),
    "factors": (dict,),
    "fixed": (dict,),
    "verdicts": (dict, type(None)),
    "planned": (dict,),
    "versions": (dict,),
    "machine": (dict,),
    "dry": (bool,),
    "command": (str, type(None)),
    "started": (str, type(None)),
    "ended": (str, type(None)),
    "sources": (list,),
}


def read_rows(content: bytes, path: Path, table: str, words: tuple[str, ...] = ()) -> pa.Table:
    """The rows in a file's content, with the table's columns and types; those in `words` come as dictionaries.

    Raises:
        ResultsError: it is damaged, or not of this table; the message names `path`.
    """
    try:
        source = pa.BufferReader(content)
        metadata = pq.read_metadata(source)
        there = [name for name in words if name in metadata.schema.names]
        with pq.ParquetFile(source, metadata=metadata, read_dictionary=there, page_checksum_verification=True) as file:
            found = file.read()
        found.validate(full=True)  # text that is not UTF-8 would fail much later
    except UNREADABLE as error:
        raise ResultsError(
            f"{path}: cannot be read ({_reason(error)}). `bench run` trains that cohort again."
        ) from error
    return _fitted(found, table, path, words)


def _fitted(found: pa.Table, table: str, path: Path, words: tuple[str, ...]) -> pa.Table:
    columns = []
    schema = TABLES[table].arrow
    for index, field in enumerate(schema):
        if field.name in words:
            field = field.with_type(pa.dictionary(pa.int32(), pa.string()))
            schema = schema.set(index, field)
        places = found.schema.get_all_field_indices(field.name)
        if not places and field.name in KEYS[table]:
            known = nearest(field.name, found.column_names)[:MAX_REASON]
            raise ResultsError(f"{path}: the column {field.name} is missing from table {table}. {printable(known)}")
        if len(places) > 1:
            raise ResultsError(f"{path}: the column {field.name} is there {len(places)} times.")
        column = found.column(places[0]) if places else pa.nulls(len(found), field.type)
        if column.type != field.type:
            raise ResultsError(f"{path}: the column {field.name} holds {column.type}; it must be {field.type}.")
        if field.name in KEYS[table] and column.null_count:
            raise ResultsError(f"{path}: the column {field.name} lacks {column.null_count} of {len(found)} values.")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


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
    _check_unique(frames["runs"], ["replicate", *(name for name in FACTORS if name in frames["runs"])], folder)
    _check_unique(frames["timings"], ["cohort"], folder)
    known = set(frames["runs"]["run_id"])
    for table, frame in frames.items():
        for name in COUNTS:
            if name in frame and ((frame[name] < 0) | (frame[name] > MOST_COUNTED)).any():
                wrong = int(frame[name].max() if frame[name].max() > MOST_COUNTED else frame[name].min())
                raise ResultsError(f"{folder}: table {table}: {name} {wrong} is not from 0 to {MOST_COUNTED}.")
        if "run_id" in frame and table != "runs":
            if not _each_once(frame, [name for name in KEYS[table][1:] if name in ("step", "layer_index", "split")]):
                raise ResultsError(f"{folder}: table {table} has rows that are there twice.")
            foreign = sorted(set(frame["run_id"].cat.categories) - known)
            if foreign:
                shown = printable(str(foreign[0]))[:200]
                raise ResultsError(
                    f'{folder}: table {table} has rows of "{shown}", a run that table runs lacks. `bench run` mends it.'
                )


def _each_once(frame: pd.DataFrame, names: list[str]) -> bool:
    """Whether no two rows share `run_id` and these columns; events may, so for those it is not asked."""
    if "kind" in frame:
        return True
    key, room = frame["run_id"].cat.codes.to_numpy("int64"), max(1, len(frame["run_id"].cat.categories))
    for name in names:
        values = (frame[name].cat.codes if name == "split" else frame[name]).to_numpy("int64")
        size = int(values.max()) + 1 if len(values) else 1
        key, room = key * size + values, room * size
    if room > MOST_KEYS:  # the products above may have wrapped round
        return not bool(frame.duplicated(["run_id", *names]).any())
    return bool(pd.Series(key).is_unique)


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


def read_json(path: Path, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A manifest, each known key of its type.

    Raises:
        ResultsError: it is not one; a missing file raises FileNotFoundError.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could be written nowhere
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read ({_reason(error)}).") from error
    if not isinstance(found, dict):
        raise ResultsError(f"{path}: cannot be read (it holds {type(found).__name__}, not an object).")
    missing = [key for key in required if key not in found]
    if missing:
        raise ResultsError(f"{path} lacks {', '.join(missing)}. `bench run` writes it anew.")
    for key, types in _MANIFEST.items():
        if key in found and not _is_one_of(found[key], types, key):
            shown = printable(json.dumps(found[key]))[:100]
            raise ResultsError(f"{path} is not as `bench run` writes it: {key} is {shown}. It writes the file anew.")
    return found


def _is_one_of(value: object, types: tuple[type, ...], key: str) -> bool:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return False
    if key == "sources":
        return isinstance(value, list) and all(isinstance(each, dict) for each in value)
    if not isinstance(value, dict) or key == "verdicts":  # the rules read their own
        return True
    if key == "factors":
        return all(isinstance(levels, list) and all(isinstance(x, _WORDS) for x in levels) for levels in value.values())
    allowed = (int,) if key == "planned" else _WORDS
    return all(isinstance(each, allowed) for each in value.values())


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _reason(error: BaseException) -> str:
    return printable(str(error) or type(error).__name__)[:MAX_REASON]
