"""A results folder: whole files or none, each checked as it is read, and a manifest that says what they are."""

from bench.results.files import CohortFiles
from bench.results.folder import Results, count_statuses
from bench.results.manifest import Manifest, Planned, now, read_manifest
from bench.results.reading import check_tables, done_cohorts, read_tables, repeated_words
from bench.results.single import FACTS, find_run, last_run, read_facts, read_run

__all__ = [
    "FACTS", "CohortFiles", "Manifest", "Planned", "Results", "check_tables", "count_statuses", "done_cohorts",
    "find_run", "last_run", "now", "read_facts", "read_manifest", "read_run", "read_tables", "repeated_words",
]  # fmt: skip
