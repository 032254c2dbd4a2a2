"""The results folder of one's own training: the project's tables, a run a file, under the suite `own`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench import environment
from bench.errors import ResultsError
from bench.factors import FACTORS
from bench.recorder.rows import Columns
from bench.results import FACTS, Manifest, Planned, Results, done_cohorts, now, read_manifest
from bench.results.files import DONE_MARK, UNREADABLE, CohortFiles, write_atomically
from bench.schema import TABLES, conform

SUITE = "own"
TEXT = '[suite]\nname = "own"\n# No suite planned these runs: bench.Recorder recorded them.\n'


@dataclass(frozen=True)
class Who:
    """A run's names and what the table of runs says of it before it has run."""

    run_id: str
    cell_key: str
    replicate: int


class RunFolder:
    """A folder that is locked while a run is recorded into it.

    Raises:
        ResultsError: it holds another suite's results, another recorder or `bench run` writes into it, or it cannot be
            written to.
    """

    def __init__(self, path: Path, question: str = "") -> None:
        self.path = path
        self.question = question
        self.results = Results(path)
        self.open = ExitStack()
        try:
            if any((path / name).exists() for name in ("manifest.json", "tables")):
                _check_own(path)
            self.open.enter_context(self.results.locked())
        except ResultsError as error:
            if "another `bench run`" in str(error):
                raise ResultsError(f"{path}: another recorder or `bench run` is writing here.") from error
            raise ResultsError(str(error).replace("Try another --out.", "Give another folder.")) from error
        self.started = now()

    def close(self) -> None:
        """Let others write into the folder."""
        self.open.close()

    def name(self, model: str, settings: Mapping[str, Any], replicate: int | None) -> Who:
        """A run's names, of the model's and what its settings mean; a replicate that is there makes it the next."""
        said = {name: value for name, value in settings.items() if name != "steps"}
        digest = sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:10]
        key = f"{re.sub(r'[^A-Za-z0-9.]+', '_', model).strip('_.') or SUITE}-{digest}"
        taken = {number for cell, number in self._runs() if cell == key}
        number = 0 if replicate is None else replicate
        while number in taken:
            number += 1
        return Who(f"{key}-r{number}", key, number)

    def write(
        self, who: Who, tables: Mapping[str, Columns], facts: Mapping[str, Any], unseen: Mapping[str, str]
    ) -> None:
        """Replace a run's tables, the manifest with what was not seen of it, and `recordings/<run_id>.json`: the facts.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        made: dict[str, pa.Table] = {name: conform(name, tables.get(name, {})) for name in (*TABLES,) if _kept(name)}
        self.results.write_manifest(self._manifest(made["runs"], unseen))
        self.results.write(who.run_id, made)
        try:
            write_atomically(self.path / FACTS / f"{who.run_id}.json", (json.dumps(facts, indent=1) + "\n").encode())
        except OSError as error:
            raise ResultsError(f"{self.path}: cannot be written to ({error.strerror or error}).") from error

    def _runs(self) -> list[tuple[str, int]]:
        found = []
        for cohort in done_cohorts(self.path) if (self.path / "tables").exists() else ():
            rows = CohortFiles(self.path, cohort).read(DONE_MARK).to_pylist()
            found += [(row["cell_key"], row["replicate"]) for row in rows]
        return found

    def _manifest(self, runs: pa.Table, unseen: Mapping[str, str]) -> Manifest:
        rows = runs.to_pylist()
        before = read_manifest(self.path).unseen if (self.path / "manifest.json").exists() else {}
        kept = {run: found for run, found in before.items() if run != rows[0]["run_id"]}
        for cohort in done_cohorts(self.path) if (self.path / "tables").exists() else ():
            if cohort != rows[0]["run_id"]:
                rows += CohortFiles(self.path, cohort).read(DONE_MARK).to_pylist()
        levels = {name: list(dict.fromkeys(row[name] for row in rows)) for name in FACTORS}
        cells = {row["cell_key"] for row in rows}
        return Manifest(
            suite=SUITE,
            title=self.path.resolve().name,
            question=self.question,
            text=TEXT,
            sha256=sha256(TEXT.encode()).hexdigest(),
            replicates=max(sum(row["cell_key"] == cell for row in rows) for cell in cells),
            factors={name: found for name, found in levels.items() if len(found) > 1},
            fixed={name: found[0] for name, found in levels.items() if len(found) == 1},
            planned=Planned(len(cells), len(rows), len(rows)),
            versions=environment.versions(),
            machine=environment.machine(),
            command="bench.Recorder",
            started=self.started,
            ended=now(),
            unseen=kept | ({rows[0]["run_id"]: dict(unseen)} if unseen else {}),
        )


def _kept(table: str) -> bool:
    return table not in ("time_gradients", "attention", "positions")


def _check_own(path: Path) -> None:
    try:
        suite = read_manifest(path).suite
    except (ResultsError, *UNREADABLE) as error:
        raise ResultsError(f"{path}: holds something else than runs of bench.Recorder ({error})") from error
    if suite != SUITE:
        raise ResultsError(f'{path}: holds results of the suite "{suite}". Record into a folder of its own.')
