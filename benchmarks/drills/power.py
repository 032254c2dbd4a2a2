"""A drill that no process can be put through: the power fails.

A driver's operations on files are noted in their order: files written, flushed, renamed and removed, folders made and
flushed. From the first so many of them follow the states that a disk may be in when the power fails there. Nothing is
taken for granted that was not flushed: of the names that changed in a folder since its last flush any may have reached
the disk and any not, whatever their order; what was written to a file since may be there, cut short, or zeros. One such
state after the other is laid out in a folder, and `bench run` goes on from it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.commands.found import Keeper
from bench.errors import BenchError
from bench.results import Results, read_tables
from benchmarks.drills.scene import Scene

PARTS = ('activation == "tanh" and clipping == "none"', 'depth > 4 and activation == "tanh"', "")
Change = tuple[str, Path, Path | None]  # "link", "rename" or "unlink", a name, and what it is renamed to


@dataclass
class File:
    """What was written to a file, and what of it was flushed; a folder holds nothing of its own."""

    content: bytes | None
    flushed: bytes | None = None

    def left(self, chance: random.Random) -> bytes:
        """What the disk may hold of it."""
        if self.flushed is not None or self.content is None:
            return self.flushed or b""
        return chance.choice([b"", self.content[: len(self.content) // 2], bytes(len(self.content)), self.content])


@dataclass
class Disk:
    """Names on the disk, and changes to each folder's names that were not flushed yet."""

    seen: dict[Path, File] = field(default_factory=dict)  # as a program sees it
    names: dict[Path, File] = field(default_factory=dict)
    pending: dict[Path, list[tuple[Change, File]]] = field(default_factory=dict)

    def apply(self, operation: str, path: Path, more: Any) -> None:
        """Follow one operation."""
        if operation == "flush" and more is None:
            for change, file in self.pending.pop(path, []):
                _change(self.names, change, file)
        elif operation == "flush":
            self.seen[path].flushed = more
        else:
            file = File(more) if operation == "link" else self.seen[path]
            change = (operation, path, more if operation == "rename" else None)
            _change(self.seen, change, file)
            self.pending.setdefault(path.parent, []).append((change, file))

    def after_failure(self, chance: random.Random) -> Mapping[Path, File]:
        """Names that the disk may hold; those in folders that are lost are lost too."""
        names = dict(self.names)
        for changes in self.pending.values():
            share = chance.choice([0.0, 0.5, 1.0])
            for change, file in changes:
                if chance.random() < share:
                    _change(names, change, file)
        folders = {path for path, file in names.items() if file.content is None}
        root = min(self.seen, key=lambda path: len(path.parts)).parent
        above = {path: [each for each in path.parents if root in each.parents] for path in names}
        return {path: file for path, file in names.items() if folders.issuperset(above[path])}


def _change(names: dict[Path, File], change: Change, file: File) -> None:
    kind, path, to = change
    if kind == "link":
        names[path] = file
    else:
        names.pop(path, None)
    if to is not None:
        names[to] = file


class Journal:
    """The operations on files below a folder, and how many runs were written for good after so many of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.operations: list[tuple[str, Path, Any]] = []
        self.kept: list[tuple[int, str, list[str]]] = []
        self.known: set[Path] = set()

    def note(self, operation: str, path: Path, more: Any = None) -> None:
        """Note an operation; the file that it is about may be new."""
        if path != self.folder and self.folder not in path.parents and self.folder.parent != path:
            return
        if operation != "link" and path not in self.known and path.is_file():
            self.note("link", path, path.read_bytes())
        self.known.add(path)
        self.operations.append((operation, path, more))
        if operation in ("rename", "unlink"):
            self.known.discard(path)
            self.known.add(more) if more else None

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Note what this process does to files."""
        replace, mkdir, unlink, keep = os.replace, os.mkdir, os.unlink, Keeper.keep

        def flushed(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            self.note("flush", path, None if stat.S_ISDIR(os.fstat(handle).st_mode) else path.read_bytes())

        def renamed(source: Any, to: Any, **options: Any) -> None:
            self.note("rename", Path(source), Path(to))
            replace(source, to, **options)

        def made(path: Any, *options: Any, **more: Any) -> None:
            mkdir(path, *options, **more)
            self.note("link", Path(path))

        def removed(path: Any, **options: Any) -> None:
            if not options and Path(path).is_file():
                self.note("unlink", Path(path))
            unlink(path, **options)

        def kept(keeper: Keeper, part: Any, tables: Any) -> None:
            keep(keeper, part, tables)
            self.kept.append((len(self.operations), part.key, [run.run_id for run in part.runs]))

        with contextlib.ExitStack() as stack:
            for name, act in {"fsync": flushed, "replace": renamed, "mkdir": made, "unlink": removed}.items():
                stack.enter_context(patch.object(os, name, act))
            stack.enter_context(patch.object(Keeper, "keep", kept))
            yield


def fail(scene: Scene, out: Path, times: int) -> list[str]:
    """Note a suite that is run in three parts, and go on from so many states that a power failure may leave."""
    journal = Journal(out)
    with journal.recording():
        for part in PARTS:
            scene.run_here(out, part)
    shutil.rmtree(out)
    losses = []
    with patch.object(os, "fsync", lambda _: None):
        for _ in range(times):
            losses.append(_go_on(scene, out, journal))
            shutil.rmtree(out, ignore_errors=True)
    return losses


def _go_on(scene: Scene, out: Path, journal: Journal) -> str:
    """What is lost when the power fails after some operation."""
    count = scene.chance.randrange(len(journal.operations) + 1)
    disk = Disk()
    for operation in journal.operations[:count]:
        disk.apply(*operation)
    left = disk.after_failure(scene.chance) if disk.seen else {}
    for path in sorted(left, key=lambda path: len(path.parts)):
        if left[path].content is None:
            path.mkdir()
        else:
            path.write_bytes(left[path].left(scene.chance))
    written = [each for each in journal.kept if each[0] <= count]
    results = Results(out)
    done = results.done({key for _, key, _ in written})
    lost = [key for _, key, runs in written if key not in done or not set(runs) <= set(results.statuses(key))]
    if lost:
        return f"after operation {count} finished runs of {lost[0]} are gone"
    try:
        if done:
            read_tables(out)
        scene.run_here(out)
        differs = scene.differs(out)
    except BenchError as error:
        return f"after operation {count}: {error}"
    return f"after operation {count}: {differs}" if differs else ""
