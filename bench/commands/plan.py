"""`bench plan`: what a suite would run, how long and how much, without training."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.errors import printable
from bench.executors.local import default_workers
from bench.plan import estimate_bytes, estimate_rows, estimate_seconds, make_plan
from bench.suite import load_suite
from bench.text import duration

SHOWN = 20


def show_plan(suite_path: Path, workers: int, *, every: bool) -> None:
    """Print cells, runs, cohorts, rows, estimated time and disk."""
    suite = load_suite(suite_path)
    plan = make_plan(suite)
    workers = workers or default_workers()
    costs = [estimate_seconds(cohort) for cohort in plan.cohorts]
    rows = [sum(estimate_rows(cohort).values()) for cohort in plan.cohorts]
    total = max(sum(costs) / workers, max(costs))
    disk = sum(estimate_bytes(cohort) for cohort in plan.cohorts)
    console = Console()
    question = " ".join(map(printable, suite.question.split()))
    console.print(f"[bold]{suite.name}[/]: {escape(question)}", highlight=False)
    print(
        f"{len(suite.cells)} cells x {suite.replicates} replicates = {len(plan.runs)} runs in "
        f"{len(plan.cohorts)} cohorts\n{sum(rows)} rows, about {disk / 2**20:.1f} MiB; "
        f"about {duration(total)} with {workers} workers (estimated from 2 cores of another machine)"
    )
    table = Table("cohort", "runs", "rows", "about", box=None)
    shown = len(plan.cohorts) if every else SHOWN
    for cohort, cost, count in list(zip(plan.cohorts, costs, rows, strict=True))[:shown]:
        table.add_row(cohort.key, str(len(cohort.runs)), str(count), duration(cost))
    console.print(table)
    if shown < len(plan.cohorts):
        print(f"... and {len(plan.cohorts) - shown} shorter cohorts (--all shows them)")
