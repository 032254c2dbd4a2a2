"""The tables of runs that did not come back: a failure is a result with a reason."""

from __future__ import annotations

import pyarrow as pa

from bench.plan import Cohort
from bench.schema import TABLES, RunStatus, conform


def failed_tables(cohort: Cohort, reason: str) -> dict[str, pa.Table]:
    """All tables of the schema, with one `failed` row for each run and nothing measured."""
    runs = cohort.runs
    columns: dict[str, object] = {
        "run_id": [run.run_id for run in runs],
        "suite": [cohort.suite] * len(runs),
        "cell_key": [run.cell_key for run in runs],
        "replicate": [run.replicate for run in runs],
        "seed": [run.seed for run in runs],
        "cohort": [cohort.key] * len(runs),
        "status": [str(RunStatus.FAILED)] * len(runs),
        "steps_completed": [0] * len(runs),
        "error": [reason] * len(runs),
    }
    columns |= {name: [run.choices[name].column for run in runs] for name in runs[0].choices}
    return {table: conform(table, columns if table == "runs" else {}) for table in TABLES}
