"""Every drill, one row of a table each: what was done, how often, what was lost. Run as `make drill`.

With names of drills as arguments only those, with that of a family (own, conv) all of its. Exit code 1 where anything
was lost.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.drills import disks, poison, power, processes
from benchmarks.drills.scene import FAMILIES, TRAINED, Scene


@dataclass(frozen=True)
class Drill:
    """A disturbance, `times` a folder on so many `folders`."""

    name: str
    said: str
    act: Callable[[Scene, Path, int], processes.Losses]
    times: int
    folders: int
    networks: str = ""  # the suite of networks that are really trained; empty: the dry one


DRILLS = (
    Drill("driver", "kill -9 of the driver at a random moment, then continued", processes.kill_driver, 5, 4),
    Drill("worker", "kill -9 of a worker at a random moment", processes.kill_worker, 4, 6),
    Drill("frozen", "a worker frozen (SIGSTOP), `--timeout 3`", processes.freeze_worker, 1, 2),
    Drill("once", "interrupted once", processes.interrupt, 1, 5),
    Drill("twice", "interrupted twice", processes.interrupt, 2, 5),
    Drill("two", "three drivers started at once on one folder", processes.two_drivers, 3, 3),
    Drill("full", "the disk full", disks.full_disk, 1, 2),
    Drill("read-only", "a folder that may only be read", disks.read_only, 1, 1),
    Drill("cut", "parquet files cut short at random places", disks.cut_files, 20, 5),
    Drill("altered", "one byte of parquet files altered at random places", disks.alter_files, 20, 5),
    Drill("flipped", "one bit of any file of the results flipped at random", disks.flip_bits, 200, 5),
    Drill("power", "the power failed, as the disk may be left", power.fail, 60, 1),
    Drill("driver-trained", "as the first, networks really trained", processes.kill_driver, 3, 1, TRAINED),
    Drill("worker-trained", "as the second, networks really trained", processes.kill_worker, 2, 2, TRAINED),
    *(
        Drill(f"{name}-{family}", f"{said} ({family})", act, times, 1, networks)
        for family, networks in FAMILIES.items()
        for name, said, act, times in (
            ("driver", "as the first, networks of which some are lost", processes.kill_driver, 3),
            ("worker", "as the second, the same networks", processes.kill_worker, 2),
            ("one", "the same networks again, in one worker", processes.one_worker, 1),
            ("ray", "the same networks again, on Ray's workers", processes.over_ray, 1),
            ("poison", "lost runs beside sound ones, and apart", poison.neighbours, 1),
        )
    ),
)


def main(wanted: list[str]) -> int:
    """Print the table. Returns the exit code."""
    chosen = [each for each in DRILLS if not wanted or {each.name, each.name.partition("-")[2]} & set(wanted)]
    worst = 0
    print("| drill | folders | disturbances | lost or other than undisturbed | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        scenes: dict[str, Scene] = {}
        for drill in chosen:
            if drill.networks not in scenes:
                name = Path(folder) / f"scene-{len(scenes)}"
                scenes[drill.networks] = Scene(name, bool(drill.networks), drill.networks).prepare()
            began = time.monotonic()
            try:
                losses, lost = _carry_out(drill, scenes[drill.networks])
            except (ImportError, PermissionError) as error:
                losses, lost = [], f"not done: {error}"
            worst = max(worst, int(any(losses)))
            seconds = time.monotonic() - began
            print(f"| {drill.said} | {drill.folders} | {len(losses)} | {lost} | {seconds:.0f} |", flush=True)
    return worst


def _carry_out(drill: Drill, scene: Scene) -> tuple[processes.Losses, str]:
    losses = []
    for number in range(drill.folders):
        losses += drill.act(scene, scene.folder / f"{drill.name}-{number}", drill.times)
    return losses, "; ".join(sorted({loss for loss in losses if loss})) or "nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
