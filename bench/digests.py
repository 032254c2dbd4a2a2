"""A digest of every file of a cohort, so that whatever changes a bit of one is found out when it is read.

    <folder>/digests/<cohort>.json    {"runs": ["..."], "loss_curves": ["...", "..."], ...}

The record is written before the files that it speaks of take their names. So each table has one digest, or two where a
cohort that was there already was written anew: of the new file, then of the one that it replaced. A driver that was
killed in between leaves files of both kinds, all of them sound; then only the rows of runs that `runs` holds are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import ResultsError
from bench.reading import UNREADABLE, read_rows
from bench.schema import TABLES

DIGESTS = "digests"
DONE_MARK = "runs"
MENDED = "`bench run` trains that cohort again"
Record = Mapping[str, Sequence[str]]


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
            raise ResultsError(f"{self.record_path}: cannot be read. {MENDED}.") from error
        if not isinstance(found, dict) or not all(isinstance(each, list) and each for each in found.values()):
            raise ResultsError(f"{self.record_path}: is not as `bench run` writes it. {MENDED}.")
        return found

    def content(self, table: str) -> bytes:
        """The bytes of a table's file.

        Raises:
            ResultsError: it is missing, or has another digest than was recorded.
        """
        path = self.path(table)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ResultsError(f"{path}: cannot be read ({error.strerror}). {MENDED}.") from error
        if self.record is not None and digest_of(content) not in self.record.get(table, ()):
            raise ResultsError(f"{path}: is not as it was written (its digest is another). {MENDED}.")
        return content

    def digests(self) -> dict[str, str]:
        """The digest of each file that is there and sound; none where the cohort is not done."""
        found = {}
        for table in TABLES if self.path(DONE_MARK).exists() else ():
            try:
                found[table] = digest_of(self.content(table))
            except ResultsError:
                continue
        return found

    def whole(self) -> bool:
        """Whether every file is here, sound and of today's schema; with digests nothing is unpacked to find out."""
        try:
            if self.record is None:
                for table in TABLES:
                    self.read(table)
            schemas = {table: pq.read_schema(pa.BufferReader(self.content(table))) for table in TABLES}
        except (ResultsError, *UNREADABLE):
            return False
        return all(schema.equals(TABLES[table].arrow) for table, schema in schemas.items())

    def read(self, table: str, words: tuple[str, ...] = ()) -> pa.Table:
        """A table's rows with the schema's columns; `words` come as dictionaries.

        Raises:
            ResultsError: the file is missing, damaged, or not of this table.
        """
        if table == DONE_MARK or not self.unfinished:
            return read_rows(self.content(table), self.path(table), table, words)
        rows = self.of_done(read_rows(self.content(table), self.path(table), table))
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
            raise ResultsError(f"{self.path(DONE_MARK)}: cannot be read. {MENDED}.") from error

    @cached_property
    def unfinished(self) -> bool:
        """Whether a driver was killed while it wrote this cohort anew: `runs` is still the one before."""
        known = (self.record or {}).get(DONE_MARK, ())
        return len(known) > 1 and digest_of(self.content(DONE_MARK)) != known[0]

    @cached_property
    def runs(self) -> pa.Array:
        """The ids of the runs that are done."""
        return self.read(DONE_MARK)["run_id"].combine_chunks()


def record_text(written: Mapping[str, str], before: Mapping[str, str]) -> bytes:
    """The record of a cohort whose tables in `written` replace those of `before`; the others stay."""
    tables = {
        table: list(dict.fromkeys(each[table] for each in (written, before) if table in each)) for table in TABLES
    }
    return json.dumps({table: known for table, known in tables.items() if known}).encode()
