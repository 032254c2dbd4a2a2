"""Drills on what lost runs do to the sound ones of their cohort."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.drills.processes import Losses
from benchmarks.drills.scene import POISON, Scene

Tables = dict[str, pd.DataFrame]


def neighbours(scene: Scene, out: Path, times: int) -> Losses:
    """Sound runs beside lost ones and beside calm ones; then the lost ones alone, and the others later."""
    calm = scene.calm(out.with_name(f"{out.name}-calm"))
    driver = scene.start(out, "--only", f"learning_rate == {POISON}")
    said = driver.communicate()[1]
    apart = f"exit code {driver.returncode}: {said[-300:]}" if driver.returncode else scene.lost(out)
    return [_beside(scene.tables, calm.tables), _located(scene.tables), apart]


def _beside(poisoned: Tables, calm: Tables) -> str:
    """Which tables of the sound runs depend on their neighbours."""
    runs = [each["runs"]["run_id"] for each in (poisoned, calm)]
    kept = set(runs[0]) & set(runs[1])
    other = [name for name in poisoned if "run_id" in poisoned[name] and not _equal(poisoned[name], calm[name], kept)]
    return f"differs beside calm neighbours: {', '.join(other)}" if other or not kept else ""


def _equal(one: pd.DataFrame, other: pd.DataFrame, kept: set[str]) -> bool:
    """Whether two tables hold the same of these runs; their cohorts have other names, and so another order."""
    found = []
    for table in (one, other):
        words = dict.fromkeys(table.select_dtypes("category"), object)  # of other categories
        # A column of whole numbers is one of floats where another run has none.
        kinds = words | dict.fromkeys(table.select_dtypes("number"), float)
        rows = table[table["run_id"].isin(kept)].astype(kinds).sort_values("run_id", kind="stable")
        found.append(rows.drop(columns="cohort", errors="ignore").reset_index(drop=True))
    return all(each.empty for each in found) or found[0].equals(found[1])


def _located(tables: Tables) -> str:
    """Which runs are lost without a place where that happened, or have one and are not lost, or at another step."""
    events, runs = tables["divergence_events"], tables["runs"]
    found = events[~events["kind"].isin(["loss_limit", "skipped_step"])].set_index("run_id")["step"].sort_index()
    lost = runs[runs["status"] == "diverged"].set_index("run_id")["steps_completed"].sort_index()
    return (
        ""
        if len(lost) and found.to_dict() == lost.to_dict() and found.index.is_unique
        else f"{len(lost)} lost runs, {len(found)} places"
    )
