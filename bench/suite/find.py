"""Which suites there are: those of the current folder, then those that are shipped with the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

from bench.errors import SuiteError, nearest

_PACKAGE = Path(__file__).parents[1]
# A wheel holds the suites in the package; of a checkout they stand beside it, where people edit them.
SHIPPED = next((each for each in (_PACKAGE / "suites", _PACKAGE.parent / "suites") if each.is_dir()), _PACKAGE)
SCHEMA = "suite.schema.json"


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
