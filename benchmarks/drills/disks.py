"""Drills on files: a full disk, a read-only folder, files cut short, altered or gone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import ResultsError
from bench.results import CohortFiles
from bench.schema import TABLES
from benchmarks.drills.processes import Losses
from benchmarks.drills.scene import Scene

Change = Callable[[bytes], bytes]
SMALL_DISK = 400  # KiB: less than the drill's tables take


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of `SMALL_DISK` KiB mounted on a new folder; only root can.

    Raises:
        PermissionError: this user cannot.
    """
    folder.mkdir(parents=True)
    options = f"size={SMALL_DISK}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "drill", folder], capture_output=True, text=True)
    if mounted.returncode:
        raise PermissionError(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def full_disk(scene: Scene, out: Path, times: int) -> Losses:
    """Run on a disk that is too small, copy what was written to a larger one, go on there."""
    disk = out.with_name(f"{out.name}-disk")
    with small_disk(disk):
        driver = scene.start(disk / "out")
        said = driver.communicate()[1]
        shutil.copytree(disk / "out", out)
    clear = driver.returncode == 2 and "No space left on device" in said and "Traceback" not in said
    return [scene.lost(out) if clear else f"exit code {driver.returncode}: {said[-300:]}"]


def read_only(scene: Scene, out: Path, times: int) -> Losses:
    """Run on a disk that may only be read."""
    with small_disk(out.with_name(f"{out.name}-disk")):
        disk = out.with_name(f"{out.name}-disk")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        driver = scene.start(disk / "out")
        said = driver.communicate()[1]
    clear = driver.returncode == 2 and "Read-only file system" in said and "Traceback" not in said
    return ["" if clear else f"exit code {driver.returncode}: {said[-300:]}"]


def cut_files(scene: Scene, out: Path, times: int) -> Losses:
    """Cut files short at random places."""
    return _damage(scene, out, times, lambda content: content[: scene.chance.randrange(len(content))])


def alter_files(scene: Scene, out: Path, times: int) -> Losses:
    """Change one byte of files at random places."""

    def altered(content: bytes) -> bytes:
        place = scene.chance.randrange(len(content))
        return content[:place] + bytes([content[place] ^ scene.chance.randrange(1, 256)]) + content[place + 1 :]

    return _damage(scene, out, times, altered)


def flip_bits(scene: Scene, out: Path, times: int) -> Losses:
    """Flip a bit anywhere in a file of the tables or digests: it is noticed, or the tables are the same."""
    shutil.copytree(scene.folder / "undisturbed", out)
    files = sorted(path for name in ("tables", "digests") for path in (out / name).rglob("*.*"))
    losses = []
    for _ in range(times):
        path = scene.chance.choice(files)
        content = path.read_bytes()
        place, bit = scene.chance.randrange(len(content)), 1 << scene.chance.randrange(8)
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        losses.append("" if _noticed(out, path) or scene.differs(out) == "" else f"a bit of {path.name} went unnoticed")
        path.write_bytes(content)
    path.write_bytes(b"")  # and the last is mended
    return [*losses[:-1], losses[-1] or scene.lost(out)]


def _noticed(out: Path, path: Path) -> bool:
    """Whether the cohort of a file is refused, by readers and by what looks for finished cohorts."""
    try:
        files = CohortFiles(out, path.stem)
        for table in TABLES:
            files.read(table)
    except ResultsError as error:
        return "trains that cohort again" in str(error) and not files.whole()
    return False


def _damage(scene: Scene, out: Path, times: int, change: Change) -> Losses:
    shutil.copytree(scene.folder / "undisturbed", out)
    files = [path for path in out.rglob("*.parquet") if path.parent.name != "timings"]
    for path in scene.chance.sample(sorted(files), times):
        path.write_bytes(change(path.read_bytes()))
    return [""] * (times - 1) + [scene.lost(out)]
