"""The files of a results folder: written atomically, each with a digest that is checked as it is read.

    <folder>/digests/<cohort>.json    {"runs": ["..."], "loss_curves": ["...", "..."], ...}

A file is written under a temporary name, flushed to disk and renamed, its folder flushed after: it is there whole or
not at all, also after a power failure. A cohort's digests are written before the files that they speak of take their
names. So each table has one digest, or two where a cohort that was there already was written anew: of the new file,
then of the one that it replaced. A driver that was killed in between leaves files of both kinds, all of them sound;
then only the rows of runs that `runs` holds are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import ResultsError, nearest, printable
from bench.factors import ABSENT, FACTORS
from bench.schema import ASKED, TABLES

TEMPORARY = ".writing"
DIGESTS = "digests"
DONE_MARK = "runs"
MAX_REASON = 300  # characters of what another library says
# What pyarrow raises for a file that is missing or damaged, its footer perhaps.
UNREADABLE = (OSError, ArithmeticError, LookupError, MemoryError, TypeError, ValueError, pa.ArrowException)
# What no row can be without. Other columns may be absent from results of an older version: they read as not measured.
KEYS = {
    "runs": ("run_id", "suite", "cell_key", "replicate", "seed", "cohort", "depth", "status", "steps_completed"),
    "gradient_norms": ("run_id", "step", "layer_index"),
    "activations": ("run_id", "step", "layer_index"),
    "time_gradients": ("run_id", "step", "layer_index", "direction", "time"),
    "attention": ("run_id", "step", "layer_index", "head"),
    "positions": ("run_id", "step", "layer_index", "row", "column"),
    "parameter_groups": ("run_id", "step", "layer_index", "group"),
    "loss_curves": ("run_id", "step"),
    "evaluations": ("run_id", "step", "split"),
    "divergence_events": ("run_id", "step", "kind", "tensor"),
    "timings": ("cohort",),
}
WORDS = pa.dictionary(pa.int32(), pa.string())
Record = Mapping[str, Sequence[str]]


def mended(folder: Path) -> str:
    """What mends a damaged file of a results folder."""
    return f"`bench run SUITE --out {folder}` trains that cohort again; your own training has to be recorded anew."


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file where none or an older one is; at every moment, a power failure too, it is the old one or the new.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    try:
        replace_durably(write_temporary(path, content), path)
    finally:
        temporary_path(path).unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Where a file stands until it is whole."""
    return path.with_name(f"{path.name}{TEMPORARY}")


def write_temporary(path: Path, content: bytes) -> Path:
    """Write what is to stand at `path` to its temporary file and flush it; returns where that is."""
    make_folder(path.parent)
    with temporary_path(path).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary_path(path)


def replace_durably(written: Path, path: Path) -> None:
    """Rename a file or folder that is whole to the name that it is to have, for good."""
    written.replace(path)
    flush_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each flushed into the one that holds it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(content: bytes) -> str:
    """128 bits of BLAKE2b, in hexadecimal digits."""
    return blake2b(content, digest_size=16).hexdigest()


class CohortFiles:
    """The files of one cohort, each checked against its digest as it is read.

    Folders of older versions have no digests: there parquet's own checksums must do, which cover pages and not headers.
    """

    def __init__(self, folder: Path, cohort: str) -> None:
        self.folder = folder
        self.cohort = cohort

    def path(self, table: str) -> Path:
        """The file of a table."""
        return self.folder / "tables" / table / f"{self.cohort}.parquet"

    @property
    def record_path(self) -> Path:
        """The file of the digests."""
        return self.folder / DIGESTS / f"{self.cohort}.json"

    @cached_property
    def record(self) -> Record | None:
        """The digests that each table's file may have, the newest first; None in a folder of an older version.

        Raises:
            ResultsError: the file is damaged.
        """
        try:
            found = json.loads(self.record_path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ResultsError(f"{self.record_path}: cannot be read. {mended(self.folder)}") from error
        if not isinstance(found, dict) or not all(isinstance(each, list) and each for each in found.values()):
            raise ResultsError(f"{self.record_path}: is not as `bench run` writes it. {mended(self.folder)}")
        return found

    def holds(self, table: str) -> bool:
        """Whether a file of the table is here, or should be: of those that must be asked for there may never be one."""
        return table not in ASKED or self.path(table).exists() or table in (self.record or {})

    def held(self) -> list[str]:
        """The tables whose files are here or should be; none where the digests are damaged: then all is made anew."""
        try:
            return [table for table in TABLES if self.holds(table)]
        except ResultsError:
            return []

    def content(self, table: str) -> bytes:
        """The bytes of a table's file.

        Raises:
            ResultsError: it is missing, or has another digest than was recorded.
        """
        path = self.path(table)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ResultsError(f"{path}: cannot be read ({error.strerror}). {mended(self.folder)}") from error
        if self.record is not None and digest_of(content) not in self.record.get(table, ()):
            raise ResultsError(f"{path}: is not as it was written (its digest is another). {mended(self.folder)}")
        return content

    def digests(self) -> dict[str, str]:
        """The digest of each file that is there and sound; none where the cohort is not done."""
        found = {}
        for table in self.held() if self.path(DONE_MARK).exists() else ():
            try:
                found[table] = digest_of(self.content(table))
            except ResultsError:
                continue
        return found

    def whole(self) -> bool:
        """Whether every file is here, sound and of today's schema; with digests nothing is unpacked to find out."""
        try:
            tables = [table for table in TABLES if self.holds(table)]
            if self.record is None:
                for table in tables:
                    self.read(table)
            schemas = {table: pq.read_schema(pa.BufferReader(self.content(table))) for table in tables}
        except (ResultsError, *UNREADABLE):
            return False
        return all(schema.equals(TABLES[table].arrow) for table, schema in schemas.items())

    def of_another_version(self) -> str:
        """How a sound file's columns are not those of today's schema, in words; empty where no file's are others."""
        for table in self.held():
            try:
                found = pq.read_schema(pa.BufferReader(self.content(table)))
                today = TABLES[table].arrow
                if not found.equals(today):
                    self.read(table)
                    return f"{table} {_other_columns(found, today)}"
            except (ResultsError, *UNREADABLE):
                continue  # damaged, so that nothing is lost where it is made anew
        return ""

    def read(self, table: str, words: Collection[str] = (), columns: Collection[str] | None = None) -> pa.Table:
        """A table's rows with the schema's columns, or some and its keys; `words` come as dictionaries.

        One that nobody asked for is empty.

        Raises:
            ResultsError: the file is missing, damaged, or not of this table.
        """
        if not self.holds(table):
            return _schema(table, words, columns).empty_table()
        if table == DONE_MARK or not self.unfinished:
            return read_rows(self.content(table), self.path(table), table, words, columns)
        rows = self.of_done(read_rows(self.content(table), self.path(table), table, (), columns))
        for index, name in enumerate(rows.column_names):
            if name in words:
                rows = rows.set_column(index, name, rows[name].dictionary_encode())
        return rows

    def of_done(self, rows: pa.Table) -> pa.Table:
        """The rows of the runs that are done; all where there are no runs."""
        if "run_id" not in rows.column_names:
            return rows
        return rows.filter(pc.is_in(rows["run_id"], value_set=self.runs))

    def statuses(self) -> dict[str, str]:
        """The status of each run that is done; no other column is read.

        Raises:
            ResultsError: the `runs` file is missing, damaged, or not of that table.
        """
        content = pa.BufferReader(self.content(DONE_MARK))
        try:
            rows = pq.read_table(content, columns=["run_id", "status"])
            return dict(zip(rows["run_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
        except UNREADABLE as error:
            raise ResultsError(f"{self.path(DONE_MARK)}: cannot be read. {mended(self.folder)}") from error

    @cached_property
    def unfinished(self) -> bool:
        """Whether a driver was killed while it wrote this cohort anew: `runs` is still the one before."""
        known = (self.record or {}).get(DONE_MARK, ())
        return len(known) > 1 and digest_of(self.content(DONE_MARK)) != known[0]

    @cached_property
    def runs(self) -> pa.Array:
        """The ids of the runs that are done."""
        return self.read(DONE_MARK)["run_id"].combine_chunks()


def _other_columns(found: pa.Schema, today: pa.Schema) -> str:
    """`lacks clipped, has norm` of the columns in a file; where the names are the same, their order or types differ."""
    lacks, more = ([name for name in one.names if name not in other.names]
                   for one, other in ((today, found), (found, today)))  # fmt: skip
    said = [
        f"{word} {' and '.join(names[:2])}{', …' if names[2:] else ''}"
        for word, names in (("lacks", lacks), ("has", more))
        if names
    ]
    return ", ".join(said) or "has columns of another order or type"


def record_text(written: Mapping[str, str], before: Mapping[str, str]) -> bytes:
    """The record of a cohort whose tables in `written` replace those of `before`; the others stay."""
    tables = {
        table: list(dict.fromkeys(each[table] for each in (written, before) if table in each)) for table in TABLES
    }
    return json.dumps({table: known for table, known in tables.items() if known}).encode()


def read_rows(
    content: bytes, path: Path, table: str, words: Collection[str] = (), columns: Collection[str] | None = None
) -> pa.Table:
    """The rows in a file's content, in the schema's order and types; those in `words` come as dictionaries.

    Args:
        columns: the columns to read beside the table's keys; None: all.

    Raises:
        ResultsError: it is damaged, or not of this table; the message names `path`.
    """
    schema = _schema(table, words, columns)
    wanted = schema.names
    try:
        source = pa.BufferReader(content)
        metadata = pq.read_metadata(source)
        present = metadata.schema.names
        there = [name for name in words if name in present]
        with pq.ParquetFile(source, metadata=metadata, read_dictionary=there, page_checksum_verification=True) as file:
            found = file.read(None if columns is None else [name for name in wanted if name in present])
        found.validate(full=True)  # text that is not UTF-8 would fail much later
    except UNREADABLE as error:
        raise ResultsError(f"{path}: cannot be read ({reason_of(error)}). {mended(path.parents[2])}") from error
    return pa.Table.from_arrays([_fitted(found, table, field, path) for field in schema], schema=schema)


def _schema(table: str, words: Collection[str], columns: Collection[str] | None) -> pa.Schema:
    """What is read of a table: its keys and some columns, or all; those in `words` are dictionaries."""
    whole = TABLES[table].arrow
    kept = [field for field in whole if columns is None or field.name in columns or field.name in KEYS[table]]
    return pa.schema([each.with_type(WORDS) if each.name in words else each for each in kept], whole.metadata)


def _fitted(found: pa.Table, table: str, field: pa.Field, path: Path) -> pa.ChunkedArray:
    """A column, checked to be what the schema says; nulls where it was not measured.

    Runs from before a factor have its absent treatment.
    """
    name, kind = field.name, field.type
    places = found.schema.get_all_field_indices(name)
    if not places and name in KEYS[table]:
        known = nearest(name, found.column_names)[:MAX_REASON]
        raise ResultsError(f"{path}: the column {name} is missing from table {table}. {printable(known)}")
    if len(places) > 1:
        raise ResultsError(f"{path}: the column {name} is there {len(places)} times.")
    factor = FACTORS.get(name) if table == "runs" and not places else None
    absent = factor.default if factor and (factor.default in ABSENT or factor.later) else None
    missing = pa.nulls(len(found), kind) if absent is None else pa.repeat(pa.scalar(absent, kind), len(found))
    column = found.column(places[0]) if places else pa.chunked_array([missing])
    if column.type != kind:
        raise ResultsError(f"{path}: the column {name} holds {column.type}; it must be {kind}.")
    if name in KEYS[table] and column.null_count:
        raise ResultsError(f"{path}: the column {name} lacks {column.null_count} of {len(found)} values.")
    return column


def reason_of(error: BaseException) -> str:
    """What another library says of a file, in a few words."""
    return printable(str(error) or type(error).__name__)[:MAX_REASON]
