"""One run of a results folder: its full name and its rows, without reading the other cohorts' tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from bench.errors import ResultsError, nearest
from bench.results.files import DONE_MARK
from bench.results.folder import Results
from bench.results.reading import done_cohorts, no_results

FACTS = "recordings"  # folder of what no table has of recorded runs
MOST_NAMES, MOST_SHOWN, MOST_LISTED = 2000, 600, 5


def find_run(folder: Path, given: str) -> tuple[str, str]:
    """The run that a name or its beginning means, and its cohort.

    Raises:
        ResultsError: there are no results, a file cannot be read, or the name fits no run or several.
    """
    done = done_cohorts(folder)
    if not done:
        raise no_results(folder)
    cohorts = {run_id: cohort for cohort in done for run_id in Results(folder).statuses(cohort)}
    fitting = [name for name in cohorts if name == given] or [name for name in cohorts if name.startswith(given)]
    if len(fitting) == 1:
        return fitting[0], cohorts[fitting[0]]
    shown = given[:200]
    if fitting:
        among = ", ".join(fitting[:MOST_LISTED])
        raise ResultsError(f'{folder}: "{shown}" fits {len(fitting)} runs, among them {among}.')
    raise ResultsError(f'{folder}: no run "{shown}". {nearest(shown, list(cohorts)[:MOST_NAMES])[:MOST_SHOWN]}')


def last_run(folder: Path) -> str:
    """The run whose tables were written last.

    Raises:
        ResultsError: there are no results.
    """
    done = done_cohorts(folder)
    if not done:
        raise ResultsError(f"{folder}: no results here.")
    written = {cohort: (folder / "tables" / DONE_MARK / f"{cohort}.parquet").stat().st_mtime_ns for cohort in done}
    return next(iter(Results(folder).statuses(max(done, key=lambda cohort: written[cohort]))))


def read_run(folder: Path, run_id: str, cohort: str) -> dict[str, pd.DataFrame]:
    """Its rows of each table with every column; of tables without runs its cohort's.

    Raises:
        ResultsError: a file is missing, cut short or altered.
    """
    found = {}
    for name, table in Results(folder).read(cohort).items():
        own = table.filter(pc.equal(table["run_id"], run_id)) if "run_id" in table.column_names else table
        found[name] = own.to_pandas()
    return found


def read_facts(folder: Path, run_id: str) -> dict[str, Any]:
    """What a recorder kept of a run beside its tables; nothing where there is none, or it cannot be read."""
    try:
        found = json.loads((folder / FACTS / f"{run_id}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
