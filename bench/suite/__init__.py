"""A suite: one TOML file, read, checked and expanded into cells."""

from __future__ import annotations

from bench.suite.cells import Cell, PartialCell
from bench.suite.load import Suite, load_suite, parse_suite
from bench.suite.record import Record, Schedule
from bench.suite.schema import suite_schema

__all__ = ["Cell", "PartialCell", "Record", "Schedule", "Suite", "load_suite", "parse_suite", "suite_schema"]
