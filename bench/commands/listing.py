"""`bench list`: suites, factors and levels, each with a sentence and a source; `bench schema --tables`: the tables."""

from __future__ import annotations

import tomllib

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.errors import SuiteError, nearest, printable
from bench.factors import FACTORS, Factor, Level
from bench.quantities import OF_RULES, OF_RUNS, Quantity
from bench.schema import TABLES
from bench.suite.load import SHIPPED, known_suites

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


def list_all(what: str | None, console: Console | None = None) -> None:
    """Print suites and factors, or the levels of one factor.

    Raises:
        SuiteError: there is no factor of that name.
    """
    console = console or Console()
    if what is None:
        console.print(_suites())
        console.print(_factors())
        print("`bench list FACTOR` shows a factor's levels.")
    elif what in FACTORS:
        console.print(_levels(FACTORS[what]))
    else:
        raise SuiteError(f'"{what}" is not a factor. {nearest(what, FACTORS)}')


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    return table


def _suites() -> Table:
    table = _table("Suites", "suite", "from", "question")
    for name, path in known_suites().items():
        try:
            question = tomllib.loads(path.read_text(encoding="utf-8"))["suite"]["question"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            question = f"(cannot be read: `bench check {name}` says why)"
        origin = "shipped" if path.is_relative_to(SHIPPED) else path.parts[0] if path.parent.name else "."
        said = (name, origin, *str(question).split())
        name, origin, *words = map(escape, map(printable, said))
        table.add_row(name, origin, " ".join(words))
    return table


def _factors() -> Table:
    table = _table("Factors", "factor", "default", "varies", "what it is")
    for factor in FACTORS.values():
        place = "between cohorts" if factor.place == "graph" else "within a cohort"
        table.add_row(factor.name, str(factor.default), place, factor.summary)
    return table


def _levels(factor: Factor) -> Table:
    table = _table(f"{factor.name}: {factor.summary}", "level", "what it is", "source")
    if factor.number:
        bound = ">" if factor.number.exclusive else ">="
        table.add_row(f"any {factor.number.kind.__name__} {bound} {factor.number.minimum:g}", "", "")
    for level in factor.levels:
        table.add_row(level.name + _settings(level), level.summary, level.source)
    if factor.plugins:
        table.add_row("module:name", "Yours: an importable Python object.", "")
    return table


def _settings(level: Level) -> str:
    return "".join(f"\n  {name} = {setting.default}" for name, setting in level.settings.items())


QUANTITIES = """
## Quantities

Numbers made of those columns (`bench/quantities.py`). A claim names one of a run by `number = { response = NAME }`, a
rule any by `measure = NAME`; `bench.analysis.judge` gives the first group as columns, one row a run.

### Of each run
"""
RULES = """
### For rules

A rule set asks for these too; those of each step at a run's first, its last or any recorded step.
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
    return "".join([*parts, QUANTITIES, *_listed(OF_RUNS), RULES, *_listed(OF_RULES)])


def _listed(quantities: tuple[Quantity, ...]) -> list[str]:
    rows = ["\n| quantity | of | unit | better | a lost run counts as | meaning |\n|---|---|---|---|---|---|\n"]
    for each in quantities:
        axis = "step" if each.per_step else "run"
        lost = each.lost.partition(":")[0].partition(";")[0] if not each.per_step else ""
        meaning = each.definition.replace("|", "\\|")
        rows.append(f"| `{each.name}` | {axis}, `{each.table}` | {each.unit} | {each.better} | {lost} | {meaning} |\n")
    return rows
