"""`bench schema --tables`: what the tables hold, as the page `docs/tables.md`."""

from __future__ import annotations

from bench.schema import TABLES

INTRODUCTION = """\
# Tables

Made by `bench schema --tables > docs/tables.md`; a test fails when it is not current.

A results folder holds `manifest.json` (the suite's text and hash, versions, machine, start and end, command) and
`tables/<table>/<cohort>.parquet`; by `digests/<cohort>.json` an altered file is found out (docs/reliability.md). Read
a table whole with `pandas.read_parquet("reports/default/tables/runs")`, or with DuckDB:
`select * from 'reports/default/tables/runs/*.parquet'`. Units and meanings are in the parquet metadata too:
`pyarrow.parquet.read_schema(file).field("loss").metadata`.

NaN and infinity are stored as they are; null means *not measured*. A run's rows end with the step at which it diverged,
that step included. Steps count updates already applied, so 0 is initialization: `gradient_norms` and `loss_curves`
look at the training step that follows and end at steps − 1; `activations` and `evaluations` look at the weights and
end at steps. Activations are measured on a fixed sample of 512 training rows (all, if there are fewer) with the
network in training mode; evaluations look at the same rows, and at up to 2000 validation rows, in inference mode.
Every table but `timings` is the same to the bit when the same suite runs again on the same machine with
the same versions.
"""


def tables_page() -> str:
    """The page in Markdown."""
    parts = [INTRODUCTION]
    for name, spec in TABLES.items():
        parts.append(
            f"\n## `{name}`\n\nOne row for each {spec.row}.\n\n| column | type | unit | meaning |\n|---|---|---|---|\n"
        )
        for column, about in spec.columns.items():
            parts.append(
                f"| `{column}` | {about.type} | {about.unit} | {about.meaning.replace('|', chr(92) + '|')} |\n"
            )
    return "".join(parts)
