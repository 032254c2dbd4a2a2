"""`bench merge`: results of one suite from several machines, joined in a new folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.commands.merge_rows import Source, join
from bench.errors import ResultsError
from bench.plan import Plan, make_plan
from bench.results import Manifest, Results, read_manifest
from bench.results.manifest import Word
from bench.suite import Suite, parse_suite


def merge(folders: Sequence[Path], out: Path, command: str = "") -> Path:
    """Join results folders into `out`, which must not exist or be empty, and return it.

    Raises:
        ResultsError: a folder holds no results, or those of another suite, of other versions, or dry beside trained
            ones; a run differs between two folders; or `out` cannot be written to. Nothing is left of `out` then.
    """
    _check_free(folders, out)
    manifests = [read_manifest(folder) for folder in folders]
    plan = _common_plan(folders, manifests)
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        _refuse_other(folders[0], manifests[0], folder, manifest)
    sources = [_source(folder, plan) for folder in folders]
    temporary = out.with_name(f".{out.name}.merging-{os.getpid()}")
    try:
        found = _write(Results(temporary), plan, sources)
        Results(temporary).write_manifest(_joined(folders, manifests, command))
        temporary.replace(out)
    except OSError as error:
        raise ResultsError(f"{out}: cannot be written to ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    missing = len(plan.runs) - found
    left = f"; {missing} are in none of them, and `bench run` trains those" if missing else ""
    print(f"{found} of {len(plan.runs)} runs from {len(folders)} folders{left}\n{out}")
    return out


def _check_free(folders: Sequence[Path], out: Path) -> None:
    try:
        twice = [folder for index, folder in enumerate(folders) if folder.resolve() in _resolved(folders[:index])]
        taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"{error.filename}: {error.strerror}.") from error
    if twice:
        raise ResultsError(f"{twice[0]} is named twice.")
    if taken:
        raise ResultsError(f"{out}: is there already, and not empty. Choose another --out: nothing is overwritten.")


def _resolved(folders: Sequence[Path]) -> set[Path]:
    return {folder.resolve() for folder in folders}


def _common_plan(folders: Sequence[Path], manifests: Sequence[Manifest]) -> Plan:
    """The plan of the first folder's suite, which must be every other's too."""
    first = _suite(folders[0], manifests[0])
    plan = make_plan(first)
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if (manifest.text, manifest.datasets) == (manifests[0].text, manifests[0].datasets):
            continue
        other = _suite(folder, manifest)
        difference = _difference(first, plan, other)
        if difference:
            raise ResultsError(f"{folders[0]} and {folder} are not of one suite: {difference}.")
    return plan


def _suite(folder: Path, manifest: Manifest) -> Suite:
    known = manifest.datasets
    return parse_suite(manifest.text, folder / "manifest.json", digest_of=lambda path: known.get(path, ""))


def _difference(first: Suite, plan: Plan, other: Suite) -> str:
    """In what another suite would train or record other things, whatever its text."""
    if first.name != other.name:
        return f'"{first.name}" and "{other.name}"'
    if first.record != other.record:
        return "their [record] differs"
    ours, theirs = ({run.run_id for run in each.runs} for each in (plan, make_plan(other)))
    if ours == theirs:
        return ""
    alone = f"{len(ours - theirs)} runs only the first plans, {len(theirs - ours)} only the second"
    return f"{alone}, among them {min(ours ^ theirs)}"


def _refuse_other(folder: Path, manifest: Manifest, other: Path, others: Manifest) -> None:
    if manifest.dry != others.dry:
        raise ResultsError(
            f"{folder} holds {manifest.kind} results and {other} {others.kind} ones, which are never mixed."
        )
    differ = [f"{name} {ours} and {theirs}" for name, (ours, theirs) in manifest.other_versions(others).items()]
    if differ:
        raise ResultsError(
            f"{folder} and {other} hold results of different versions ({', '.join(differ)}), which are never mixed."
        )


def _source(folder: Path, plan: Plan) -> Source:
    source = Source(folder)
    foreign = source.files.keys() - {run.run_id for run in plan.runs}
    if foreign:
        run = min(foreign)
        raise ResultsError(
            f"{folder}: {len(foreign)} runs are not planned by its suite, among them {run[:200]} in "
            f"{source.files[run]}.parquet. `bench run` sets aside what a suite does not plan."
        )
    for file in source.sizes:
        source.check(file)
    return source


def _write(results: Results, plan: Plan, sources: Sequence[Source]) -> int:
    """Write every cohort of which there are runs; returns how many runs there are.

    An incomplete one keeps its name, as after `bench run --only`: `bench run` trains the runs that it lacks.
    """
    known = set().union(*(source.files for source in sources))
    for cohort in plan.cohorts:
        runs = tuple(run for run in cohort.runs if run.run_id in known)
        if runs:
            results.write(cohort.key, join(replace(cohort, runs=runs), sources))
    return len(known)


def _joined(folders: Sequence[Path], manifests: Sequence[Manifest], command: str) -> Manifest:
    """The first folder's manifest, with all machines and incidents, the first start and the last end."""
    own = [
        manifest.sources
        or [{"folder": folder.resolve().name} | {k: getattr(manifest, k) for k in ("started", "ended", "machine")}]
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    ended = [manifest.ended for manifest in manifests if manifest.ended]
    names = manifests[0].machine
    return replace(
        manifests[0],
        machine={name: _together([manifest.machine.get(name) for manifest in manifests]) for name in names},
        command=command,
        started=min((manifest.started for manifest in manifests if manifest.started), default=None),
        ended=max(ended) if len(ended) == len(manifests) else None,
        incidents=[incident for manifest in manifests for incident in manifest.incidents],
        sources=[source for sources in own for source in sources],
    )


def _together(values: Sequence[Word]) -> Word:
    """The value that all machines share, or each of them once."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else "; ".join(map(str, distinct))
