"""A cohort's tables put together: from its parts, without runs that were lost, and without substitutes.

A run's numbers do not depend on what its neighbours do, but their last bits depend on how many there are and on which
rules of clipping and regularization the graph holds: sums are taken in another order. So where some runs of a cohort
train alone, the slots of the others are held by substitutes, copies of a wanted run, whose rows are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from bench.plan import Cohort, Run
from bench.schema import TABLES, RunStatus, conform, recorded

Tables = dict[str, pa.Table]


def join(cohort: Cohort, parts: Sequence[Tables]) -> Tables:
    """The tables of a cohort's parts as one, rows in the order of its runs.

    Each run is in one part at most. Timings of the parts are summed; of steps, and of how busy the machine was,
    the most counts.
    """
    runs = [run.run_id for run in cohort.runs]
    joined = {}
    for table in TABLES:
        if not recorded(table, cohort.schedules):
            continue
        rows = pa.concat_tables([part[table] for part in parts]).combine_chunks()
        joined[table] = in_order(rows, runs) if "run_id" in rows.column_names else _summed(rows)
    return joined


def without(tables: Mapping[str, pa.Table], runs: Collection[str]) -> Tables:
    """The rows of all other runs; timings, which belong to the cohort, stay."""
    lost = pa.array(list(runs), pa.string())
    return {
        name: rows.filter(pc.invert(pc.is_in(rows["run_id"], value_set=lost)))
        if "run_id" in rows.column_names
        else rows
        for name, rows in tables.items()
    }


def in_order(rows: pa.Table, runs: Sequence[str]) -> pa.Table:
    """The rows of these runs, in their order, each run's rows as they stand; those of other runs are left out."""
    place = pc.index_in(rows["run_id"], value_set=pa.array(runs, pa.string()))
    places = pa.table({"run": place, "row": pa.array(range(rows.num_rows), pa.int64())})
    kept = places.filter(pc.is_valid(places["run"])).sort_by([("run", "ascending"), ("row", "ascending")])
    return rows.take(kept["row"].combine_chunks()).combine_chunks()


def _summed(timings: pa.Table) -> pa.Table:
    if not timings.num_rows:
        return timings
    reduced = {}
    for field in timings.schema:
        column = timings[field.name]
        reduce = {"cohort": pc.max, "steps": pc.max, "machine_busy": pc.max}.get(field.name, pc.sum)
        reduced[field.name] = pa.array([reduce(column).as_py()], type=field.type)
    return pa.table(reduced, schema=timings.schema)


def failed_tables(cohort: Cohort, reason: str) -> Tables:
    """The tables of runs that did not come back: one `failed` row each, with the reason, and nothing measured."""
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
    kept = [table for table in TABLES if recorded(table, cohort.schedules)]
    return {table: conform(table, columns if table == "runs" else {}) for table in kept}


def with_substitutes(part: Cohort, shape: Cohort) -> Cohort:
    """The runs of `part` in their slots of `shape`, all other slots held by copies of the first of them."""
    if len(part.runs) == len(shape.runs):
        return part
    wanted = {run.run_id for run in part.runs}
    runs = tuple(
        run if run.run_id in wanted else _substitute(part.runs[0], slot) for slot, run in enumerate(shape.runs)
    )
    return replace(part, runs=runs, graph_runs=shape.runs)


def drop_substitutes(tables: Mapping[str, pa.Table], part: Cohort, trained: Cohort) -> Tables:
    """The tables of the runs of `part` alone, out of those of the cohort that was trained in its place."""
    wanted = {run.run_id for run in part.runs}
    extra = [run.run_id for run in trained.runs if run.run_id not in wanted]
    if not extra:
        return dict(tables)
    kept = without(tables, extra)
    timings = kept["timings"]
    counts = pa.array([len(part.runs)] * timings.num_rows, pa.int64())
    field = timings.schema.field("runs")
    kept["timings"] = timings.set_column(timings.schema.get_field_index("runs"), field, counts)
    return kept


def _substitute(run: Run, slot: int) -> Run:
    return replace(run, run_id=f"{run.run_id} in slot {slot}")
