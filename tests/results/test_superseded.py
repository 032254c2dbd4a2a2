"""Cohorts that were set aside: other versions' never come back in silence, and `--fresh` discards them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.commands.run import Options, run_suite
from bench.errors import ResultsError
from bench.results import read_manifest, read_tables
from bench.results.files import replace_durably
from bench.suite import Suite, load_suite
from tests.commands.test_continuing import SUITE

pytestmark = pytest.mark.usefixtures("inline")


def suite_of(folder: Path, depths: str) -> Suite:
    path = folder / "tiny.toml"
    path.write_text(SUITE.replace("[2, 6]", depths))
    return load_suite(path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder whose suite was changed as a whole: two cohorts set aside, and no table but for one."""
    out = run_suite(suite_of(tmp_path, "[2, 6]"), Options(tmp_path / "out", dry=True))
    return run_suite(suite_of(tmp_path, "[3]"), Options(out, dry=True))


def made_by_others(out: Path) -> None:
    manifest = read_manifest(out)
    replace(manifest, versions={**manifest.versions, "keras": "2.0.0"}).write(out)


def test_cohorts_of_other_versions_do_not_come_back_beside_new_ones(out: Path, tmp_path: Path) -> None:
    made_by_others(out)
    for path in (out / "tables").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(ResultsError, match=r"other versions \(keras 2\.0\.0 -> "):
        run_suite(suite_of(tmp_path, "[2, 6]"), Options(out, dry=True))
    assert not list((out / "tables").rglob("*.parquet"))


def test_fresh_discards_what_was_set_aside(out: Path, tmp_path: Path) -> None:
    made_by_others(out)
    run_suite(suite_of(tmp_path, "[3]"), Options(out, dry=True, fresh=True))
    assert not (out / "superseded").exists()
    assert set(read_tables(out)["runs"]["depth"]) == {3}


def test_a_driver_killed_while_it_discards_leaves_nothing_to_mix(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_others(out)

    def killed(written: Path, path: Path) -> None:
        if written.name == "tables":
            raise KeyboardInterrupt
        replace_durably(written, path)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("bench.results.folder.replace_durably", killed)
        run_suite(suite_of(tmp_path, "[2, 6]"), Options(out, dry=True, fresh=True))
    assert not (out / "superseded").exists()
    with pytest.raises(ResultsError, match="other versions"):
        run_suite(suite_of(tmp_path, "[2, 6]"), Options(out, dry=True))
    run_suite(suite_of(tmp_path, "[2, 6]"), Options(out, dry=True, fresh=True))
    assert sorted(path.name for path in out.iterdir()) == [".lock", "digests", "manifest.json", "tables"]
