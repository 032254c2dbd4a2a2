"""The JSON Schema of a suite file, from which editors complete and check."""

from __future__ import annotations


def suite_schema() -> dict[str, object]:
    """The schema, generated from `FACTORS`."""
    return {}
