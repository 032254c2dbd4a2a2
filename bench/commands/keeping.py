"""Write what ended into the results folder, beside the runs of the same cohort that are there already."""

from __future__ import annotations

from typing import Any

from bench.commands.found import Found
from bench.executors.joining import Tables, join, without
from bench.plan import Cohort
from bench.store import Results


class Keeper:
    """The one writer of a folder's tables and of its manifest while a suite runs."""

    def __init__(self, results: Results, found: Found, manifest: dict[str, Any]) -> None:
        self.results = results
        self.manifest = manifest
        self.planned = {cohort.key: cohort for cohort in found.plan.cohorts}
        self.partial = set(found.partial)

    def keep(self, part: Cohort, made: Tables) -> None:
        """Write the tables of a cohort, or of some of its runs.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        if part.key in self.partial:
            # Rows of these runs are there already where a driver was killed between a cohort's files.
            held = without(self.results.read(part.key), [run.run_id for run in part.runs])
            made = join(self.planned[part.key], [held, made])
        self.results.write(part.key, made)
        self.partial.add(part.key)

    def note(self, **changes: object) -> None:
        """Change entries of the manifest and write it."""
        self.manifest |= changes
        self.results.write_manifest(self.manifest)
