"""One cohort's tables from those of its parts: the rows that it has when all its runs train together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from bench.plan import Cohort
from bench.schema import TABLES

Tables = dict[str, pa.Table]


def join(cohort: Cohort, parts: Sequence[Tables]) -> Tables:
    """The tables of a cohort's parts as one, rows in the order of its runs.

    Each run is in one part at most. Timings of the parts are summed, but for the steps, of which the most count.
    """
    runs = [run.run_id for run in cohort.runs]
    joined = {}
    for table in TABLES:
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
        reduce = {"cohort": pc.max, "steps": pc.max}.get(field.name, pc.sum)
        reduced[field.name] = pa.array([reduce(column).as_py()], type=field.type)
    return pa.table(reduced, schema=timings.schema)
