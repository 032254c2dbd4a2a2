"""Files that appear whole and stay: written aside, flushed to disk, renamed, their folder flushed after."""

from __future__ import annotations

import os
from pathlib import Path

ASIDE = ".writing"


def place(path: Path, content: bytes) -> None:
    """Put a file where none or an older one is; at every moment, a power failure too, it is the old one or the new.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    try:
        set_down(write_aside(path, content), path)
    finally:
        aside(path).unlink(missing_ok=True)


def aside(path: Path) -> Path:
    """Where a file stands until it is whole."""
    return path.with_name(f"{path.name}{ASIDE}")


def write_aside(path: Path, content: bytes) -> Path:
    """Write what is to stand at `path` aside and flush it; returns where it is."""
    make_folder(path.parent)
    with aside(path).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return aside(path)


def set_down(written: Path, path: Path) -> None:
    """Rename a file that was written aside to its own name, for good."""
    written.replace(path)
    flush(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each flushed into the one that holds it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def flush(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
