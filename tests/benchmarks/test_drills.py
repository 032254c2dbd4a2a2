"""Every drill of `make drill`, once and briefly: that it can be done, loses nothing, and would say so if it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.errors import BenchError
from bench.results import files
from bench.results.manifest import read_manifest
from benchmarks.drills import disks, power
from benchmarks.drills import scene as scene_module
from benchmarks.drills.__main__ import DRILLS, Drill
from benchmarks.drills.scene import DRY, Scene

SMALL = DRY.replace("[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]", "[2, 5]").replace("replicates = 3", "replicates = 1")
TIMES = {"two": 2, "cut": 5, "altered": 5, "flipped": 30, "power": 6}
# The others do the same to networks that are really trained.
# By default tests/commands/test_interrupts.py alone sends signals.
SIGNALS = ("worker", "frozen", "once", "twice", "two")
BRIEF = [
    pytest.param(drill, marks=[pytest.mark.full] if drill.name in SIGNALS else [], id=drill.name)
    for drill in DRILLS
    if not drill.networks
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """8 dry runs in 4 cohorts."""
    scene = Scene(tmp_path_factory.mktemp("drills") / "dry", text=SMALL).prepare()
    scene.seconds = 1.2  # a moment to wait at most
    return scene


def lost(scene: Scene, out: Path) -> str:
    """As the scene's own, but without a driver of its own."""
    try:
        scene.run_here(out)
        return scene.differs(out)
    except BenchError as error:
        return str(error)


@pytest.mark.parametrize("drill", BRIEF)
def test_a_drill_loses_nothing(drill: Drill, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scene, "lost", lost)
    monkeypatch.setattr(disks, "SMALL_DISK", 100)
    monkeypatch.setenv("DRILL_GRACE", "0.2")
    if drill.name in ("frozen", "once", "twice"):
        monkeypatch.setenv("DRILL_SECONDS", "1.2")  # the driver must not have ended when that happens
    try:
        losses = drill.act(scene, scene.folder / drill.name, TIMES.get(drill.name, 2 if drill.name == "twice" else 1))
    except PermissionError as error:
        pytest.skip(str(error))
    assert losses and not any(losses)


def test_names_that_are_not_flushed_are_lost_to_a_power_failure(scene: Scene) -> None:
    with patch.object(files, "flush_folder", lambda folder: None):
        losses = power.fail(scene, scene.folder / "unflushed-names", 10)
    assert any("finished runs" in loss and "are gone" in loss for loss in losses)


def test_content_that_is_not_flushed_is_lost_to_a_power_failure(scene: Scene) -> None:
    def written(path: Path, content: bytes) -> Path:
        files.make_folder(path.parent)
        files.temporary_path(path).write_bytes(content)
        return files.temporary_path(path)

    with patch("bench.results.folder.write_temporary", written):
        losses = power.fail(scene, scene.folder / "unflushed-content", 10)
    assert any("finished runs" in loss and "are gone" in loss for loss in losses)


def test_a_flipped_bit_that_goes_unnoticed_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed: Callable[..., bool] = lambda *_: False  # noqa: E731
    monkeypatch.setattr(disks, "_noticed", noticed)
    monkeypatch.setattr(Scene, "differs", lambda *_: "differs")
    monkeypatch.setattr(Scene, "lost", lost)
    assert any("went unnoticed" in loss for loss in disks.flip_bits(scene, scene.folder / "unnoticed", 3))


def test_other_last_digits_are_a_difference_but_where_a_cohort_was_made_smaller(scene: Scene) -> None:
    """The manifest names the cohort; even there a number that is another one is a difference."""
    out = scene.folder / "smaller"
    scene.run_here(out)
    runs = scene.tables["runs"]["run_id"]
    loss = scene.tables["loss_curves"]["loss"].copy()
    for factor, smaller, found in (
        (1 + 1e-12, True, ""),
        (1 + 1e-12, False, "loss_curves"),
        (1.01, True, "loss_curves"),
    ):
        incidents = [{"measure": "made smaller", "runs": list(runs)}] if smaller else []
        manifest = replace(read_manifest(out), incidents=incidents)
        tables = scene.tables | {"loss_curves": scene.tables["loss_curves"].assign(loss=loss * factor)}
        with (
            patch.object(scene_module, "read_manifest", return_value=manifest),
            patch.object(scene, "tables", tables),
        ):
            assert scene.differs(out) == (f"differs: {found}" if found else "")
