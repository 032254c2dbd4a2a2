"""What a results folder holds of a plan, what is left to train, and the one writer of what ends."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from bench.commands.only import Fits
from bench.errors import ResultsError
from bench.executors.tables import Tables, join, without
from bench.plan import Cohort, Plan, Run, estimate_seconds
from bench.results import Manifest, Results, now, read_manifest
from bench.schema import RunStatus
from bench.text import plural


@dataclass
class Found:
    """Runs by what became of them, and the cohorts or parts of cohorts that are left, longest first.

    Attributes:
        statuses: of the planned runs that are in the folder and stay there.
        left_out: planned runs that are not in the folder and that `--only` leaves for another time.
        retried: failed runs that are to be tried again, by their cohorts; the folder holds them until then.
        partial: the cohorts that have some of their runs in the folder.
        damaged: cohorts that were done, and have a file that is missing or damaged.
        discards: whether everything that the folder holds is to be replaced.
    """

    plan: Plan
    discards: bool = False
    superseded: int = 0
    damaged: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    left: list[Cohort] = field(default_factory=list)
    left_out: int = 0
    retried: dict[str, list[str]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)

    def count_retried(self) -> int:
        """How many runs are to be tried again."""
        return sum(map(len, self.retried.values()))

    def sentences(self) -> list[str]:
        """What was found, for people."""
        done, failed = self.statuses.total(), self.statuses[RunStatus.FAILED]
        left = sum(len(cohort.runs) for cohort in self.left)
        planned = f"{plural(len(self.plan.runs), 'run')} in {plural(len(self.plan.cohorts), 'cohort')}"
        said = [f"{planned}: {done} done earlier, {left} to run"]
        if self.left_out:
            said[0] += f", {self.left_out} left out by --only"
        if failed:
            said.append(f"{failed} of those done have failed and are left alone; --retry-failed tries them again")
        if self.retried:
            said.append(f"{self.count_retried()} of those to run have failed before")
        if self.damaged:
            said.append(f"{plural(self.damaged, 'cohort')} with a missing or damaged file to be trained again")
        if self.superseded:
            said.append(f"{self.superseded} cohorts that the suite no longer plans were moved to superseded/")
        return said


def continued(results: Results, manifest: Manifest, plan: Plan) -> Manifest:
    """A new manifest with what stays of the folder's own: incidents, and the folders it was merged from.

    First it is checked that the results here may stay beside new ones. That another processor, oneDNN or number of
    threads goes on with them is said, and is an incident.

    Raises:
        ResultsError: the folder holds results of another kind, of other versions or of another suite, or its manifest
            cannot be read.
    """
    if not results.holds_tables():
        return manifest
    if not (results.folder / "manifest.json").exists():
        raise ResultsError(
            f"{results.folder} holds tables but no manifest.json, so that nobody knows which versions made them. "
            "Use --fresh to train all again, or --out for another folder."
        )
    before = read_manifest(results.folder)
    if before.dry != manifest.dry:
        raise ResultsError(f"{results.folder} holds {before.kind} results. Use --fresh to replace them, or --out.")
    changed = [f"{name} {old} -> {new}" for name, (old, new) in before.other_versions(manifest).items()]
    if changed:
        raise ResultsError(
            f"{results.folder} holds results of other versions ({', '.join(changed)}), which are never mixed. "
            "Use --fresh to train all again, or --out for another folder."
        )
    if _another_suite(before, manifest) and not results.holds_any({run.run_id for run in plan.runs}):
        raise ResultsError(
            f'{results.folder} holds results of another suite named "{before.suite}"'
            f"{f' ({before.suite_file})' if before.suite_file else ''}, and this one plans none of its runs. "
            "Give this suite another [suite] name, use --out for another folder, or --fresh to replace what is there."
        )
    _refuse_another_version(results, before, plan)
    incidents, other = before.incidents, before.other_arithmetic(manifest)
    if other:
        said = f"other arithmetic ({other}): last digits may differ"
        incidents = [*incidents, {"at": now(), "status": "another machine", "measure": "kept", "reason": said}]
        print(f"{results.folder} goes on with {said}.", file=sys.stderr)
    return replace(manifest, incidents=incidents, sources=before.sources)


def _refuse_another_version(results: Results, before: Manifest, plan: Plan) -> None:
    """Refuse to train again, and so to replace, what another version of gradtrial wrote and this one reads.

    Raises:
        ResultsError: the folder holds such cohorts of the plan.
    """
    found = results.of_another_version(cohort.key for cohort in plan.cohorts)
    if found:
        made = before.versions.get("gradtrial", "not known")
        raise ResultsError(
            f"{results.folder} holds {plural(len(found), 'cohort')} in tables of another gradtrial ({made}; "
            f"{next(iter(found.values()))}), which are never mixed. `bench report` and `bench compare` read them as "
            "they are. Use --fresh to train all again, or --out for another folder."
        )


def _another_suite(before: Manifest, manifest: Manifest) -> bool:
    """Whether a suite has another name, file or question than the one whose results are there."""
    same_file = before.suite_file in ("", manifest.suite_file)
    return not same_file or (before.suite, before.question) != (manifest.suite, manifest.question)


def look(results: Results, plan: Plan, fits: Fits | None, *, retry_failed: bool) -> Found:
    """Compare a folder with a plan. Cohorts that are no longer planned are moved away."""
    keys = [cohort.key for cohort in plan.cohorts]
    found = Found(plan, superseded=results.arrange(keys))
    done = results.done(keys)
    found.damaged = len(results.present(keys) - done)
    for cohort in plan.cohorts:
        held = results.statuses(cohort.key) if cohort.key in done else {}
        again = [
            run.run_id
            for run in cohort.runs
            if retry_failed and held.get(run.run_id) == RunStatus.FAILED and _fits(fits, run)
        ]
        if again:
            found.retried[cohort.key] = again
            held = {run_id: status for run_id, status in held.items() if run_id not in again}
        missing = [run for run in cohort.runs if run.run_id not in held]
        wanted = tuple(run for run in missing if _fits(fits, run))
        found.statuses.update(held.values())
        found.left_out += len(missing) - len(wanted)
        if held or again:
            found.partial.add(cohort.key)
        if wanted:
            found.left.append(replace(cohort, runs=wanted))
    found.left.sort(key=estimate_seconds, reverse=True)
    return found


def _fits(fits: Fits | None, run: Run) -> bool:
    return fits is None or fits(run.choices)


class Keeper:
    """The one writer of a folder's tables and of its manifest while a suite runs.

    What ends stands beside the runs of the same cohort that are there already. What is to be replaced is discarded
    when there is something to write, so that a run that cannot start leaves the folder as it was.
    """

    def __init__(self, results: Results, found: Found, manifest: Manifest) -> None:
        self.results = results
        self.found = found
        self.manifest = manifest
        self.begun = False
        self.planned = {cohort.key: cohort for cohort in found.plan.cohorts}
        self.partial = set(found.partial)

    def keep(self, part: Cohort, made: Tables) -> None:
        """Write the tables of a cohort, or of some of its runs.

        Raises:
            ResultsError: the disk is full or the folder cannot be written to.
        """
        if not self.begun:
            self.note()
        if part.key in self.partial:
            # Rows of these runs are there already where a driver was killed between a cohort's files.
            held = without(self.results.read(part.key), [run.run_id for run in part.runs])
            made = join(self.planned[part.key], [held, made])
        self.results.write(part.key, made)
        self.partial.add(part.key)

    def note(self, **changes: Any) -> None:
        """Change fields of the manifest and write it."""
        if not self.begun:
            self.begun = True
            self._discard()
        self.manifest = replace(self.manifest, **changes)
        self.results.write_manifest(self.manifest)

    def _discard(self) -> None:
        """Take out of the folder what is to be trained again."""
        if self.found.discards:
            self.results.clear()
        for cohort, runs in self.found.retried.items():
            self.results.forget(cohort, runs)
