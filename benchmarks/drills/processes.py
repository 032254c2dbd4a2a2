"""Drills on processes: killed, frozen, interrupted, doubled."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.drills.scene import Scene, has_ended, workers

Losses = list[str]  # one entry a disturbance: what was lost, empty for nothing


def kill_driver(scene: Scene, out: Path, times: int) -> Losses:
    """Kill the driver at random moments, again and again on one folder; its workers must end with it."""
    orphans = []
    for _ in range(times):
        driver = scene.start(out)
        scene.wait()
        children = workers(driver)
        driver.kill()
        driver.communicate()
        orphans.append("" if all(map(has_ended, children)) else "a worker outlived its driver")
    orphans[-1] = orphans[-1] or scene.lost(out)
    return orphans


def kill_worker(scene: Scene, out: Path, times: int) -> Losses:
    """Kill a worker at random moments of one run."""
    driver = scene.start(out)
    killed = 0
    while driver.poll() is None and killed < times:
        time.sleep(scene.chance.uniform(0.0, 2 * scene.seconds / times))
        children = workers(driver)
        if children:
            with suppress(ProcessLookupError):
                os.kill(scene.chance.choice(children), signal.SIGKILL)
                killed += 1
    said = driver.communicate()[1]
    failed = "" if driver.returncode == 0 else f"exit code {driver.returncode}: {said[-300:]}"
    return [""] * (killed - 1) + [failed or scene.lost(out)]


def freeze_worker(scene: Scene, out: Path, times: int) -> Losses:
    """Stop a worker without ending it: the deadline must notice."""
    driver = scene.start(out, "--timeout", "3")
    while not any(out.glob("tables/runs/*.parquet")):
        time.sleep(0.05)
    for child in workers(driver)[:times]:
        os.kill(child, signal.SIGSTOP)
    said = driver.communicate()[1]
    noticed = "" if "longer than 3 s" in said else "not noticed"
    return [noticed or scene.lost(out)]


def interrupt(scene: Scene, out: Path, times: int) -> Losses:
    """Interrupt the driver so many times within a moment."""
    driver = scene.start(out)
    while not any(out.glob("tables/runs/*.parquet")):
        time.sleep(0.05)
    time.sleep(scene.chance.uniform(0.0, scene.seconds / 5))
    for _ in range(times):
        driver.send_signal(signal.SIGINT)
        time.sleep(0.02)
    said = driver.communicate(timeout=30)[1]
    wrong = "" if driver.returncode == 130 and "goes on from there" in said else f"exit code {driver.returncode}"
    return [wrong or scene.lost(out)]


def one_worker(scene: Scene, out: Path, times: int) -> Losses:
    """Run again with one worker: the tables are those that two made."""
    driver = scene.start(out, "--workers", "1")
    said = driver.communicate()[1]
    return [f"exit code {driver.returncode}: {said[-300:]}" if driver.returncode else scene.differs(out)]


def over_ray(scene: Scene, out: Path, times: int) -> Losses:
    """Run again on Ray's workers: the tables are those of this machine's own.

    Raises:
        ImportError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise ImportError("Ray is not installed: make test installs it")
    driver = scene.start(out, "--executor", "ray")
    said = driver.communicate()[1]
    return [f"exit code {driver.returncode}: {said[-300:]}" if driver.returncode else scene.differs(out)]


def two_drivers(scene: Scene, out: Path, times: int) -> Losses:
    """Start drivers on one folder at once: one works, the others say that it does."""
    drivers = [scene.start(out) for _ in range(times)]
    said = [driver.communicate()[1] for driver in drivers]
    refused = [text for driver, text in zip(drivers, said, strict=True) if driver.returncode == 2]
    if len(refused) != times - 1 or not all("another `bench run` is writing here" in text for text in refused):
        return [f"exit codes {[driver.returncode for driver in drivers]}"]
    return [scene.lost(out)]
