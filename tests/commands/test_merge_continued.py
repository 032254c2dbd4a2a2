"""`bench run` on a merged folder: what the machines did not train is trained, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.commands.executor import Where, open_executor
from bench.commands.found import Keeper
from bench.commands.merge import merge
from bench.errors import RunsFailed
from bench.executors.tables import Tables
from bench.plan import Cohort
from bench.results import read_manifest, read_tables
from tests.commands.test_continuing import poisoned
from tests.inline import Tiny, files, suite_of

HALVES = ('clipping == "value" and depth == 2', 'clipping == "global_norm" or depth == 6 and clipping == "value"')


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that a driver writes, in a list that tests may clear."""
    written: list[str] = []
    keep = Keeper.keep

    def kept(self: Keeper, part: Cohort, made: Tables) -> None:
        written.extend(run.run_id for run in part.runs)
        keep(self, part, made)

    monkeypatch.setattr(Keeper, "keep", kept)
    return written


def merged(tiny: Tiny, expressions: tuple[str, ...] = HALVES, **options: Any) -> Path:
    """What machines that each ran one part make together."""
    parts = [tiny.run(f"machine-{number}", only=each, **options) for number, each in enumerate(expressions)]
    return merge(parts, tiny.folder / "merged")


@pytest.mark.parametrize(("machines", "left"), [(HALVES, 4), (('clipping == "none"', 'clipping != "none"'), 0)])
def test_only_what_no_machine_ran_is_trained_and_the_tables_are_undisturbed(
    tiny: Tiny, trained: list[str], machines: tuple[str, str], left: int
) -> None:
    out = merged(tiny, machines)
    held = set(read_tables(out)["runs"]["run_id"])
    trained.clear()
    tiny.run("merged")
    assert len(held) == 12 - left and len(trained) == left and not held & set(trained)
    assert files(out) == tiny.undisturbed


def test_a_merged_folder_is_merged_again_and_continued(tiny: Tiny, trained: list[str]) -> None:
    out = merged(tiny)
    third = tiny.run("third", only='depth == 6 and clipping == "none"')
    again = merge([third, out], tiny.folder / "again")
    trained.clear()
    tiny.run("again")
    assert len(trained) == 2
    assert files(again) == tiny.undisturbed


def test_only_goes_on_in_a_merged_folder(tiny: Tiny, trained: list[str]) -> None:
    out = merged(tiny)
    trained.clear()
    tiny.run("merged", only="depth == 6")
    assert len(trained) == 2
    tiny.run("merged")
    assert files(out) == tiny.undisturbed


def test_failed_runs_of_a_merged_folder_are_tried_again_when_asked(tiny: Tiny) -> None:
    with poisoned("raise_if_poisoned"), pytest.raises(RunsFailed):
        tiny.run("a", only='clipping == "value"')
    out = merge([tiny.run("b", only='clipping == "none"'), tiny.folder / "a"], tiny.folder / "merged")
    incidents = read_manifest(out).incidents
    assert "planted" in incidents[0]["reason"]
    tiny.run("merged", retry_failed=True)
    assert files(out) == tiny.undisturbed
    assert read_manifest(out).incidents == incidents


def test_a_continued_merge_still_says_where_its_runs_are_from(tiny: Tiny) -> None:
    out = merged(tiny)
    tiny.run("merged")
    assert [source["folder"] for source in read_manifest(out).sources] == ["machine-0", "machine-1"]
    tiny.run("merged", fresh=True)
    assert not read_manifest(out).sources


@pytest.mark.full
def test_networks_that_were_really_trained_are_joined_to_the_bit(
    tiny: Tiny, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.commands.run.open_executor", open_executor)  # without `inline`
    options = {"suite": suite_of(tiny.folder, "[3]"), "dry": False, "where": Where(workers=1)}
    whole = files(tiny.run("undisturbed", **options))
    out = merged(tiny, ('clipping == "value"', 'clipping == "global_norm"'), **options)
    trained.clear()
    tiny.run("merged", **options)
    assert len(trained) == 2
    assert files(out) == whole
