"""Cohorts that were set aside: other versions' never come back in silence, and `--fresh` discards them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import ResultsError
from bench.results import read_manifest, read_tables
from bench.results.files import replace_durably
from tests.inline import Tiny, suite_of


@pytest.fixture
def out(tiny: Tiny) -> Path:
    """A folder whose suite was changed as a whole: two cohorts set aside, and no table but for one."""
    tiny.run()
    return tiny.run(suite=suite_of(tiny.folder, "[3]"))


def made_by_others(out: Path) -> None:
    manifest = read_manifest(out)
    replace(manifest, versions={**manifest.versions, "keras": "2.0.0"}).write(out)


def test_cohorts_of_other_versions_do_not_come_back_beside_new_ones(out: Path, tiny: Tiny) -> None:
    made_by_others(out)
    for path in (out / "tables").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(ResultsError, match=r"other versions \(keras 2\.0\.0 -> "):
        tiny.run()
    assert not list((out / "tables").rglob("*.parquet"))


def test_fresh_discards_what_was_set_aside(out: Path, tiny: Tiny) -> None:
    made_by_others(out)
    tiny.run(suite=suite_of(tiny.folder, "[3]"), fresh=True)
    assert not (out / "superseded").exists()
    assert set(read_tables(out)["runs"]["depth"]) == {3}


def test_a_driver_killed_while_it_discards_leaves_nothing_to_mix(
    out: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_others(out)

    def killed(written: Path, path: Path) -> None:
        if written.name == "tables":
            raise KeyboardInterrupt
        replace_durably(written, path)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("bench.results.folder.replace_durably", killed)
        tiny.run(fresh=True)
    assert not (out / "superseded").exists()
    with pytest.raises(ResultsError, match="other versions"):
        tiny.run()
    tiny.run(fresh=True)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "digests", "manifest.json", "tables"]
