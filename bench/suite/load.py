"""Which suites there are, those of the current folder before those that are shipped, and a TOML file → a `Suite`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench.errors import SuiteError, during, nearest
from bench.factors import FACTORS, Choice, choose, content_digest, content_of, inner_tables, show
from bench.factors import OWN as OF_RECORDINGS
from bench.rules import RulesChoice, choose_rules
from bench.suite.cells import (
    OWN,
    Cell,
    ChoiceOf,
    Levels,
    PartialCell,
    check_combinations,
    check_size,
    expand,
    own_level,
    read_partial,
)
from bench.suite.claims.cells import CellNames
from bench.suite.claims.model import Claim
from bench.suite.claims.read import read_claims
from bench.suite.file import SuiteFile, parse, read_text
from bench.suite.record import EVERY, Record, read_record
from bench.suite.report import ReportTable, read_report

_PACKAGE = Path(__file__).parents[1]
# A wheel holds the suites in the package; of a checkout they stand beside it, where people edit them.
SHIPPED = next((each for each in (_PACKAGE / "suites", _PACKAGE.parent / "suites") if each.is_dir()), _PACKAGE)
SCHEMA = "suite.schema.json"


@dataclass(frozen=True)
class Suite:
    """A question, its factors, fixed settings, replicates and seed.

    `factors` holds each factor that varies, with all its levels in the suite's order: those of `[factors]` first,
    then those that only an `[[include]]` names. `fixed` holds every other factor, defaults filled in.
    `cells` are the combinations to run: the product of `[factors]`, less each `exclude`, with each `include` added.
    """

    name: str
    title: str | None
    question: str
    replicates: int
    seed: int
    factors: Mapping[str, tuple[Choice, ...]]
    fixed: Mapping[str, Choice]
    include: tuple[PartialCell, ...]
    exclude: tuple[PartialCell, ...]
    cells: tuple[Cell, ...]
    record: Record
    verdicts: RulesChoice
    report: ReportTable
    claims: tuple[Claim, ...]
    text: str
    path: Path

    @property
    def digests(self) -> dict[str, str]:
        """The digests of contents that may be others elsewhere, by file or module; what cannot be read is left out."""
        choices = self.factors.get("dataset") or (self.fixed["dataset"],)
        return {content_of(choice): choice.digest for choice in choices if choice.digest}

    def schedules(self, steps: int, inner: Container[str] = EVERY) -> dict[str, tuple[int, ...]]:
        """For each recorded table, its steps in a run of `steps` updates, ascending; see `Record.schedules`."""
        return self.record.schedules(steps, inner)


def load_suite(path: Path, *, plugins: bool = True) -> Suite:
    """Read a suite file, check it and expand its cells; without `plugins`, one that names `module:name` is refused.

    Raises:
        SuiteError: the file is missing or cannot be run; the message says where and what is allowed.
    """
    return parse_suite(read_text(path), path, plugins=plugins, digest_of=content_digest)


def parse_suite(
    text: str, path: Path, *, plugins: bool = True, digest_of: Callable[[str], str] = lambda path: ""
) -> Suite:
    """The same of a text, which messages say stands in `path`; `digest_of` a dataset's content is known otherwise.

    Raises:
        SuiteError: it cannot be run.
    """
    with during(f"{path}:"):
        file = parse(text)
        suite = _build(file, text, path, cache(digest_of))
        if not plugins:
            refuse_plugins(file)
        return suite


def _build(file: SuiteFile, text: str, path: Path, digest_of: Callable[[str], str]) -> Suite:
    def choice_of(name: str, written: object) -> Choice:
        choice = choose(FACTORS[name], written)
        content = content_of(choice) if name == "dataset" else ""
        return replace(choice, digest=digest_of(content)) if content else choice

    if file.suite.name == OF_RECORDINGS:
        raise SuiteError(f'[suite] name: "{OF_RECORDINGS}" is what recordings of your trainings go by. Choose another.')
    varied = _read_factors(file.factors, choice_of)
    unnamed = FACTORS.keys() - varied.keys() - file.fixed.keys()
    levels = Levels(varied, _read_fixed(file.fixed, varied, choice_of), choice_of, unnamed)
    exclude = _read_parts("exclude", levels, file.exclude)
    include = _read_parts("include", levels, file.include)
    cells = expand(levels, exclude, include)
    check_combinations(cells)
    check_size(len(cells), file.suite.replicates)
    steps = max(int(cell["steps"].value or 0) for cell in cells)
    record = read_record(file.record, steps, frozenset().union(*map(inner_tables, cells)))
    return Suite(
        **file.suite.model_dump(),
        factors=levels.varied,
        fixed=levels.fixed,
        include=include,
        exclude=exclude,
        cells=cells,
        record=record,
        verdicts=choose_rules(file.verdicts),
        report=read_report(file.report, levels),
        claims=read_claims(file.claims, CellNames(levels, cells, file.suite.replicates, record)),
        text=text,
        path=path,
    )


def _read_factors(written: Mapping[str, object], choice_of: ChoiceOf) -> dict[str, tuple[Choice, ...]]:
    if not written:
        raise SuiteError("[factors] is empty: name at least one factor and its levels.")
    return {name: _read_levels(name, value, choice_of) for name, value in written.items()}


def _read_levels(name: str, written: object, choice_of: ChoiceOf) -> tuple[Choice, ...]:
    with during(f"[factors] {name}:"):
        _check_factor(name)
        if not isinstance(written, list):
            raise SuiteError(f"{show(written)} is not a list. Write [{show(written)}], or move it to [fixed].")
        if not written:
            raise SuiteError("the list is empty: give at least one level.")
        levels: dict[str, Choice] = {}
        for value in written:
            choice = choice_of(name, value)
            if levels.setdefault(repr(choice.meaning), choice) is not choice:
                raise SuiteError(f"{show(value)} is there twice.")
        return tuple(levels.values())


def _read_fixed(
    written: Mapping[str, object], varied: Mapping[str, tuple[Choice, ...]], choice_of: ChoiceOf
) -> dict[str, Choice]:
    fixed = {name: choose(factor, factor.default) for name, factor in FACTORS.items() if name not in varied}
    for name, value in written.items():
        with during(f"[fixed] {name}:"):
            _check_factor(name)
            if name in varied:
                raise SuiteError("it is in [factors] too. A factor either varies or is fixed.")
            if isinstance(value, list):
                raise SuiteError(f"{show(value)} is a list. Give one level, or move it to [factors].")
            fixed[name] = choice_of(name, value)
    network = fixed["architecture"] if "architecture" in fixed else varied["architecture"][0]
    own = {name: choose(FACTORS[name], own_level(name, network)) for name in OWN if name not in varied}
    return fixed | {name: choice for name, choice in own.items() if name not in written}


def _read_parts(kind: str, levels: Levels, written: list[dict[str, object]]) -> tuple[PartialCell, ...]:
    parts = []
    for number, part in enumerate(written, 1):
        with during(f"[[{kind}]] {number}:"):
            parts.append(read_partial(levels, part, add=kind == "include"))
    return tuple(parts)


def _check_factor(name: str) -> None:
    if name not in FACTORS:
        raise SuiteError(f"{show(name)} is not a factor. {nearest(name, FACTORS)}")


def refuse_plugins(file: SuiteFile) -> None:
    """Refuse a suite, already found right, that names anything as `module:name`; nothing is imported to find out.

    Raises:
        SuiteError: it does; the message names the key, the plugin, and the levels that need none.
    """
    for key, name, written in _written(file):
        factor = FACTORS[name]
        if not factor.plugins:
            continue
        level = choose(factor, written).name
        if factor.level(level) is None:
            known = nearest(level, [each.name for each in factor.levels])
            raise SuiteError(f"{key}: {show(level)} is code from outside the project; --no-plugins refuses it. {known}")


def _written(file: SuiteFile) -> Iterator[tuple[str, str, object]]:
    """Each level that a suite may bring: its key, its factor, and as it is written."""
    for name, levels in file.factors.items():
        yield from ((f"[factors] {name}", name, level) for level in levels)
    yield from ((f"[fixed] {name}", name, level) for name, level in file.fixed.items())
    for number, part in enumerate(file.include, 1):
        for name, written in part.items():
            levels = written if isinstance(written, list) else [written]
            yield from ((f"[[include]] {number}: {name}", name, level) for level in levels)


def known_suites() -> dict[str, Path]:
    """Every suite by the name that commands take: `default`, `claims/he-2015`.

    A suite of the current folder or of its folder `suites` hides a shipped one of the same name.
    """
    found = {path.stem: path for path in sorted(Path().glob("*.toml")) if _is_suite(path)}
    for folder in (Path("suites"), SHIPPED):
        for path in sorted(folder.rglob("*.toml")):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def find_suite(given: str) -> Path:
    """The file that a suite argument means: a file, or the name of a known suite.

    Raises:
        SuiteError: there is none.
    """
    folders = (Path(), Path("suites"), SHIPPED)
    for path in (Path(given), *(folder / f"{given}.toml" for folder in folders)):
        try:
            if path.is_file():
                return path
        except OSError as error:  # a name that no file can have
            raise SuiteError(f'"{given[:60]}...": not a file\'s name ({error.strerror}).') from error
    raise SuiteError(f'no suite file "{given}", and none of that name here, in suites/ or shipped. {_others(given)}')


def _others(given: str) -> str:
    return nearest(given.removeprefix("suites/").removesuffix(".toml"), sorted(known_suites()))


def _is_suite(path: Path) -> bool:
    """Whether a TOML file means to be a suite: another program's file stands in many folders."""
    try:
        return "suite" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
