"""Train some runs of a cohort as if all were there.

A run's numbers do not depend on what its neighbours do, but their last bits depend on how many there are and on which
rules of clipping and regularization the graph holds: sums are taken in another order. So the slots of runs that are
not wanted are held by substitutes, copies of a wanted run, whose rows are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from bench.executors.joining import Tables, without
from bench.plan import Cohort, Run


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
