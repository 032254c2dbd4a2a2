"""`bench run`: train what the suite plans and the results folder does not hold yet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench import environment
from bench.commands.progress import Progress
from bench.errors import DataError, ResultsError, RunsFailed, SuiteError
from bench.executors.answers import Status
from bench.executors.driver import Outcome
from bench.executors.failures import failed_tables
from bench.executors.local import LocalExecutor, default_workers, run_cohorts
from bench.plan import Cohort, Plan, make_plan
from bench.schema import RunStatus
from bench.store import Results, read_manifest
from bench.suite import Suite

TRAIN = "bench.engine.train:train_cohort"
DRY = "bench.engine.dry:train_cohort"
CHECK_DATA = "bench.engine.datasets:check"
OFFLINE = ("digits", "mnist1d", "breast_cancer", "wine")


@dataclass(frozen=True)
class Options:
    """How a suite is run."""

    out: Path
    workers: int = 0  # 0: as many as the machine has cores
    dry: bool = False
    fresh: bool = False
    command: str = ""


def run_suite(suite: Suite, options: Options) -> Path:
    """Run a suite into its results folder, which it returns.

    Raises:
        BenchError: a plugin, the data or the folder is not as it must be.
        RunsFailed: everything ended, but some runs raised.
        KeyboardInterrupt: stopped; what has ended is kept, and the same command goes on from there.
    """
    plan = make_plan(suite)
    results = Results(options.out)
    with results.locked():
        if options.fresh:
            shutil.rmtree(options.out / "tables", ignore_errors=True)
        manifest = _manifest(suite, plan, options)
        _refuse_other_versions(results, manifest)
        done = _finished(results, plan)
        left = [cohort for cohort in plan.cohorts if cohort.key not in done]
        workers = min(options.workers or default_workers(), max(1, len(left)))
        with LocalExecutor(workers) as executor, Progress(plan, done, workers) as progress:
            if not options.dry:
                _check_data(executor, left)
            results.write_manifest(manifest)
            for outcome in run_cohorts(executor, DRY if options.dry else TRAIN, left):
                if outcome.answer.status is Status.REFUSED:
                    raise SuiteError(f"{suite.path}: {outcome.answer.value}")
                tables = _tables(outcome)
                results.write(outcome.cohort.key, tables)
                progress.ended(outcome.cohort, tables["runs"])
        manifest["ended"] = _now()
        results.write_manifest(manifest)
    if progress.counts[RunStatus.FAILED]:
        raise RunsFailed(
            f"{progress.counts[RunStatus.FAILED]} runs failed: `bench show {options.out} RUN` tells why; "
            "the same command tries them again."
        )
    return options.out


def _tables(outcome: Outcome) -> dict[str, Any]:
    if outcome.answer.status is Status.OK:
        return dict(outcome.answer.value)
    return failed_tables(outcome.cohort, str(outcome.answer.value))


def _finished(results: Results, plan: Plan) -> set[str]:
    """The cohorts that need not be trained: done, and without failed runs."""
    set_aside = results.arrange(cohort.key for cohort in plan.cohorts)
    if set_aside:
        print(f"{set_aside} cohorts that the suite no longer plans were moved to {results.folder / 'superseded'}")
    done = results.done(cohort.key for cohort in plan.cohorts)
    return done - results.failed(done)


def _check_data(executor: LocalExecutor, cohorts: Sequence[Cohort]) -> None:
    """Load every dataset that is not shipped once, before anything trains."""
    choices = {cohort.structure["dataset"] for cohort in cohorts}
    for choice in sorted((c for c in choices if c.name not in OFFLINE), key=lambda c: c.label):
        answer = executor.submit(CHECK_DATA, choice).result()
        if answer.status is not Status.OK or answer.value:
            raise DataError(str(answer.value))


def _refuse_other_versions(results: Results, manifest: dict[str, Any]) -> None:
    if not results.manifest_path.exists() or not any((results.folder / "tables").glob("*/*.parquet")):
        return
    before = read_manifest(results.folder)
    if before.get("dry", False) != manifest["dry"]:
        kind = "dry" if before.get("dry") else "trained"
        raise ResultsError(f"{results.folder} holds {kind} results. Use --fresh to replace them, or --out.")
    old, new = before.get("versions", {}), manifest["versions"]
    changed = [f"{n} {old.get(n)} -> {new[n]}" for n in environment.DECIDING if old.get(n) != new[n]]
    if changed:
        raise ResultsError(
            f"{results.folder} holds results of other versions ({', '.join(changed)}), which are never mixed. "
            "Use --fresh to train all again, or --out for another folder."
        )


def _manifest(suite: Suite, plan: Plan, options: Options) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "title": suite.title or suite.name,
        "question": suite.question,
        "text": suite.text,
        "sha256": sha256(suite.text.encode()).hexdigest(),
        "seed": suite.seed,
        "replicates": suite.replicates,
        "factors": {name: [choice.column for choice in choices] for name, choices in suite.factors.items()},
        "fixed": {name: choice.column for name, choice in suite.fixed.items()},
        "verdicts": suite.verdicts.as_written(),
        "planned": {"cells": len(suite.cells), "runs": len(plan.runs), "cohorts": len(plan.cohorts)},
        "dry": options.dry,
        "versions": environment.versions(),
        "machine": environment.machine(),
        "command": options.command,
        "started": _now(),
        "ended": None,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
