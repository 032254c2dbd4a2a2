"""The folder of a site: made new, or made anew where `bench site` made it before; what others put there stays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from bench.errors import ResultsError
from bench.results.files import write_atomically

MARK = "site.json"
MADE_BY = "bench site"


def refuse(folder: Path, used: Iterable[Path]) -> None:
    """Refuse a folder that is not a site's to write into, before anything is read.

    Raises:
        ResultsError: it is a file, holds what `bench site` did not make, or is or holds what the site is made of.
    """
    if folder.exists() and not folder.is_dir():
        raise ResultsError(f"{folder}: is a file. Name a folder for the site.")
    for each in used:
        if each.resolve().is_relative_to(folder.resolve()):
            raise ResultsError(f"{folder}: the site is made of {each}, which is in it. Name another folder.")
    _own(folder)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a site, and take away what was of it before and is no more.

    Raises:
        ResultsError: the folder holds what `bench site` did not make, or cannot be written to.
    """
    before = _own(folder)
    for path in files:
        if path not in before and (folder / path).exists():
            raise ResultsError(f"{folder / path}: `bench site` did not make it, and has one of its own: move it away.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _mark(folder, before | files.keys())  # what a broken-off run leaves is known to be a site's
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / path, content)
        for path in before - files.keys():
            _remove(folder, path)
        _mark(folder, files.keys())
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be written to ({error.strerror or error}).") from error


def _own(folder: Path) -> set[str]:
    """The paths of the site that is there; none of a new folder or one with hidden files alone."""
    if not folder.is_dir():
        return set()
    try:
        if not (folder / MARK).is_file():
            if any(not each.name.startswith(".") for each in folder.iterdir()):
                raise ResultsError(
                    f"{folder}: holds files that `bench site` did not make. Name a new folder, or empty this one."
                )
            return set()
        said = json.loads((folder / MARK).read_text("utf-8"))
        if said["made_by"] != MADE_BY:
            raise ValueError(said["made_by"])
        return {path for path in map(str, said["files"]) if _inside(path)}
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError):
        raise ResultsError(
            f"{folder / MARK}: is not as `bench site` writes it. Name a new folder, or empty this one."
        ) from None


def _inside(path: str) -> bool:
    """Whether a path leads to nothing outside the folder, whoever wrote it down."""
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts)


def _mark(folder: Path, paths: Iterable[str]) -> None:
    text = json.dumps({"made_by": MADE_BY, "files": sorted(paths)}, indent=1)
    write_atomically(folder / MARK, f"{text}\n".encode())


def _remove(folder: Path, path: str) -> None:
    """Take a file away, and the folders that it leaves empty."""
    (folder / path).unlink(missing_ok=True)
    for parent in (folder / path).parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
