"""Two results folders read, refused where they cannot be compared, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import reference
from bench.analysis.compare import TIME, Comparison, NotComparable, Side, changed_tables, compare
from bench.analysis.compare.pairs import refuse_missing
from bench.analysis.compare.sides import own_sides, side_of
from bench.analysis.tables import Tables, words_of_python
from bench.errors import ResultsError
from bench.factors import OWN
from bench.results import Manifest, read_manifest, read_tables
from bench.results.differences import Difference, differences, made_by_former
from bench.rules import choose_rules

NO_GPUS = "none"  # as a manifest's machine has it
REFERENCE = "reference"  # BASE: the results that ship


@dataclass(frozen=True)
class Compared:
    """A comparison with what it is of.

    Attributes:
        names: how the command line calls both.
        manifest: the candidate's.
        versions: those of the stack that both share, as `name version`.
        differences: what the manifests say that differs.
        tables: those that are not equal to the bit; empty with reference results, which hold none.
        comparison: what it comes to.
    """

    names: tuple[str, str]
    manifest: Manifest
    versions: Mapping[str, tuple[str, str]]
    differences: tuple[Difference, ...]
    tables: tuple[str, ...]
    comparison: Comparison

    @property
    def unexplained(self) -> bool:
        """Whether numbers differ although nothing does that could make them: one seed, suite, machine and versions.

        On one processor the same code gives the same bits; a GPU may add in another order each time.
        """
        gpus = self.manifest.machine.get("gpus", NO_GPUS) != NO_GPUS
        return bool(self.tables) and self.comparison.first is not None and not self.differences and not gpus


@words_of_python()
def read_compared(base: Path, candidate: Path, margins: Mapping[str, float] | None = None) -> Compared:
    """Compare two results folders, or the shipped results of a suite with a folder.

    Raises:
        NotComparable: they are of two suites, one lacks runs or is not finished, it is one folder twice, or no
            reference results of the suite ship.
        ResultsError: one cannot be read.
    """
    if str(candidate) == REFERENCE and not candidate.exists():
        raise NotComparable(f"reference results stand first: `bench compare {REFERENCE} {base}`.")
    theirs = _manifest(candidate)
    if str(base) == REFERENCE:
        return _with_reference(candidate, theirs, margins)
    ours = _manifest(base)
    if base.resolve() == candidate.resolve():
        raise NotComparable(f"{base} and {candidate} are one folder: there is nothing to compare.")
    _refuse(base, ours, candidate, theirs)
    found = differences(ours, theirs)
    _refuse_timing(margins, found)
    both = read_tables(base), read_tables(candidate)
    _refuse_missing((base, candidate), (ours, theirs), both)
    changed = changed_tables(*both)
    rules = choose_rules(ours.verdicts)
    one, two = (
        side_of(str(folder), tables, rules, manifest.seed)
        for folder, tables, manifest in zip((base, candidate), both, (ours, theirs), strict=True)
    )
    if ours.suite == OWN:
        one, two = own_sides(one, two)
    told = compare(one, two, margins, identical=not changed and TIME.name not in (margins or {}))
    found += tuple(Difference("settings", name.replace("_", " "), *sides) for name, *sides in told.pairs.settings)
    _refuse_unmeasured(margins, told)
    return Compared((str(base), str(candidate)), theirs, _stack(ours.versions, theirs.versions), found, changed, told)


def _with_reference(folder: Path, manifest: Manifest, margins: Mapping[str, float] | None) -> Compared:
    if manifest.dry:
        raise NotComparable(f"{folder} holds {manifest.kind} results, and reference results were trained.")
    if manifest.suite not in reference.names():
        raise NotComparable(
            f'{folder} holds the suite "{manifest.suite}", and reference results are of gradtrial\'s own suites, '
            f"such as default or upgrade. `bench compare BASE {folder}` compares with results of yours."
        )
    known = reference.read(manifest.suite)
    _refuse_unfinished(folder, manifest)
    found = tuple(
        Difference(kind, name.replace("_", " "), str(one.get(name, "not known")), str(two.get(name, "not known")))
        for kind, one, two in (
            ("versions", known.versions, manifest.versions),
            ("machine", known.machine, manifest.machine),
        )
        for name in dict.fromkeys((*one, *two))
        if str(one.get(name)) != str(two.get(name))
    )
    if known.sha256 != manifest.sha256:
        found += (Difference("suite", "digest of the suite's file", known.sha256[:10], manifest.sha256[:10]),)
    _refuse_timing(margins, found)
    tables = read_tables(folder)
    refuse_missing(str(folder), REFERENCE, len(tables["runs"]), manifest.planned.runs, _again(folder, manifest))
    runs = known.runs
    if known.timed:
        runs = runs.assign(milliseconds_per_step=1000.0 * runs[reference.SECONDS])
    side = side_of(str(folder), tables, choose_rules(manifest.verdicts), None)
    told = compare(Side(REFERENCE, runs), side, margins)
    _refuse_unmeasured(margins, told)
    return Compared((REFERENCE, str(folder)), manifest, _stack(known.versions, manifest.versions), found, (), told)


def _manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if made_by_former(manifest):
        again = "record it anew" if manifest.suite == OWN else f"`{_again(folder, manifest)} --fresh` makes it anew"
        raise ResultsError(f"{folder} was made by gradbench, as gradtrial was called before: {again}.")
    return manifest


def _refuse(base: Path, ours: Manifest, candidate: Path, theirs: Manifest) -> None:
    if ours.suite != theirs.suite:
        raise NotComparable(
            f'{base} holds the suite "{ours.suite}" and {candidate} "{theirs.suite}": results of one suite compare.'
        )
    if ours.dry != theirs.dry:
        raise NotComparable(f"{base} holds {ours.kind} results and {candidate} {theirs.kind} ones.")
    for folder, manifest in ((base, ours), (candidate, theirs)):
        _refuse_unfinished(folder, manifest)


def _refuse_unfinished(folder: Path, manifest: Manifest) -> None:
    if manifest.started and not manifest.ended:
        raise NotComparable(f"{folder} is not finished: `{_again(folder, manifest)}` goes on with it.")


def _refuse_missing(
    folders: tuple[Path, Path], manifests: tuple[Manifest, Manifest], tables: tuple[Tables, Tables]
) -> None:
    """Both may lack the same runs, as after the same `--only`."""
    held = [set(zip(each["runs"]["cell_key"], each["runs"]["replicate"], strict=True)) for each in tables]
    if held[0] == held[1]:
        return
    for at, (folder, manifest) in enumerate(zip(folders, manifests, strict=True)):
        again = _again(folder, manifest)
        refuse_missing(str(folder), str(folders[1 - at]), len(held[at]), manifest.planned.runs, again)


def _refuse_timing(margins: Mapping[str, float] | None, found: tuple[Difference, ...]) -> None:
    other = [f"{each.what} {each.base} and {each.candidate}" for each in found if each.kind == "machine"]
    if TIME.name in (margins or {}) and other:
        raise NotComparable(f"time is judged on one machine only, and these differ: {'; '.join(other)}.")


def _refuse_unmeasured(margins: Mapping[str, float] | None, told: Comparison) -> None:
    for name in margins or {}:
        if name not in told.margins:
            raise NotComparable(f"--margin {name}: no pair has this number on both sides. Leave it out.")


def _again(folder: Path, manifest: Manifest) -> str:
    return f"bench run {manifest.suite_file or manifest.suite} --out {folder}"


def _stack(base: Mapping[str, object], candidate: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    names = ("python", "tensorflow", "keras", "numpy", "gradtrial")
    return {name: (str(base.get(name, "–")), str(candidate.get(name, "–"))) for name in names}
