"""What a results folder says of itself: `manifest.json`, read and written here alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from bench import environment
from bench.errors import ResultsError, printable
from bench.plan import Plan
from bench.results.files import reason_of, write_atomically
from bench.suite import Suite

NAME = "manifest.json"
VERSION = 2  # of what the manifest holds; 1, which names none, did not know the suite's file
Word = str | int | float | bool | None


@dataclass(frozen=True)
class Planned:
    """How much a suite plans."""

    cells: int
    runs: int
    cohorts: int


@dataclass(frozen=True)
class Manifest:
    """A suite, what made its results, and how that went. What has a default is absent from some older folders.

    Attributes:
        suite: its name. `suite_file` is its file's, without the folders above; "" where it is not known.
        text: the whole of that file. `sha256` is its digest.
        factors: the levels of each factor that varies, as the tables hold them. `fixed` are those of the others.
        datasets: the digests of datasets' contents that may be others elsewhere, by path or module.
        versions, machine: as `bench.environment` finds them; after a merge, what all machines share or each of them.
        verdicts: the suite's choice of rules, as `bench.rules.choose_rules` reads it.
        report: which factor its recipes are for, and their baseline: `bench.suite.report`, levels as in the tables.
        started, ended: in ISO 8601. `ended` is None until every run that was asked for has ended.
        incidents: cohorts that did not come back, and what was done about each.
        sources: the folders that were merged into this one.
        unseen: of runs that were recorded of one's own training, by run, what was not seen and why.
    """

    suite: str
    question: str
    text: str
    replicates: int
    factors: Mapping[str, Sequence[Word]]
    fixed: Mapping[str, Word]
    planned: Planned
    versions: Mapping[str, Word]
    title: str | None = None
    suite_file: str = ""
    sha256: str = ""
    seed: int = 0
    datasets: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Any] | None = None
    report: Mapping[str, Any] | None = None
    dry: bool = False
    machine: Mapping[str, Word] = field(default_factory=dict)
    command: str | None = None
    started: str | None = None
    ended: str | None = None
    incidents: Sequence[Mapping[str, Any]] = ()
    sources: Sequence[Mapping[str, Any]] = ()
    unseen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, suite: Suite, plan: Plan, *, dry: bool = False, command: str = "", threads: int = 1) -> Manifest:
        """A suite's manifest at the start of a run on this machine; `threads` are TensorFlow's, of each worker."""
        return cls(
            suite=suite.name,
            title=suite.title or suite.name,
            question=suite.question,
            text=suite.text,
            suite_file=suite.path.name,
            sha256=sha256(suite.text.encode()).hexdigest(),
            seed=suite.seed,
            replicates=suite.replicates,
            factors={name: [choice.column for choice in choices] for name, choices in suite.factors.items()},
            fixed={name: choice.column for name, choice in suite.fixed.items()},
            datasets=suite.digests,
            verdicts=suite.verdicts.as_written(),
            report=suite.report.as_written(),
            planned=Planned(len(suite.cells), len(plan.runs), len(plan.cohorts)),
            dry=dry,
            versions=environment.versions(),
            machine=environment.machine(threads),
            command=command,
            started=now(),
        )

    @property
    def heading(self) -> str:
        """The suite's title, or its name where it has none."""
        return self.title or self.suite

    @property
    def kind(self) -> str:
        """How the numbers were made: `dry` (by formula) or `trained`."""
        return "dry" if self.dry else "trained"

    def other_versions(self, other: Manifest) -> dict[str, tuple[Word, Word]]:
        """Versions that numbers depend on and that differ: name → ours and the other's."""
        pairs = {name: (self.versions.get(name), other.versions.get(name)) for name in environment.DECIDING}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def other_arithmetic(self, other: Manifest) -> str:
        """In what the machines differ that last digits depend on, as far as both are known; empty where in nothing."""
        ours, theirs = ({} if each.dry else each.machine for each in (self, other))
        names = [n for n in environment.ARITHMETIC if n in ours and n in theirs and ours[n] != theirs[n]]
        return ", ".join(f"{name.replace('_', ' ')} {ours[name]} and {theirs[name]}" for name in names)

    def write(self, folder: Path) -> None:
        """Replace the manifest of a results folder.

        Raises:
            OSError: the disk is full or the folder cannot be written to.
        """
        write_atomically(folder / NAME, (json.dumps({"version": VERSION} | asdict(self), indent=2) + "\n").encode())


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a results folder, of this version or an older one.

    Raises:
        ResultsError: it is missing, not JSON, of a newer version, lacks a key or has a value of a wrong type.
    """
    path = folder / NAME
    found = _parsed(path)
    version = found.get("version", 1)
    if not isinstance(version, int) or version > VERSION:
        shown = printable(json.dumps(version))[:100]
        raise ResultsError(f"{path} is of version {shown}, and this gradtrial reads up to {VERSION}: use a newer one.")
    required = [each.name for each in fields(Manifest) if each.default is each.default_factory is MISSING]
    missing = [name for name in required if name not in found]
    if missing:
        raise ResultsError(f"{path} lacks {', '.join(missing)}. {_anew(folder)}")
    known = {name: found[name] for name in get_type_hints(Manifest) if name in found}
    for name, hint in get_type_hints(Manifest).items():
        if name in known and not _fits(known[name], hint):
            shown = printable(json.dumps(known[name]))[:100]
            raise ResultsError(f"{path} is not as `bench run` writes it: {name} is {shown}. {_anew(folder)}")
    planned = Planned(**{name: known["planned"][name] for name in get_type_hints(Planned)})
    return Manifest(**known | {"planned": planned})


def _parsed(path: Path) -> dict[str, Any]:
    """The object that a file holds as JSON."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could be written nowhere
    except FileNotFoundError as error:
        raise ResultsError(
            f"{path.parent}: no {NAME} here. Is this a results folder (reports/<suite>)? `bench run SUITE` makes one."
        ) from error
    except NotADirectoryError as error:
        raise ResultsError(f"{path.parent} is a file: name a results folder (reports/<suite>).") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read ({reason_of(error)}). {_anew(path.parent)}") from error
    if not isinstance(found, dict):
        raise ResultsError(
            f"{path}: cannot be read (it holds {type(found).__name__}, not an object). {_anew(path.parent)}"
        )
    return found


def _anew(folder: Path) -> str:
    """What is left to do where a folder's manifest is lost."""
    return f"Put a copy of it back, or `bench run SUITE --out {folder} --fresh` makes the results anew."


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value of JSON is what a field's type says."""
    inner = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in inner)
    if get_origin(hint) is Mapping:
        return isinstance(value, dict) and all(_fits(each, inner[1]) for each in value.values())
    if get_origin(hint) is Sequence:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    if is_dataclass(hint):
        return isinstance(value, dict) and all(_fits(value.get(n), t) for n, t in get_type_hints(hint).items())
    return hint is Any or type(value) is hint
