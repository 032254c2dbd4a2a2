"""What a results folder says of itself, and whether new results may stand beside those it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from bench import environment
from bench.errors import ResultsError
from bench.plan import Plan
from bench.store import SUPERSEDED, Results, read_manifest
from bench.suite import Suite


def new_manifest(suite: Suite, plan: Plan, *, dry: bool, command: str) -> dict[str, Any]:
    """A suite's manifest at the start of a run."""
    return {
        "suite": suite.name,
        "title": suite.title or suite.name,
        "question": suite.question,
        "text": suite.text,
        "sha256": sha256(suite.text.encode()).hexdigest(),
        "seed": suite.seed,
        "replicates": suite.replicates,
        "factors": {name: [choice.column for choice in choices] for name, choices in suite.factors.items()},
        "fixed": {name: choice.column for name, choice in suite.fixed.items()},
        "verdicts": suite.verdicts.as_written(),
        "planned": {"cells": len(suite.cells), "runs": len(plan.runs), "cohorts": len(plan.cohorts)},
        "dry": dry,
        "versions": environment.versions(),
        "machine": environment.machine(),
        "command": command,
        "started": now(),
        "ended": None,
        "incidents": [],
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def kept_entries(results: Results, manifest: dict[str, Any]) -> dict[str, Any]:
    """What stays of this folder's manifest: incidents, and the folders it was merged from.

    First it is checked that the results here may stay beside new ones.

    Raises:
        ResultsError: the folder holds results of another kind or of other versions, or its manifest cannot be read.
    """
    if not any(any((results.folder / name).glob("*/*.parquet")) for name in ("tables", SUPERSEDED)):
        return {}
    if not results.manifest_path.exists():
        raise ResultsError(
            f"{results.folder} holds tables but no manifest.json, so that nobody knows which versions made them. "
            "Use --fresh to train all again, or --out for another folder."
        )
    before = read_manifest(results.folder)
    if before.get("dry", False) != manifest["dry"]:
        kind = "dry" if before.get("dry") else "trained"
        raise ResultsError(f"{results.folder} holds {kind} results. Use --fresh to replace them, or --out.")
    old, new = before.get("versions", {}), manifest["versions"]
    changed = [f"{n} {old.get(n)} -> {new[n]}" for n in environment.DECIDING if old.get(n) != new[n]]
    if changed:
        raise ResultsError(
            f"{results.folder} holds results of other versions ({', '.join(changed)}), which are never mixed. "
            "Use --fresh to train all again, or --out for another folder."
        )
    return {name: before[name] for name in ("incidents", "sources") if name in before}
