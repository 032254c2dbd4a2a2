"""`bench plan`: what a suite would run, how long and how much, without training."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.commands.executor import fitting_workers
from bench.commands.planned import of_models
from bench.commands.rates import machine_rates
from bench.commands.shrink import long_plan
from bench.errors import printable
from bench.plan import (
    REFERENCE,
    estimate_bytes,
    estimate_report_seconds,
    estimate_rows,
    estimate_seconds,
    make_plan,
    makespan,
)
from bench.suite import load_suite
from bench.text import duration, plural

SHOWN = 20


def show_plan(suite_path: Path, workers: int, *, every: bool) -> None:
    """Print cells, runs, cohorts, rows, estimated time and disk."""
    suite = load_suite(suite_path)
    plan = make_plan(suite)
    workers = min(workers or fitting_workers(plan.cohorts), len(plan.cohorts))
    measured = machine_rates(lambda text: print(text, file=sys.stderr, flush=True))
    rates = measured or REFERENCE
    costs = [estimate_seconds(cohort, rates) for cohort in plan.cohorts]
    rows = [sum(estimate_rows(cohort).values()) for cohort in plan.cohorts]
    total = makespan(costs, [rates.import_seconds] * workers)
    report = estimate_report_seconds(len(plan.runs), rates)
    disk = sum(estimate_bytes(cohort) for cohort in plan.cohorts)
    console = Console()
    question = " ".join(map(printable, suite.question.split()))
    console.print(f"[bold]{suite.name}[/]: {escape(question)}", highlight=False)
    print(
        f"{plural(len(suite.cells), 'cell')} x {plural(suite.replicates, 'replicate')} = "
        f"{plural(len(plan.runs), 'run')} in {plural(len(plan.cohorts), 'cohort')}\n"
        f"{sum(rows)} rows, about {disk / 2**20:.1f} MiB; "
        f"about {duration(total)} with {plural(workers, 'worker')}, then {duration(report)} for the report, "
        f"{'as measured on this machine' if measured else 'on another machine: this one could not be measured'}"
    )
    if models := of_models(plan.cohorts, known=False):
        print(models)
    if long := long_plan(suite, total):
        print(long)
    table = Table("cohort", "runs", "rows", "about", box=None)
    shown = len(plan.cohorts) if every else SHOWN
    for cohort, cost, count in list(zip(plan.cohorts, costs, rows, strict=True))[:shown]:
        table.add_row(cohort.key, str(len(cohort.runs)), str(count), duration(cost))
    console.print(table)
    if shown < len(plan.cohorts):
        print(f"... and {len(plan.cohorts) - shown} shorter cohorts (--all shows them)")
